"""Training of the slice autoencoder as published: a slice is compressed and rebuilt, mean squared error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from MedSRLib import networks
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from . import losses, volumes


class Patches(Dataset):
    """Random 128×128 patches of slices in [0, 1], turned by quarters, with random gain and offset, as published."""

    def __init__(self, slices: list[np.ndarray], patch: int, length: int, seed: int) -> None:
        self.slices, self.patch, self.length, self.seed = slices, patch, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng((self.seed, index))
        image = self.slices[rng.integers(len(self.slices))]
        image = np.pad(image, [(0, max(0, self.patch - length)) for length in image.shape], mode="edge")
        y, x = (int(rng.integers(0, length - self.patch + 1)) for length in image.shape)
        image = np.rot90(image[y : y + self.patch, x : x + self.patch], rng.integers(4))
        image = image * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.uniform(-0.1, 0.1))
        return torch.from_numpy(np.ascontiguousarray(image))[None]


class SlicePatches(L.LightningDataModule):
    """Slices of the split's subjects, 1.4 mm in-plane, scaled by the 1st and 99th percentile and clamped, as published."""

    def __init__(
        self, root: str, patch: int = 128, batch_size: int = 8, steps_per_epoch: int = 250, seed: int = 2020, limit_subjects: int = 0
    ) -> None:
        super().__init__()
        self.save_hyperparameters()

    def _slices(self, which: str) -> list[np.ndarray]:
        sources = volumes.acdc(which, (volumes.PAPER_PIXEL_MM,))[: self.hparams.limit_subjects or None]
        return [np.clip(s, 0, 1) for source in sources for _, stack in volumes.stacks(source, Path(self.hparams.root)) for s in stack]

    def setup(self, stage: str | None = None) -> None:
        self.train_slices, self.validation_slices = self._slices("train"), self._slices("validation")

    def train_dataloader(self) -> DataLoader:
        h = self.hparams
        epoch = self.trainer.current_epoch if self.trainer else 0
        return DataLoader(
            Patches(self.train_slices, h.patch, h.batch_size * h.steps_per_epoch, h.seed + 100_000 * epoch), batch_size=h.batch_size
        )

    def val_dataloader(self) -> DataLoader:
        centres = [torch.from_numpy(np.ascontiguousarray(_centre(s, self.hparams.patch)))[None] for s in self.validation_slices[::4]]
        return DataLoader(centres, batch_size=1)  # type: ignore[arg-type]


def _centre(image: np.ndarray, size: int) -> np.ndarray:
    y, x = (max(0, (length - size) // 2) for length in image.shape)
    return image[y : y + size, x : x + size]


class Autoencoder(L.LightningModule):
    """learning_rate: of Adam; the paper's is 1e-5, for far more steps than a CPU can take. decay: cosine to zero at the end."""

    def __init__(
        self, network: str = "slice_autoencoder", arguments: dict[str, Any] | None = None, learning_rate: float = 1e-5, decay: bool = False
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = networks.build(network, **(arguments or {})).to(memory_format=torch.channels_last)

    def rebuild(self, slices: Tensor) -> Tensor:
        h, w = slices.shape[-2:]
        return self.network.decoder(self.network.encode(slices))[..., :h, :w]

    def training_step(self, slices: Tensor, index: int) -> Tensor:
        loss = losses.mse(self.rebuild(slices), slices)
        self.log("train_mse", loss.detach(), on_step=False, on_epoch=True)
        return loss

    def validation_step(self, slices: Tensor, index: int) -> None:
        made = self.rebuild(slices)
        mse = losses.mse(made, slices)
        self.log_dict({"val_mse": mse, "val_psnr": -10 * torch.log10(mse), "val_ssim": losses.ssim_map(made, slices).mean()}, batch_size=1)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
        if not self.hparams.decay:
            return optimizer
        steps = self.trainer.max_steps if self.trainer.max_steps > 0 else int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
