"""Training samples of slide-to-MRI registration: pairs of pictures with a known map between them.

Kinds of pairs: "cross", a pseudo-MRI (training.pseudo_mri) and the piece that it was made of (training.slide_pieces); "slide", the
same piece twice, warped, its stain changed; "mri", a slice of a real MRI twice, warped, its contrast changed. A sample follows
from (seed, epoch, index) alone, so that a resumed run goes on as it would have. A batch has one kind.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from . import affine_warps, augment, matching_losses, pseudo_mri, schedule, slide_pieces, slide_sources, volumes
from .slide_matching import GRID
from .slide_sources import FIELD_MM, Picture

KINDS = {"cross": ("mri", "slide"), "slide": ("slide", "slide"), "mri": ("mri", "mri")}
VALIDATION_SEED = 900_000
"""Of the first piece that validates; pieces that train begin at 0."""
MRI_MM = 0.4
RECIPE = pseudo_mri.Recipe(supersampling=2)
"""Pieces have pixels of 0.2 mm, half of a pseudo-MRI's."""


def pieces(count: int, first_seed: int, root: Path, cache: Path) -> list[Picture]:
    """Pieces of tissue by their seeds, from the cache where they are already in it."""
    textures: slide_pieces.Textures | None = None
    made = []
    for seed in range(first_seed, first_seed + count):
        path = cache / f"slide_piece_{slide_pieces.VERSION}_{seed}.npz"
        if not path.exists():
            textures = textures or slide_pieces.Textures(root)
            slide_pieces.save(slide_pieces.piece(textures, np.random.default_rng((7, seed))), path)
        made.append(slide_pieces.load(path))
    return made


def mri_slices(which: str, root: Path) -> list[np.ndarray]:
    """(h, w) slices of "mri_train" or "mri_validation", at 0.4 mm, 1st to 99th percentile 0 to 1; some volumes count several times."""
    found = []
    for row in slide_sources.split()[which]:
        volume, spacing = volumes.read(root / row["path"])
        stack = np.moveaxis(volumes.normalised(volume), row["axis"], 0)
        plane = tuple(np.delete(spacing, row["axis"]))
        made = volumes.resampled(np.ascontiguousarray(stack), plane, MRI_MM)
        filled = [image for image in made if (image > 0.2).mean() > 0.1]
        found += filled * row["share"]
    return found


def as_network(image: np.ndarray, side: int) -> torch.Tensor:
    """(h, w) or (h, w, 3) float → (c, side, side); the field stays, pixels are averaged where there are fewer."""
    interpolation = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_LINEAR
    made = cv2.resize(image.astype(np.float32), (side, side), interpolation=interpolation)
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(made).transpose(2, 0, 1)))


class Pairs(Dataset):
    """Sample `index`: fixed (c, side, side), moving (c, side, side), theta (2, 3) the best affine, positions (400, 2) the whole map at
    the places of the loss, inside (400,) whether they lie in tissue, width () of the tissue in the moving picture in halves."""

    def __init__(
        self, pictures: list[Picture], slices: list[np.ndarray], shares: dict[str, float], batch_size: int, length: int,
        seed: tuple[int, ...], side: int, ranges: affine_warps.Ranges, warp_mm: float,
    ) -> None:  # fmt: skip
        self.pictures, self.slices, self.shares, self.batch_size = pictures, slices, shares, batch_size
        self.length, self.seed, self.side, self.ranges, self.warp_mm = length, seed, side, ranges, warp_mm

    def __len__(self) -> int:
        return self.length

    def kind(self, index: int) -> str:
        """One for the whole batch."""
        rng, names = np.random.default_rng((*self.seed, 1, index // self.batch_size)), list(self.shares)
        shares = np.array(list(self.shares.values()))
        return names[rng.choice(len(names), p=shares / shares.sum())]

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng, kind = np.random.default_rng((*self.seed, 0, index)), self.kind(index)
        affine = affine_warps.drawn(rng, self.ranges).affine()
        return getattr(self, kind)(affine, rng) | {"kinds": kind}

    def cross(self, affine: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        picture = self.pictures[rng.integers(len(self.pictures))]
        made = pseudo_mri.pseudo_mri(picture, affine, rng, replace(RECIPE, warp_mm=self.warp_mm))
        fixed = as_network(volumes.normalised(made.image), self.side)
        moving = as_network(augment.stain(picture.rgb, rng), self.side)
        return sample(fixed, moving, made.affine, made.positions, made.tissue, picture.width_mm)

    def slide(self, affine: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        picture = self.pictures[rng.integers(len(self.pictures))]
        warp = affine_warps.random_thin_plate(rng, FIELD_MM, self.warp_mm)
        places = affine_warps.applied(affine, warp.on_grid(len(picture.rgb)))
        glass = (slide_sources.GLASS,) * 3
        fixed, tissue = (read(a, places, picture.pixel_mm, value) for a, value in ((picture.rgb, glass), (picture.tissue, 0)))
        two = [as_network(augment.stain(np.rint(rgb).astype(np.uint8), rng), self.side) for rgb in (fixed, picture.rgb)]
        best = affine_warps.fitted(affine_warps.positions_mm(tissue.shape, picture.pixel_mm)[tissue > 0.5], places[tissue > 0.5])
        return sample(*two, best, places, tissue > 0.5, picture.width_mm)

    def mri(self, affine: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        image, side = self.slices[rng.integers(len(self.slices))], round(FIELD_MM / MRI_MM)
        warp = affine_warps.random_thin_plate(rng, FIELD_MM, self.warp_mm)
        places = affine_warps.applied(affine, warp.on_grid(side))
        shift = augment.place_mm(image.shape, FIELD_MM, MRI_MM, rng)
        moving = read(image, affine_warps.positions_mm((side, side), MRI_MM) + shift, MRI_MM)
        fixed = read(image, places + shift, MRI_MM)
        two = [as_network(augment.contrast(picture, rng), self.side) for picture in (fixed, moving)]
        everywhere = np.ones((side, side), bool)
        best = affine_warps.fitted(affine_warps.positions_mm((side, side), MRI_MM).reshape(-1, 2), places.reshape(-1, 2))
        return sample(*two, best, places, everywhere, FIELD_MM)


def read(image: np.ndarray, places: np.ndarray, pixel_mm: float, outside: Any = 0) -> np.ndarray:
    """(h, w, …) float32: the picture at places (h, w, 2) in mm, bilinear; `outside` it that value."""
    at = affine_warps.to_pixels(places, (image.shape[0], image.shape[1]), pixel_mm).astype(np.float32)
    return cv2.remap(image.astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)


def sample(
    fixed: torch.Tensor, moving: torch.Tensor, affine: np.ndarray, places: np.ndarray, tissue: np.ndarray, width_mm: float
) -> dict[str, torch.Tensor]:
    """affine: (2, 3) mm. places: (h, w, 2) mm, where the fixed picture's pixels lie in the moving one."""
    field = FIELD_MM, FIELD_MM
    grid = matching_losses.grid_places(GRID).view(GRID, GRID, 2)
    everything = np.dstack([places / (FIELD_MM / 2), tissue]).astype(np.float32)
    # The grid reaches the picture's edges, half a pixel beyond the outermost centres; there the nearest pixel counts.
    at = (grid.numpy() + 1) / 2 * tissue.shape[0] - 0.5
    found = cv2.remap(everything, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(-1, 3)
    return {
        "fixed": fixed,
        "moving": moving,
        "theta": torch.from_numpy(affine_warps.to_theta(affine, field, field)).float(),
        "positions": torch.from_numpy(found[:, :2]),
        "inside": torch.from_numpy(found[:, 2] > 0.5),
        "width": torch.tensor(width_mm / (FIELD_MM / 2)),
    }


def collated(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one kind; "kinds" names the extractors of fixed and moving picture."""
    (kind,) = {row["kinds"] for row in rows}
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0] if name != "kinds"} | {"kinds": KINDS[kind]}


class MatchingPairs(L.LightningDataModule):
    """Batches of `Pairs`. root: folder of the data sets. shares: how often each kind of pair comes. side: pixels a side.

    pieces: training pieces, made once into `cache`, about a second each. warp_mm: of the thin-plate warp; 0 is affine alone. flip,
    rotation_degrees, shift_mm, shear, scale: affine_warps.Ranges. validation: fixed pairs across modalities.
    """

    def __init__(
        self, root: str = "data", batch_size: int = 8, side: int = 256, shares: dict[str, float] | None = None, pieces: int = 200,
        steps_per_epoch: int = 250, validation: int = 64, warp_mm: float = 0.6, flip: float = 0.5, rotation_degrees: float = 180.0,
        shift_mm: float = 4.0, shear: float = 0.1, scale: float = 0.2, cache: str = "training/cache", seed: int = 2020,
        num_workers: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str | None = None) -> None:
        h, root, cache = self.hparams, Path(self.hparams.root), Path(self.hparams.cache)
        self.shares = h.shares or {"cross": 1.0}
        if set(self.shares) - set(KINDS):
            raise ValueError(f"shares may name {', '.join(KINDS)}, not {', '.join(sorted(set(self.shares) - set(KINDS)))}")
        self.train_pieces = pieces(h.pieces, 0, root, cache)
        self.slices = mri_slices("mri_train", root) if self.shares.get("mri") else []
        held = pieces(min(h.pieces, 16), VALIDATION_SEED, root, cache)
        self.held = Pairs(held, [], {"cross": 1.0}, 4, h.validation, (5,), h.side, self.ranges(), h.warp_mm)

    def ranges(self) -> affine_warps.Ranges:
        h = self.hparams
        return affine_warps.Ranges(h.flip, h.rotation_degrees, h.shift_mm, h.shear, h.scale)

    def train_dataloader(self) -> DataLoader:
        h = self.hparams
        epoch = schedule.epoch_of(self.trainer, h.steps_per_epoch)
        sizes = h.batch_size, h.batch_size * h.steps_per_epoch, (h.seed, epoch), h.side
        data = Pairs(self.train_pieces, self.slices, self.shares, *sizes, self.ranges(), h.warp_mm)
        return DataLoader(data, batch_size=h.batch_size, num_workers=h.num_workers, collate_fn=collated)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.held, batch_size=4, collate_fn=collated)
