"""DINO: self-distillation of a vision transformer without labels; Caron et al., ICCV 2021.

A student sees all crops of a picture, a teacher its two large ones; the student learns to say of each crop what the teacher
says of another. The teacher is the moving average of the students so far; its answers are centred, so that no answer wins
always, and sharpened, so that not all come out alike. Shi et al. 2023 train one for MRI and one for slides; `network` here, what
is released, is the teacher, which the authors found better. A batch is a dictionary: large (n, 2, c, g, g), small (n, m, c, l, l).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import torch
from MedSRLib import networks
from MedSRLib.networks.dino_vit import DinoHead
from torch import Tensor, nn
from torch.nn import functional as F

from . import evaluate, schedule


def cross_entropy(taught: Tensor, learned: Tensor, centre: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """−Σ P log Q, mean over the batch: P = softmax((taught − centre) / τt), Q = softmax(learned / τs); (n, k) outputs of heads."""
    wanted = F.softmax((taught - centre) / teacher_temperature, -1).detach()
    return -(wanted * F.log_softmax(learned / student_temperature, -1)).sum(-1).mean()


def distillation(taught: Tensor, learned: Tensor, centre: Tensor, teacher_temperature: float, student_temperature: float) -> Tensor:
    """Mean of `cross_entropy` over pairs of different crops. taught: (2, n, k), of the large crops; learned: (2 + m, n, k), large first."""
    pairs = [(t, s) for t in range(len(taught)) for s in range(len(learned)) if s != t]
    terms = [cross_entropy(taught[t], learned[s], centre, teacher_temperature, student_temperature) for t, s in pairs]
    return torch.stack(terms).mean()


def moved_centre(centre: Tensor, taught: Tensor, momentum: float = 0.9) -> Tensor:
    """c ← m c + (1 − m) · mean of the teacher's outputs over the batch. taught: (…, k)."""
    return momentum * centre + (1 - momentum) * taught.detach().flatten(0, -2).mean(0)


def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """θt ← λ θt + (1 − λ) θs, for every parameter."""
    with torch.no_grad():
        for mine, other in zip(teacher.parameters(), student.parameters(), strict=True):
            mine.lerp_(other, 1 - momentum)


def cosine(start: float, end: float, share: float) -> float:
    """From start (share 0) to end (share 1), half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def published_weights(path: Path) -> dict[str, Tensor]:
    """Of a run here, a .safetensors file, or the authors' own checkpoints (ImageNet): the backbone, teacher before student."""
    if path.suffix != ".pth":
        return evaluate.network_weights(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("teacher", state.get("student", state))
    state = {k.removeprefix("module.").removeprefix("backbone."): v for k, v in state.items()}
    return {k: v for k, v in state.items() if not k.startswith("head.")}


class Dino(L.LightningModule):
    """network, arguments: of the backbone. head: outputs, hidden, bottleneck of DinoHead. Published: 65536 outputs, batch 1024.

    learning_rate: after warm_up steps; cosine to 1e-6. weight_decay, momentum: from, to, by a cosine. teacher_temperature: from, to,
    in a line over the first teacher_warm_up steps. frozen: steps that the last layer of the student's head stands still.
    initial: file of weights to begin with (`published_weights`).
    """

    def __init__(
        self, network: str = "dino_vit", arguments: dict[str, Any] | None = None, head: dict[str, int] | None = None,
        learning_rate: float = 5e-4, warm_up: int = 500, weight_decay: tuple[float, float] = (0.04, 0.4),
        momentum: tuple[float, float] = (0.996, 1.0), student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.07), teacher_warm_up: int = 1500, centre_momentum: float = 0.9,
        frozen: int = 100, initial: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.network, self.student = (networks.build(network, **(arguments or {})) for _ in range(2))
        self.teacher_head, self.student_head = (DinoHead(self.network.width, **(head or {})) for _ in range(2))
        if initial:
            self.student.load_state_dict(published_weights(Path(initial)))
        for teacher, student in self.pairs():
            teacher.load_state_dict(student.state_dict())
            teacher.requires_grad_(False)
        self.register_buffer("centre", torch.zeros(self.teacher_head.last.shape[0]))

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(teacher, student): backbones, heads."""
        return [(self.network, self.student), (self.teacher_head, self.student_head)]

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)

    def share(self) -> float:
        """Of the run that is over."""
        return self.global_step / max(schedule.steps_of(self), 1)

    def temperature(self) -> float:
        """The teacher's."""
        first, last = self.hparams.teacher_temperature
        return first + (last - first) * min(self.global_step / max(self.hparams.teacher_warm_up, 1), 1.0)

    def outputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Teacher (2, n, k) and student (2 + m, n, k)."""
        n, kinds = len(batch["large"]), [batch[k].transpose(0, 1).flatten(0, 1) for k in ("large", "small")]
        with torch.no_grad():
            taught = self.teacher_head(self.network(kinds[0]))
        learned = self.student_head(torch.cat([self.student(crops) for crops in kinds if len(crops)]))
        return taught.unflatten(0, (-1, n)), learned.unflatten(0, (-1, n))

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss, and the teacher's outputs."""
        taught, learned = self.outputs(batch)
        return distillation(taught, learned, self.centre, self.temperature(), self.hparams.student_temperature), taught

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        loss, taught = self.loss(batch)
        self.centre = moved_centre(self.centre, taught, self.hparams.centre_momentum)
        self.log_dict({"train_loss": loss.detach(), "train_entropy": self.entropy(taught)}, on_step=False, on_epoch=True)
        return loss

    def entropy(self, taught: Tensor) -> Tensor:
        """Of the teacher's answers: near 0 and near log k alike mean that it says the same of everything."""
        answers = F.softmax((taught - self.centre) / self.temperature(), -1)
        return -(answers * answers.clamp_min(1e-12).log()).sum(-1).mean()

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        loss, _ = self.loss(batch)
        self.log_dict({"val_loss": loss, "val_spread": spread(self.network(batch["large"][:, 0]))}, batch_size=len(batch["large"]))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """The last layer stands still at first; weight decay grows."""
        if self.global_step < self.hparams.frozen:
            self.student_head.last.grad = None
        optimizer.param_groups[0]["weight_decay"] = cosine(*self.hparams.weight_decay, self.share())

    def on_train_batch_end(self, *_: object) -> None:
        for teacher, student in self.pairs():
            follow(teacher, student, cosine(*self.hparams.momentum, self.share()))

    def configure_optimizers(self) -> dict[str, Any]:
        steps, h = schedule.steps_of(self), self.hparams
        learned = [p for _, student in self.pairs() for p in student.parameters()]
        groups = [{"params": [p for p in learned if p.dim() > 1]}, {"params": [p for p in learned if p.dim() <= 1], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=h.learning_rate, weight_decay=h.weight_decay[0])

        def rate(step: int) -> float:
            return min(1.0, (step + 1) / h.warm_up) * cosine(1.0, 1e-6 / h.learning_rate, step / steps)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, rate), "interval": "step"},
        }


def spread(features: Tensor) -> Tensor:
    """1 − mean cosine between the features of different pictures: 0 where all are told the same. (n, d), n at least 2."""
    unit = F.normalize(features, dim=-1)
    n = len(unit)
    return 1 - ((unit @ unit.T).sum() - n) / max(n * (n - 1), 1)
