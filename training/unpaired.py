"""Unpaired training of clinical CT against micro-CT: SR-CycleGAN, SR-UNIT and their originals, with and without MMSR loss.

Two generators and two discriminators take turns; nothing says which patch belongs to which. Batches are dictionaries:
clinical (n, slices, h, w), micro (n, 1, 8h, 8w), both (HU + 1000) / 1000, of different places.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from MedSRLib import networks
from MedSRLib.networks import scales
from MedSRLib.networks.unit import sampled
from torch import Tensor, nn

from . import grids, losses, mmsr, schedule

POOL = 50
"""Fakes kept; Zhu 2017, section 4."""


class ImagePool:
    """Fakes of earlier steps, shown to a discriminator half of the time so that it does not forget (Shrivastava 2017).

    Not kept in a checkpoint: after resuming it fills again within `size` images.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, fakes: Tensor) -> Tensor:
        """(n, c, h, w) → as many, each either new or one of the pool that it then replaces."""
        return torch.stack([self._one(fake) for fake in fakes.detach()])

    def _one(self, fake: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(fake)
            return fake
        if not self.size or torch.rand(()) < 0.5:
            return fake
        index = int(torch.randint(self.size, ()))
        old, self.images[index] = self.images[index], fake
        return old


class Unpaired(L.LightningModule):
    """What the four methods share. `network` is G1, the network in use; `reverse` is G2.

    Subclasses say what the generators pay (`objective`) and how micro-CT is brought back (`back`). Hyperparameters that
    they must have: network, arguments, discriminator, learning_rate, gan_weight, gan_weight_y (of the fake micro-CT, where it
    differs: less of it invents less), mm_weight, mm_weights, form, pool.
    """

    def build(self) -> None:
        """Networks and pools, from the hyperparameters; the last thing that a subclass's __init__ does."""
        h = self.hparams
        self.automatic_optimization = False
        self.network, self.reverse = networks.generators(h.network, **(h.arguments or {}))
        clinical = {"channels": self.network.slices, "halvings": 3 if self.network.enlarged_input else 2}
        given = h.discriminator or {}
        self.discriminator_x = networks.build("patch_discriminator", **(clinical | given))
        self.discriminator_y = networks.build("patch_discriminator", **given)
        for module in (self.network, self.reverse, self.discriminator_x, self.discriminator_y):
            module.to(memory_format=torch.channels_last)
        self.pool_x, self.pool_y = ImagePool(h.pool), ImagePool(h.pool)

    def objective(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """x of domain X, y micro-CT → what the generators pay, by term; the fake of domain X; the fake micro-CT."""
        raise NotImplementedError

    def back(self, y: Tensor) -> Tensor:
        """Micro-CT → domain X."""
        raise NotImplementedError

    def forward(self, clinical: Tensor) -> Tensor:
        return self.network(clinical)

    def small(self, x: Tensor) -> Tensor:
        """The middle slice at clinical size; an image that the originals keep enlarged is averaged, once."""
        x = scales.centre(x)
        return scales.average(x) if self.network.enlarged_input else x

    def judged(self, fake_x: Tensor, fake_y: Tensor) -> dict[str, Tensor]:
        """The adversarial terms of both generators."""
        h = self.hparams
        weight_y = h.gan_weight if h.gan_weight_y is None else h.gan_weight_y
        return {
            "gan_x": h.gan_weight * mmsr.adversarial(self.discriminator_x(fake_x)),
            "gan_y": weight_y * mmsr.adversarial(self.discriminator_y(fake_y)),
        }

    def multi_modality(self, clinical: Tensor, fake_y: Tensor, y: Tensor, fake_x: Tensor) -> dict[str, Tensor]:
        """What eq. 4 of Zheng 2020 adds, times mm_weight; nothing where that is 0."""
        h = self.hparams
        if not h.mm_weight:
            return {}
        terms = mmsr.multi_modality(scales.centre(clinical), fake_y, y, self.small(fake_x), tuple(h.mm_weights), h.form)
        return {name: h.mm_weight * term for name, term in terms.items()}

    def training_step(self, batch: dict[str, Tensor], index: int) -> None:
        # Lightning counts a step of each wrapped optimiser; only the generators' is wrapped, so a batch is one step.
        generating, discriminating = self.optimizers()[0], self.optimizers(use_pl_optimizer=False)[1]  # type: ignore[index]
        x, y = self.network.domain(batch["clinical"]), batch["micro"]
        self._let_discriminators_learn(False)
        parts, fake_x, fake_y = self.objective(x, y)
        parts |= self.multi_modality(batch["clinical"], fake_y, y, fake_x)
        self._take(generating, sum(parts.values()))
        self._let_discriminators_learn(True)
        parts["discriminator_x"] = mmsr.discrimination(self.discriminator_x(x), self.discriminator_x(self.pool_x(fake_x)))
        parts["discriminator_y"] = mmsr.discrimination(self.discriminator_y(y), self.discriminator_y(self.pool_y(fake_y)))
        self._take(discriminating, parts["discriminator_x"] + parts["discriminator_y"])
        for falling in self.lr_schedulers():  # type: ignore[union-attr]
            falling.step()
        self.log_dict({f"train_{k}": v.detach() for k, v in parts.items()}, on_step=False, on_epoch=True, batch_size=len(y))

    def _take(self, optimizer: Any, loss: Any) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _discriminators(self) -> nn.ModuleList:
        return nn.ModuleList([self.discriminator_x, self.discriminator_y])

    def _let_discriminators_learn(self, learn: bool) -> None:
        self._discriminators().requires_grad_(learn)

    def configure_optimizers(self) -> tuple[list[Any], list[Any]]:
        """Adam with β1 = 0.5; the rate is constant for the first half and falls linearly to zero, as in Zhu 2017."""
        steps, rate = schedule.steps_of(self), self.hparams.learning_rate
        generators = nn.ModuleList([self.network, self.reverse])  # parameters() names what UNIT shares once
        optimizers = [torch.optim.Adam(m.parameters(), lr=rate, betas=(0.5, 0.999)) for m in (generators, self._discriminators())]
        fall = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: min(1.0, max(0.0, 2 * (1 - step / steps)))) for o in optimizers]
        return optimizers, fall

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """No truth exists: how well the input is kept (its mean by 8), and how sharp beside real micro-CT."""
        clinical, y = batch["clinical"], batch["micro"]
        made, x = self(clinical), scales.centre(clinical)
        kept, sharp = losses.mse(x, scales.average(made)), losses.energy(made) / losses.energy(y).clamp_min(1e-9)
        self.log_dict({"val_consistency": kept, "val_sharpness": sharp}, batch_size=len(y))
        if index == 0:
            fake_x = scales.nearest(self.small(self.back(y)))
            grids.write_epoch(self, [scales.nearest(x), scales.bicubic(x), made, y, fake_x])


class CycleGAN(Unpaired):
    """network: sr_cyclegan or cyclegan. cycle_weight: λ of Zhu 2017, 10. identity_weight: half of it, as in its section 5.2.

    mm_weight: 1 with the multi-modality loss, 0 without. mm_weights: λ1 to λ4. form: of eq. 1 (mmsr.structure).
    Where the generators change the size, the identity of a micro-CT patch y is G1(f(y)) ≈ y, of a clinical one G2(g(x)) ≈ x.
    Neighbouring slices of x cannot come back through one slice of micro-CT: the cycle counts the middle one.
    """

    def __init__(
        self, network: str = "sr_cyclegan", arguments: dict[str, Any] | None = None, discriminator: dict[str, Any] | None = None,
        learning_rate: float = 2e-4, gan_weight: float = 1.0, gan_weight_y: float | None = None,
        cycle_weight: float = 10.0, identity_weight: float = 5.0,
        mm_weight: float = 1.0, mm_weights: tuple[float, float, float, float] = mmsr.WEIGHTS, form: str = "standard", pool: int = POOL,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.build()

    def back(self, y: Tensor) -> Tensor:
        return self.reverse(y)

    def objective(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        h = self.hparams
        fake_y, fake_x = self.network.translate(x), self.reverse(y)
        again_x, again_y = self.reverse(fake_y), self.network.translate(fake_x)
        parts = self.judged(fake_x, fake_y)
        parts["cycle_x"] = h.cycle_weight * mmsr.absolute(scales.centre(again_x), scales.centre(x))
        parts["cycle_y"] = h.cycle_weight * mmsr.absolute(again_y, y)
        if h.identity_weight:
            parts |= self._identity(x, y)
        return parts, fake_x, fake_y

    def _identity(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Each generator, given an image that already is of the domain it makes, should leave it alone."""
        middle = scales.centre(x)
        y_as_x = y if self.network.enlarged_input else scales.average(y)
        x_as_y = middle if self.network.enlarged_input else scales.nearest(middle)
        same_y = self.network.translate(y_as_x.expand(-1, self.network.slices, -1, -1))
        same_x = scales.centre(self.reverse(x_as_y))
        weight = self.hparams.identity_weight
        return {"identity_y": weight * mmsr.absolute(same_y, y), "identity_x": weight * mmsr.absolute(same_x, middle)}


class UNIT(Unpaired):
    """network: sr_unit or unit. Weights of Liu 2017 (10 adversarial, 0.1 KL, 100 reconstruction), all divided by 10.

    So the adversarial term weighs 1 as in CycleGAN, and λ1 to λ4 of eq. 4 mean the same beside it. mm_weight: 1 with the
    multi-modality loss, 0 without. mm_weights: λ1 to λ4. form: of eq. 1 (mmsr.structure).
    """

    def __init__(
        self, network: str = "sr_unit", arguments: dict[str, Any] | None = None, discriminator: dict[str, Any] | None = None,
        learning_rate: float = 1e-4, gan_weight: float = 1.0, gan_weight_y: float | None = None,
        kl_weight: float = 0.01, reconstruction_weight: float = 10.0,
        mm_weight: float = 1.0, mm_weights: tuple[float, float, float, float] = mmsr.WEIGHTS, form: str = "standard", pool: int = POOL,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.build()

    def back(self, y: Tensor) -> Tensor:
        return self.reverse.translate(y)

    def objective(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Liu 2017, eq. 2: both autoencoders, both translations, both cycles through the shared code."""
        g1, g2 = self.network, self.reverse  # g1 reads x and writes y, g2 the other way round
        mean_x, mean_y = g1.encode(x), g2.encode(y)
        code_x, code_y = sampled(mean_x), sampled(mean_y)
        fake_y, fake_x = g1.decode(code_x), g2.decode(code_y)
        again_mean_x, again_mean_y = g2.encode(fake_y), g1.encode(fake_x)
        again_x, again_y = g2.decode(sampled(again_mean_x)), g1.decode(sampled(again_mean_y))
        weight = self.hparams.reconstruction_weight
        parts = self.judged(fake_x, fake_y) | {
            "reconstruction_x": weight * mmsr.absolute(g2.decode(code_x), x),
            "reconstruction_y": weight * mmsr.absolute(g1.decode(code_y), y),
            "cycle_x": weight * mmsr.absolute(scales.centre(again_x), scales.centre(x)),
            "cycle_y": weight * mmsr.absolute(again_y, y),
        }
        means = 2 * (mean_x, mean_y) + (again_mean_x, again_mean_y)  # eqs. 3 and 5 both count the first code
        parts["kl"] = self.hparams.kl_weight * torch.stack([mmsr.divergence(mean) for mean in means]).sum()
        return parts, fake_x, fake_y
