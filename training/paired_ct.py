"""Training of the CT super-resolver on pairs: micro-CT, and the clinical CT simulated from it.

Batches are dictionaries: clinical (n, slices, h, w), micro (n, 1, 8h, 8w), both (HU + 1000) / 1000, of the same place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from MedSRLib import networks
from MedSRLib.networks import scales
from torch import Tensor
from torch.nn import functional as F

from . import dsgan, evaluate, grids, losses, schedule

PIXEL_LOSSES = {"l1": lambda made, true: (made - true).abs().mean(), "charbonnier": losses.charbonnier}
ERROR_SHOWN = 0.2
"""White of the expected error in pictures: 200 HU."""


class CtSuperResolver(L.LightningModule):
    """network: name and arguments of the architecture. learning_rate: after warm-up; cosine to zero over the run.

    The loss is pixel_weight·(L1 or Charbonnier) + ssim_weight·(1 − SSIM) + gradient_weight·L1 of gradients +
    error_weight·Laplace likelihood of the expected error, which moves the error's head alone. degradation: checkpoint of
    training.dsgan, which then makes the clinical patch of the micro-CT, instead of the simulation, in training. initial:
    checkpoint or weights.safetensors to begin with; of one that took fewer slices, new neighbours begin without a say.
    """

    def __init__(
        self, network: str = "ct_super_resolver", arguments: dict[str, Any] | None = None, learning_rate: float = 5e-4,
        warm_up: int = 200, pixel_loss: str = "l1", pixel_weight: float = 1.0, ssim_weight: float = 0.1,
        gradient_weight: float = 0.5, error_weight: float = 0.01, degradation: str = "",
        initial: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.pixel_loss = PIXEL_LOSSES[pixel_loss]
        self.network = networks.build(network, **(arguments or {})).to(memory_format=torch.channels_last)
        if initial:
            self.network.load_state_dict(widened(evaluate.network_weights(Path(initial)), self.network.slices))
        self._degrade = [dsgan.trained(degradation)] if degradation else []  # in a list: it is not part of the checkpoint

    def forward(self, clinical: Tensor) -> Tensor:
        return self.network(clinical)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        clinical, true, h = batch["clinical"], batch["micro"], self.hparams
        for degrade in self._degrade:
            clinical = degrade(true).expand_as(clinical)
        made = self.network.with_error(clinical)
        parts = {
            "pixel": h.pixel_weight * self.pixel_loss(made.value, true),
            "ssim": h.ssim_weight * losses.ssim(made.value, true),
            "gradient": h.gradient_weight * losses.gradient(made.value, true),
            "error": h.error_weight * losses.laplace(made.expected_error, made.value, true),
        }
        self.log_dict({f"train_{k}": v.detach() for k, v in parts.items()}, on_step=False, on_epoch=True, batch_size=len(true))
        return sum(parts.values())  # type: ignore[return-value]

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Beside bicubic enlarging; sharpness and error ratio are 1 where they are right."""
        true, middle = batch["micro"], scales.centre(batch["clinical"])
        made, bicubic = self.network.with_error(batch["clinical"]), scales.bicubic(middle)
        figures = {
            "val_psnr": psnr(made.value, true),
            "val_psnr_bicubic": psnr(bicubic, true),
            "val_ssim": losses.ssim_map(made.value, true).mean(),
            "val_ssim_bicubic": losses.ssim_map(bicubic, true).mean(),
            "val_sharpness": losses.energy(made.value) / losses.energy(true).clamp_min(1e-9),
            "val_consistency": losses.mse(middle, scales.average(made.value)),
            "val_error_ratio": made.expected_error.mean() / (made.value - true).abs().mean().clamp_min(1e-9),
        }
        self.log_dict(figures, batch_size=len(true))
        if index == 0:
            error = made.expected_error * (grids.GREY[1] / ERROR_SHOWN)
            grids.write_epoch(self, [scales.nearest(middle), bicubic, made.value, true, error])

    def configure_optimizers(self) -> dict[str, Any]:
        return schedule.warm_up_then_cosine(self, self.hparams.learning_rate, self.hparams.warm_up)


def widened(weights: dict[str, Tensor], slices: int) -> dict[str, Tensor]:
    """Weights for `slices` neighbouring slices, from those for fewer: what is read of the new ones counts nothing yet."""
    more = (slices - weights["head.weight"].shape[1]) // 2
    return weights | {"head.weight": F.pad(weights["head.weight"], (0, 0, 0, 0, more, more))}


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Mean over the images of the batch, in dB of a range of 1 (1000 HU)."""
    return -10 * (made - true).square().mean((1, 2, 3)).clamp_min(1e-12).log10().mean()
