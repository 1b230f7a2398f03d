"""Training of dense features that say the same of one place in MRI and slide, for matching by neighbours (training.matching_dense).

Each patch of the fixed picture shall be most like the moving picture's place where it truly lies, among all of that picture's places,
and the other way round: InfoNCE (van den Oord et al. 2018, eq. 4) over places, symmetric. The pairs are those of slide_data, turned
and mirrored no more than the views of matching_dense leave open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from MedSRLib import networks
from MedSRLib.networks import matching
from torch import Tensor
from torch.nn import functional as F

from . import dino, schedule
from . import matching_losses as losses


def patch_places(side: int) -> Tensor:
    """(side², 2) centres (x, y) of a side of `side` patches, row by row, in halves of the picture."""
    line = (2 * torch.arange(side) + 1) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def at_places(picture: Tensor, places: Tensor) -> Tensor:
    """picture (n, d, h, w) at places (n, p, 2), bilinear: (n, p, d)."""
    return matching.warped(picture, places[:, None])[:, :, 0].transpose(1, 2)


def covered(batch: dict[str, Any], places: Tensor) -> Tensor:
    """(n, p) bool: fixed places (p, 2) in tissue, by the grid of the loss."""
    inside = batch["inside"].float()
    side = round(inside.shape[1] ** 0.5)
    grid = inside.view(-1, 1, side, side)
    # The grid's outermost places lie on the picture's edges, as align_corners has it.
    found = F.grid_sample(grid, places.expand(len(grid), -1, -1)[:, None], align_corners=True)[:, 0, 0]
    return found > 0.5


class FeatureMatching(L.LightningModule):
    """network: slide_matcher; its extractors are trained, its regression is left as it began. extractors: files of weights that
    training.dino left, for "mri" and "slide"; none is from scratch. temperature: of the similarities. Batches are those of
    slide_data.MatchingPairs.
    """

    def __init__(
        self, network: str = "slide_matcher", arguments: dict[str, Any] | None = None, extractors: dict[str, str] | None = None,
        temperature: float = 0.07, learning_rate: float = 3e-4, warm_up: int = 100,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.network = networks.build(network, **(arguments or {}))
        for kind, path in (extractors or {}).items():
            self.network.extractors[kind].load_state_dict(dino.published_weights(Path(path)))
        self.network.regression.requires_grad_(False)

    def alike(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Similarities (n, p, p) of each fixed patch with the true place of each, and which patches lie in tissue and in both pictures."""
        fixed, moving = (
            matching.directions(self.network.dense(batch[name], kind))
            for name, kind in zip(("fixed", "moving"), batch["kinds"], strict=True)
        )
        places = patch_places(fixed.shape[-1]).to(fixed)
        there = losses.carried(batch["theta"], places)
        inside = covered(batch, places) & (there.abs() < 1).all(-1)
        targets = F.normalize(at_places(moving, there), dim=-1)
        return fixed.flatten(2).transpose(1, 2) @ targets.transpose(1, 2), inside

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        alike, inside = self.alike(batch)
        loss = info_nce(alike / self.hparams.temperature, inside)
        self.log("train_contrast", loss.detach(), on_step=False, on_epoch=True, batch_size=len(inside))
        return loss

    def validation_step(self, batch: dict[str, Any], index: int) -> None:
        """val_error: share of the tissue's patches whose nearest is not their own place."""
        alike, inside = self.alike(batch)
        own = torch.arange(alike.shape[1], device=alike.device)
        wrong = (alike.argmax(2) != own)[inside].float().mean()
        self.log("val_error", wrong, batch_size=len(inside))

    def configure_optimizers(self) -> dict[str, Any]:
        return schedule.warm_up_then_cosine(self, self.hparams.learning_rate, self.hparams.warm_up)


def info_nce(logits: Tensor, inside: Tensor) -> Tensor:
    """logits (n, p, p), the diagonal true: −log of its share of each row and of each column, mean over the places `inside` (n, p)."""
    true = torch.arange(logits.shape[1], device=logits.device)
    rows, columns = (F.cross_entropy(scores[inside], true.expand(len(scores), -1)[inside]) for scores in (logits, logits.transpose(1, 2)))
    return (rows + columns) / 2
