"""Crops for DINO: patches of 256 × 256 pixels of slides or of MRI, two large and several small crops of each.

Slides: real ones at three magnifications, and pieces of tissue seen whole (training.slide_pieces), as in use. MRI: slices of real
volumes. All have a stated licence (splits/slides.json). A sample follows from (seed, epoch, index) alone.
"""

from __future__ import annotations

from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from . import augment, schedule, slide_data, slide_pieces, slide_sources

PATCH = 256
"""Pixels a side, as published."""
LARGE, SMALL = (0.4, 1.0), (0.05, 0.4)
"""Share of the patch's area that a crop shows."""
BLUR, INVERT = (1.0, 0.1, 0.5), 0.2
"""Probability of blurring the first large crop, the second, a small one; of turning the second's brightness over (solarisation)."""


def slide_pictures(root: Path, pieces: int, first_seed: int, cache: Path) -> list[np.ndarray]:
    """(h, w, 3) uint8: the real slides of splits/slides.json in all their stains, at each magnification, then pieces."""
    import cv2

    made = []
    for source in slide_sources.sources("textures"):
        rgb = slide_sources.read(source, root)
        made += [cv2.resize(rgb, None, fx=1 / n, fy=1 / n, interpolation=cv2.INTER_AREA) for n in slide_pieces.REDUCTIONS]
    return made + [p.rgb for p in slide_data.pieces(pieces, first_seed, root, cache)]


class Crops(Dataset):
    """Sample `index`: large (2, c, large, large) and small (count, c, small, small), about 0 to 1; c is 3 for slides, 1 for MRI."""

    def __init__(
        self, pictures: list[np.ndarray], kind: str, length: int, seed: tuple[int, ...], sizes: tuple[int, int], count: int
    ) -> None:
        self.pictures, self.kind, self.length, self.seed, self.sizes, self.count = pictures, kind, length, seed, sizes, count

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((*self.seed, index))
        image = self.pictures[rng.integers(len(self.pictures))]
        room = np.maximum((np.array(image.shape[1::-1]) - PATCH) / 2, 0)
        middle = (np.array(image.shape[1::-1]) - 1) / 2 + rng.uniform(-1, 1, 2) * room
        large = [self.crop(image, middle, LARGE, self.sizes[0], k, rng) for k in range(2)]
        small = [self.crop(image, middle, SMALL, self.sizes[1], 2, rng) for _ in range(self.count)]
        return {"large": torch.stack(large), "small": torch.stack(small) if small else torch.empty(0)}

    def crop(
        self, image: np.ndarray, middle: np.ndarray, share: tuple[float, float], out: int, which: int, rng: np.random.Generator
    ) -> torch.Tensor:
        """(c, out, out). which: 0 and 1 the large crops, 2 a small one."""
        side = PATCH * rng.uniform(*share) ** 0.5
        place = middle + rng.uniform(-1, 1, 2) * (PATCH - side) / 2
        made = augment.window(image.astype(np.float32), place, side, out, int(rng.integers(8)))
        made = augment.contrast(made, rng) if self.kind == "mri" else augment.stain(made, rng)
        made = augment.blurred(made, rng) if rng.random() < BLUR[which] else made
        made = np.where(made > 0.5, 1 - made, made) if which == 1 and rng.random() < INVERT else made
        return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(made).transpose(2, 0, 1), np.float32))


class DinoCrops(L.LightningDataModule):
    """Batches {large (n, 2, c, g, g), small (n, m, c, l, l)}. kind: "mri" or "slide". root: folder of the data sets.

    large, small: pixels a side, multiples of 16; count: small crops. Published: 224, 96 and 8 to 10. pieces: of tissue, beside the
    real slides. validation: fixed samples, of pieces and volumes that do not train.
    """

    def __init__(
        self, kind: str, root: str = "data", batch_size: int = 32, large: int = 160, small: int = 64, count: int = 4, pieces: int = 60,
        steps_per_epoch: int = 100, validation: int = 32, cache: str = "training/cache", seed: int = 2020, num_workers: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if kind not in ("mri", "slide"):
            raise ValueError(f'kind must be "mri" or "slide", not {kind!r}')
        self.save_hyperparameters()

    def setup(self, stage: str | None = None) -> None:
        h, root, cache = self.hparams, Path(self.hparams.root), Path(self.hparams.cache)
        if h.kind == "mri":
            self.pictures, held = (slide_data.mri_slices(which, root) for which in ("mri_train", "mri_validation"))
        else:
            self.pictures = slide_pictures(root, h.pieces, 0, cache)
            held = [p.rgb for p in slide_data.pieces(4, slide_data.VALIDATION_SEED, root, cache)]
        self.held = Crops(held, h.kind, h.validation, (5,), (h.large, h.small), h.count)

    def train_dataloader(self) -> DataLoader:
        h = self.hparams
        epoch = schedule.epoch_of(self.trainer, h.steps_per_epoch)
        data = Crops(self.pictures, h.kind, h.batch_size * h.steps_per_epoch, (h.seed, epoch), (h.large, h.small), h.count)
        return DataLoader(data, batch_size=h.batch_size, num_workers=h.num_workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.held, batch_size=min(self.hparams.batch_size, 16))
