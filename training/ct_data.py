"""Training samples of clinical CT and micro-CT: pairs of the same place, or patches of different places.

Pairs: phantoms (training.phantom_set) and the clinical CT simulated from them, each patch through a random training kernel with
random noise. Unpaired: clinical patches from the lungs of a real chest CT and from phantoms; micro-CT from other phantoms.
A sample follows from (seed, epoch, index) alone, so that a resumed run goes on as it would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import torch
from MedSRLib import lungs
from MedSRLib.intensity import HOUNSFIELD
from torch.utils.data import DataLoader, Dataset

from . import degrade, lung_phantom, phantom_set, volumes

REAL = "ct/lidc0314_mid"
"""LIDC-IDRI-0314: the clinical chest CT of the unpaired methods; CC BY 3.0."""
REAL_SHARE = 0.5
"""Of the clinical patches of the unpaired methods."""
HELD_OUT_SLICES = 12
"""Slices at the end of the real CT that validate."""
NOISE_HU = (2.0, 60.0)
"""Standard deviation of the noise: uniform between. LIDC-IDRI-0314 has 18."""
VALIDATION_NOISE_HU = (20.0, 45.0)
SMALLEST_PATCH = 16
Place = tuple[int, int, int]
"""Slice, first row and first column of a patch, in clinical pixels."""


@dataclass(frozen=True)
class Source:
    """One phantom to take patches from. wide: (n, 8h + margins, 8w + margins) int16 HU. places: (m, 3), as Place."""

    wide: np.ndarray
    clinical_mm: float
    places: np.ndarray


@dataclass(frozen=True)
class RealSource:
    """A clinical CT. hu: (n, h, w). places: (m, 3)."""

    hu: np.ndarray
    places: np.ndarray


def random_places(inside: np.ndarray, patch: int, slices: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) Places whose middle pixel is `inside` (n, h, w), whole within the image, with their neighbouring slices."""
    n, h, w = inside.shape
    half, around = patch // 2, slices // 2
    allowed = inside.copy()
    allowed[:around] = False
    allowed[n - around :] = False
    allowed[:, :half] = allowed[:, h - patch + half + 1 :] = False
    allowed[:, :, :half] = allowed[:, :, w - patch + half + 1 :] = False
    found = np.argwhere(allowed)
    if not len(found):
        raise ValueError(f"no patch of {patch} pixels and {slices} slices lies inside an image of {inside.shape}")
    return found[rng.integers(len(found), size=count)] - (0, half, half)


def phantom_source(seed: int, patch: int, slices: int, count: int, cache: Path) -> Source:
    """Patches lie anywhere but in the chest wall."""
    made = phantom_set.phantom(seed, cache=cache)
    inside = degrade.mean_by_factor((made.labels != lung_phantom.PLEURA).astype(np.float32)) > 0.5
    places = random_places(inside, patch, slices, count, np.random.default_rng((seed, patch, slices)))
    return Source(degrade.with_margin(made.micro), made.clinical_mm, places)


def real_sources(root: Path, patch: int, slices: int, count: int) -> tuple[RealSource, RealSource]:
    """(training, validation): the lungs of the real chest CT, without and with its last slices."""
    folder = root / REAL
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; without a real CT: --data.init_args.real false")
    hu, spacing = volumes.read(folder)
    mask = lungs.mask(hu, tuple(spacing[::-1]))
    parts = [(hu[:-HELD_OUT_SLICES], mask[:-HELD_OUT_SLICES]), (hu[-HELD_OUT_SLICES:], mask[-HELD_OUT_SLICES:])]
    train, held = (RealSource(h, random_places(m, patch, slices, count, np.random.default_rng((314, patch, slices)))) for h, m in parts)
    return train, held


def clinical_patch(
    source: Source, place: np.ndarray, patch: int, slices: int, kernel: str, noise_hu: float, rng: np.random.Generator
) -> np.ndarray:
    """(slices, patch, patch) HU: the clinical CT of a place, with the blur of what lies around it."""
    n, y, x = place
    side = (patch + 2 * degrade.MARGIN) * degrade.FACTOR
    top, left = y * degrade.FACTOR, x * degrade.FACTOR
    wide = source.wide[n - slices // 2 : n + slices // 2 + 1, top : top + side, left : left + side].astype(np.float32)
    clean = degrade.projected_inside(wide, degrade.KERNELS[kernel], source.clinical_mm)
    return clean + degrade.noise(clean.shape, degrade.KERNELS[kernel], source.clinical_mm, noise_hu, rng)


def micro_patch(source: Source, place: np.ndarray, patch: int) -> np.ndarray:
    """(1, 8·patch, 8·patch) HU."""
    n, y, x = place
    top, left = ((at + degrade.MARGIN) * degrade.FACTOR for at in (y, x))
    side = patch * degrade.FACTOR
    return source.wide[n, top : top + side, left : left + side][None].astype(np.float32)


def real_patch(source: RealSource, place: np.ndarray, patch: int, slices: int) -> np.ndarray:
    """(slices, patch, patch) HU."""
    n, y, x = place
    return source.hu[n - slices // 2 : n + slices // 2 + 1, y : y + patch, x : x + patch]


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight flips and quarter turns of (c, h, w); `turn` from 0 to 7."""
    image = image[:, ::-1] if turn & 1 else image
    image = image[:, :, ::-1] if turn & 2 else image
    return image.transpose(0, 2, 1) if turn & 4 else image


def as_batch(clinical: np.ndarray, micro: np.ndarray) -> dict[str, torch.Tensor]:
    """HU → what networks take."""
    return {name: torch.from_numpy(HOUNSFIELD.read(np.ascontiguousarray(hu))) for name, hu in (("clinical", clinical), ("micro", micro))}


class Pairs(Dataset):
    """Patches of phantoms with their clinical CT: sample `index` of an epoch, through a random kernel, noise and turn."""

    def __init__(
        self, sources: list[Source], patch: int, slices: int, length: int, seed: tuple[int, ...], noise_hu: tuple[float, float]
    ) -> None:
        self.sources, self.patch, self.slices, self.length, self.seed, self.noise_hu = sources, patch, slices, length, seed, noise_hu

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((*self.seed, index))
        clinical, micro = self.pair(self.sources[rng.integers(len(self.sources))], rng)
        turn = int(rng.integers(8))
        return as_batch(turned(clinical, turn), turned(micro, turn))

    def pair(self, source: Source, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        place = source.places[rng.integers(len(source.places))]
        kernel, sigma = str(rng.choice(degrade.TRAIN_KERNELS)), rng.uniform(*self.noise_hu)
        return clinical_patch(source, place, self.patch, self.slices, kernel, sigma, rng), micro_patch(source, place, self.patch)


class Unpaired(Pairs):
    """Clinical patches of one half of the phantoms and of the real CT; micro-CT patches of the other half."""

    def __init__(self, sources: list[Source], real: RealSource | None, *rest: object) -> None:
        super().__init__(sources, *rest)  # type: ignore[arg-type]
        self.real = real

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((*self.seed, index))
        seen, other = self.sources[::2], self.sources[1::2]
        if self.real is not None and rng.random() < REAL_SHARE:
            clinical = real_patch(self.real, self.real.places[rng.integers(len(self.real.places))], self.patch, self.slices)
        else:
            clinical, _ = self.pair(seen[rng.integers(len(seen))], rng)
        source = other[rng.integers(len(other))]
        micro = micro_patch(source, source.places[rng.integers(len(source.places))], self.patch)
        return as_batch(turned(clinical, int(rng.integers(8))), turned(micro, int(rng.integers(8))))


class Fixed(Dataset):
    """Validation: the same patches each time, in the same order. Where `real` is given, it has the clinical patch of every second."""

    def __init__(self, sources: list[Source], real: RealSource | None, patch: int, slices: int, length: int) -> None:
        self.items = [self._item(sources[k % len(sources)], real if k % 2 else None, patch, slices, k) for k in range(length)]

    @staticmethod
    def _item(source: Source, real: RealSource | None, patch: int, slices: int, k: int) -> dict[str, torch.Tensor]:
        place, kernel = source.places[k], degrade.TRAIN_KERNELS[k % len(degrade.TRAIN_KERNELS)]
        sigma = VALIDATION_NOISE_HU[k // 2 % len(VALIDATION_NOISE_HU)]
        if real is not None:
            clinical = real_patch(real, real.places[k], patch, slices)
        else:
            clinical = clinical_patch(source, place, patch, slices, kernel, sigma, np.random.default_rng((5, k)))
        return as_batch(clinical, micro_patch(source, place, patch))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.items[index]


class CtPatches(L.LightningDataModule):
    """Batches {clinical (n, slices, patch, patch), micro (n, 1, 8·patch, 8·patch)}, (HU + 1000) / 1000.

    root: folder of the data sets; unpaired training reads ct/lidc0314_mid there, unless `real` is false. paired: of the same place.
    patch: clinical pixels a side. cases: training phantoms, generated once into `cache`, some 10 s each. patches_per_case: places
    in each, drawn once. steps_per_epoch: batches that count as one epoch. validation: fixed patches.
    """

    def __init__(
        self, root: str = "data", paired: bool = True, batch_size: int = 4, slices: int = 1, patch: int = 32, cases: int = 24,
        patches_per_case: int = 2000, steps_per_epoch: int = 250, validation: int = 32, real: bool = True,
        noise_hu: tuple[float, float] = NOISE_HU, cache: str = "training/cache", seed: int = 2020, num_workers: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if patch < SMALLEST_PATCH or slices % 2 == 0 or slices > phantom_set.SLICES:
            raise ValueError(f"patch must be at least {SMALLEST_PATCH}, slices odd and at most {phantom_set.SLICES}; not {patch}, {slices}")
        self.save_hyperparameters()

    def setup(self, stage: str | None = None) -> None:
        h, cache = self.hparams, Path(self.hparams.cache)
        size = h.patch, h.slices, h.patches_per_case
        self.train_sources = [phantom_source(seed, *size, cache) for seed in phantom_set.seeds("train", h.cases)]
        held = [phantom_source(seed, *size, cache) for seed in phantom_set.seeds("validation", min(h.cases, 4))]
        use_real = h.real and not h.paired
        self.real, held_real = real_sources(Path(h.root), *size) if use_real else (None, None)
        self.validation = Fixed(held, held_real, h.patch, h.slices, h.validation)

    def train_dataloader(self) -> DataLoader:
        h = self.hparams
        epoch = self.trainer.current_epoch if self.trainer else 0
        rest = h.patch, h.slices, h.batch_size * h.steps_per_epoch, (h.seed, epoch), tuple(h.noise_hu)
        data = Pairs(self.train_sources, *rest) if h.paired else Unpaired(self.train_sources, self.real, *rest)
        return DataLoader(data, batch_size=h.batch_size, num_workers=h.num_workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, batch_size=4)
