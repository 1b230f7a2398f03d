"""Trabecular bone: micro-CT and the scan simulated from it, pixels eight times as wide, to train on and to score.

Grey values of 8 bits stand for themselves, no HU: networks see grey / 255, and all HU of training.degrade are here
grey / 255 · 1000 − 1000, so that noise of 25 HU is 6.4 grey levels. Slices are half as thick as coarse pixels are wide. The
kernels keep their blur in pixels: their line pairs are those of pixels of PIXEL_MM. The human specimen is split by slab along z;
the mouse skull is never trained on. Slices are cut along all three axes for training, along z for scoring. One specimen has one
contrast and one thickness of bone: for training it is made fainter, and once more at half its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
from torch.utils.data import DataLoader

from . import ct_data, degrade, volumes

HUMAN, MOUSE = "microct/lhdl_3155_D_4_bc_000_139.nrrd", "microct/A_J_mouse_skull.nrrd"
"""Trabecular bone at 19.5 µm (Living Human Digital Library); skull at 70.6 µm (SlicerMorph sample data)."""
SLABS = {"train": (0, 82), "validation": (84, 110), "test": (112, 140)}
"""Of the human specimen, along z. Slices between belong to none."""
PIXEL_MM = 0.7
GREY = 255.0
THICK = 4
"""Fine voxels from slice to slice, and the slice profile's width."""
GAIN, DARKER = (0.25, 1.1), (0.0, 50.0)
"""Of the grey values in training: contrast, and grey levels that are taken off before, uniform between."""
PATCH = 10
"""Coarse pixels a side: the training slab is 82 fine voxels thick, 10 coarse ones."""


@dataclass(frozen=True)
class View:
    """clinical: (3, h, w) float32 in the HU of this file."""

    kernel: str
    noise_hu: float
    clinical: np.ndarray


@dataclass(frozen=True)
class Case:
    """One coarse slice. micro: (8h, 8w) float32 in the HU of this file, averaged through the slice. micro_mm: fine pixel."""

    name: str
    micro: np.ndarray
    micro_mm: float
    views: tuple[View, ...]


def as_hu(grey: np.ndarray) -> np.ndarray:
    """8-bit grey → the HU of this file."""
    return (grey.astype(np.float32) / GREY * 1000 - 1000).astype(np.float32)


def as_grey(hu: np.ndarray) -> np.ndarray:
    """The way back, neither rounded nor clamped."""
    return (hu + 1000) / 1000 * GREY


def slices(volume: np.ndarray, axis: int) -> np.ndarray:
    """(n, 8h, 8w): profile-weighted means along `axis`, THICK fine voxels apart; sides cut to multiples of 8, centred."""
    offsets, weights = degrade.slice_profile(THICK, 1.0)
    reach = int(offsets[-1])
    moved = _even(np.moveaxis(volume, axis, 0))
    centres = range(reach, len(moved) - reach, THICK)
    return np.stack([np.tensordot(weights, moved[c - reach : c + reach + 1], 1) for c in centres]).astype(np.float32)


def _even(stack: np.ndarray) -> np.ndarray:
    """Rows and columns cut to multiples of 8, as much off both ends."""
    for axis in (1, 2):
        over = stack.shape[axis] % degrade.FACTOR
        stack = np.take(stack, range(over // 2, stack.shape[axis] - (over - over // 2)), axis)
    return stack


def source(volume: np.ndarray, axis: int, patch: int, count: int, span: int, seed: int) -> ct_data.Source:
    """Patches of the slices along `axis`, `span` neighbours each."""
    stack = slices(volume, axis)
    inside = np.ones((len(stack), *(n // degrade.FACTOR for n in stack.shape[1:])), bool)
    places = ct_data.random_places(inside, patch, span, count, np.random.default_rng((195, axis, patch, span, seed)))
    return ct_data.Source(degrade.with_margin(np.rint(as_hu(stack)).astype(np.int16)), PIXEL_MM, places)


def cases(root: Path, which: str, noise_hu: tuple[float, ...] = (20.0, 45.0)) -> list[Case]:
    """ "test": the human specimen's last slab; "mouse": eight slices of the unseen skull. Test kernels, both noise levels."""
    volume, spacing = volumes.read(root / (MOUSE if which == "mouse" else HUMAN))
    if which != "mouse":
        volume = volume[slice(*SLABS[which])]
    stack = as_hu(slices(volume, 0))
    chosen = range(1, len(stack) - 1) if which != "mouse" else np.linspace(2, len(stack) - 3, 8).round().astype(int)
    return [_case(f"{which} {k}", stack[k - 1 : k + 2], float(spacing[1]), noise_hu, k) for k in map(int, chosen)]


def _case(name: str, three: np.ndarray, micro_mm: float, noise_hu: tuple[float, ...], seed: int) -> Case:
    views = []
    for k, kernel in enumerate(degrade.TEST_KERNELS):
        for n, sigma in enumerate(noise_hu):
            rng = np.random.default_rng((195, seed, k, n))
            views.append(View(kernel, sigma, degrade.acquired(three, degrade.KERNELS[kernel], PIXEL_MM, sigma, rng)))
    return Case(name, three[1], micro_mm, tuple(views))


class Pairs(ct_data.Pairs):
    """Pairs of other contrast than the specimen's. The noise is what was asked for."""

    def pair(self, source: ct_data.Source, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        place = source.places[rng.integers(len(source.places))]
        kernel, sigma = str(rng.choice(degrade.TRAIN_KERNELS)), rng.uniform(*self.noise_hu)
        gain, darker = rng.uniform(*GAIN), rng.uniform(*DARKER)
        clinical = ct_data.clinical_patch(source, place, self.patch, self.slices, kernel, sigma / gain, rng)
        return fainter(clinical, gain, darker), fainter(ct_data.micro_patch(source, place, self.patch), gain, darker)


def fainter(hu: np.ndarray, gain: float, darker: float) -> np.ndarray:
    """gain · (grey − darker), in the HU of this file. Below 0 where the image was darker than that."""
    return as_hu(gain * (as_grey(hu) - darker))


def halved(volume: np.ndarray) -> np.ndarray:
    """Mean of 2×2×2 voxels: the specimen at half its size."""
    z, y, x = (n // 2 for n in volume.shape)
    return volume[: 2 * z, : 2 * y, : 2 * x].reshape(z, 2, y, 2, x, 2).mean((1, 3, 5))


class BonePatches(L.LightningDataModule):
    """Batches as training.ct_data.CtPatches gives them, of bone. root: folder that holds microct/."""

    def __init__(
        self, root: str = "data", batch_size: int = 8, slices: int = 1, patch: int = PATCH, patches_per_case: int = 2000,
        steps_per_epoch: int = 250, validation: int = 24, noise_hu: tuple[float, float] = ct_data.NOISE_HU, seed: int = 2020,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str | None = None) -> None:
        h = self.hparams
        volume, _ = volumes.read(Path(h.root) / HUMAN)
        train, held = (volume[slice(*SLABS[name])] for name in ("train", "validation"))
        given = h.patch, h.patches_per_case, h.slices, h.seed
        self.train_sources = [source(train, axis, *given) for axis in range(3)] + [source(halved(train), 0, *given)]
        # The slab that validates is three coarse voxels thick: only slices along z hold a patch.
        self.validation = ct_data.Fixed([source(held, 0, h.patch, h.validation, h.slices, h.seed)], None, h.patch, h.slices, h.validation)

    def train_dataloader(self) -> DataLoader:
        h = self.hparams
        epoch = self.trainer.current_epoch if self.trainer else 0
        rest = h.patch, h.slices, h.batch_size * h.steps_per_epoch, (h.seed, epoch), tuple(h.noise_hu)
        return DataLoader(Pairs(self.train_sources, *rest), batch_size=h.batch_size)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, batch_size=4)
