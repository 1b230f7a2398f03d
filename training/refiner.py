"""Training of the slice refiner: an acquired slice between two others is synthesised from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import torch
from MedSRLib import networks
from torch import Tensor

from . import evaluate, losses, schedule

SSIM_WORTH = 15.0
"""dB that one unit of SSIM counts where checkpoints are compared: what separates linear from flow in both (1.3 dB, 0.09)."""
MARGIN = 4
"""Pixels at the edge of a training crop that do not count: what moves in from outside cannot be known."""


class Refiner(L.LightningModule):
    """network: name and arguments of the architecture. learning_rate: after warm-up; cosine to zero over max_steps.

    The loss is mse_weight·MSE + ssim_weight·(1 − SSIM) + gradient_weight·L1 of gradients, the MSE of the blend before the
    residual (so that flows learn), and the Laplace likelihood of the expected error. contrast_weight: of the contrast that
    small structures lose, in volumes that come with lesions. initial: a checkpoint or weights.safetensors of the
    same network to begin with.
    """

    def __init__(
        self, network: str = "slice_refiner", arguments: dict[str, Any] | None = None, learning_rate: float = 1e-3,
        warm_up: int = 200, mse_weight: float = 10.0, ssim_weight: float = 0.3, gradient_weight: float = 0.0,
        blend_weight: float = 3.0, error_weight: float = 0.02, contrast_weight: float = 0.0,
        initial: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.network = networks.build(network, **(arguments or {})).to(memory_format=torch.channels_last)
        if initial:
            self.network.load_state_dict(evaluate.network_weights(Path(initial)))

    def forward(self, batch: dict[str, Tensor]):
        return self.network(batch["a"], batch["b"], batch["a_to_b"], batch["b_to_a"], batch["alpha"])

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        value, error, blend = (x[inside] for x in self(batch))
        true, h = batch["target"][inside], self.hparams
        parts = {
            "mse": h.mse_weight * losses.mse(value, true),
            "ssim": h.ssim_weight * losses.ssim(value, true),
            "blend": h.blend_weight * losses.mse(blend, true),
            "error": h.error_weight * losses.laplace(error, value, true),
        }
        if h.contrast_weight:
            parts["contrast"] = h.contrast_weight * (batch["keep_contrast"] * losses.lost_contrast(value, true)).mean()
        if h.gradient_weight:
            parts["gradient"] = h.gradient_weight * losses.gradient(value, true)
        self.log_dict({f"train_{k}": v.detach() for k, v in parts.items()}, on_step=False, on_epoch=True)
        return sum(parts.values())

    def on_validation_epoch_start(self) -> None:
        self.rows: list[tuple[int, float, float, float, float]] = []

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        made, true = self(batch), batch["target"]
        psnr = -10 * math.log10(max(float(losses.mse(made.value, true)), 1e-12))
        sharp = [float(losses.energy(x)) for x in (made.value, true)]
        ratio = float(made.expected_error.mean() / (made.value - true).abs().mean().clamp_min(1e-9))
        ssim = float(losses.ssim_map(made.value, true).mean())
        self.rows.append((int(batch["subject"]), psnr, ssim, sharp[0] / max(sharp[1], 1e-9), ratio))

    def on_validation_epoch_end(self) -> None:
        rows = torch.tensor(self.rows)
        subjects = torch.stack([rows[rows[:, 0] == s, 1:].mean(0) for s in rows[:, 0].unique()]).mean(0)
        names = ("val_psnr", "val_ssim", "val_sharpness", "val_error_ratio")
        figures = dict(zip(names, subjects.tolist(), strict=True))
        self.log_dict(figures | {"val_score": figures["val_psnr"] + SSIM_WORTH * figures["val_ssim"]})

    def configure_optimizers(self) -> dict[str, Any]:
        return schedule.warm_up_then_cosine(self, self.hparams.learning_rate, self.hparams.warm_up)
