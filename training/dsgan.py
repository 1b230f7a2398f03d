"""Learned degradation (DSGAN): what a clinical scanner does to micro-CT, from unpaired images; pairs are then made with it.

Fritsche et al., "Frequency separation for real-world super-resolution", ICCV Workshops 2019: low frequencies are held to the
downsampled image, high ones are judged by a discriminator against real images. Their perceptual loss needs features trained on
photographs and is left out. Batches are those of training.unpaired. The networks are small: a run takes minutes.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from MedSRLib import networks
from MedSRLib.networks import scales
from torch import Tensor, nn
from torch.nn import functional as F

from . import grids, mmsr

WINDOW = 5
"""Pixels a side of the mean that separates low from high frequencies, as in the paper."""


def low(image: Tensor) -> Tensor:
    """(n, 1, h, w) → the same size, mean over WINDOW × WINDOW pixels, edges repeated."""
    return F.avg_pool2d(F.pad(image, (WINDOW // 2,) * 4, mode="replicate"), WINDOW, 1)


def high(image: Tensor) -> Tensor:
    return image - low(image)


class Dsgan(L.LightningModule):
    """arguments: of the degrader. low_weight, gan_weight: of the L1 of low frequencies and of the adversarial term (1 and 0.005 there)."""

    def __init__(
        self, network: str = "degrader", arguments: dict[str, Any] | None = None, discriminator: dict[str, Any] | None = None,
        learning_rate: float = 2e-4, low_weight: float = 1.0, gan_weight: float = 0.005,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.network = networks.build(network, **(arguments or {}))
        self.discriminator = networks.build("patch_discriminator", **({"halvings": 2} | (discriminator or {})))

    def forward(self, micro: Tensor) -> Tensor:
        return self.network(micro)

    def training_step(self, batch: dict[str, Tensor], index: int) -> None:
        generating, discriminating = self.optimizers()[0], self.optimizers(use_pl_optimizer=False)[1]  # type: ignore[index]
        real, fake = scales.centre(batch["clinical"]), self(batch["micro"])
        parts = {
            "low": self.hparams.low_weight * mmsr.absolute(low(fake), low(scales.average(batch["micro"]))),
            "gan": self.hparams.gan_weight * mmsr.adversarial(self.discriminator(high(fake))),
        }
        generating.zero_grad()
        self.manual_backward(sum(parts.values()))
        generating.step()
        parts["discriminator"] = mmsr.discrimination(self.discriminator(high(real)), self.discriminator(high(fake.detach())))
        discriminating.zero_grad()
        self.manual_backward(parts["discriminator"])
        discriminating.step()
        self.log_dict({f"train_{k}": v.detach() for k, v in parts.items()}, on_step=False, on_epoch=True, batch_size=len(real))

    def configure_optimizers(self) -> list[Any]:
        return [torch.optim.Adam(m.parameters(), lr=self.hparams.learning_rate, betas=(0.5, 0.999)) for m in self._parts()]

    def _parts(self) -> tuple[nn.Module, nn.Module]:
        return self.network, self.discriminator

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """No pair exists: how strong the fake's high frequencies are beside the real ones', and how far the mean moves."""
        real, fake, mean = scales.centre(batch["clinical"]), self(batch["micro"]), scales.average(batch["micro"])
        figures = {"val_high_power": high(fake).var() / high(real).var(), "val_high_power_undone": high(mean).var() / high(real).var()}
        self.log_dict(figures | {"val_shift": (fake - mean).mean().abs()}, batch_size=len(real))
        if index == 0:
            grids.write_epoch(self, [scales.nearest(real), scales.nearest(fake), scales.nearest(mean), batch["micro"]])


def trained(checkpoint: str) -> nn.Module:
    """The degrader of a run, in evaluation mode, its weights fixed."""
    from pathlib import Path

    from .evaluate import from_checkpoint

    return from_checkpoint(Path(checkpoint)).requires_grad_(False)
