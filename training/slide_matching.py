"""Training of networks that match a slide with MRI, on warps whose truth is known.

Pairs are a warped picture and itself, inside one modality, or a pseudo-MRI and the slide that it was made of (training.slide_data).
The loss is ProsRegNet's distance of grid points; the published one, squared differences of intensities, stands behind `loss`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from MedSRLib import networks
from torch import Tensor

from . import dino, schedule
from . import matching_losses as losses

SUCCESS = 0.02
"""Of the tissue's width: the largest mean error that counts as a success."""
GRID = 20
"""Places a side of the grid of the loss, as ProsRegNet."""


class SlideMatching(L.LightningModule):
    """network: slide_matcher or prosregnet. loss: "grid" or "ssd" (eq. 2 of Shi et al. 2023). extractors: files of weights that
    training.dino left, for "mri" and "slide"; none is from scratch. frozen: their weights stay as they are. spline_weight: of the
    grid distance of the thin-plate spline, where the network has one. Batches are those of slide_data.MatchingPairs.
    """

    def __init__(
        self, network: str = "slide_matcher", arguments: dict[str, Any] | None = None, loss: str = "grid",
        extractors: dict[str, str] | None = None, frozen: bool = False, learning_rate: float = 5e-4, warm_up: int = 200,
        spline_weight: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if loss not in ("grid", "ssd"):
            raise ValueError(f'loss must be "grid" or "ssd", not {loss!r}')
        self.save_hyperparameters()
        self.network = networks.build(network, **(arguments or {}))
        for kind, path in (extractors or {}).items():
            self.network.extractors[kind].load_state_dict(dino.published_weights(Path(path)))
        if frozen:
            self.network.extractors.requires_grad_(False)
        self.register_buffer("places", losses.grid_places(GRID), persistent=False)

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        return self.network(fixed, moving)

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        given = batch["fixed"], batch["moving"], batch["kinds"]
        parts = {}
        if hasattr(self.network, "both"):
            theta, moved = self.network.both(*given)
            # θ is the affine's to learn: the spline is judged on top of it as it is.
            made = self.network.positions(theta.detach(), moved, self.places)
            parts["spline"] = self.hparams.spline_weight * losses.grid_distance(made, batch["positions"])
        else:
            theta = self.network(*given)
        parts[self.hparams.loss] = self.judged(theta, batch)
        self.log_dict({f"train_{k}": v.detach() for k, v in parts.items()}, on_step=False, on_epoch=True, batch_size=len(theta))
        return sum(parts.values())  # type: ignore[return-value]

    def judged(self, theta: Tensor, batch: dict[str, Any]) -> Tensor:
        if self.hparams.loss == "ssd":
            return losses.squared_differences(batch["fixed"], batch["moving"], theta)
        return losses.grid_distance(losses.carried(theta, self.places), losses.carried(batch["theta"], self.places))

    def validation_step(self, batch: dict[str, Any], index: int) -> None:
        """Success: mean error over the tissue of at most 2 % of its width, which a wrong flip cannot have."""
        theta = self.network(batch["fixed"], batch["moving"], batch["kinds"])
        made, true = (losses.carried(t, self.places) for t in (theta, batch["theta"]))
        error = losses.errors(made, true, batch["inside"], batch["width"])
        figures = {
            "val_error": error.mean(),
            "val_success": (error <= SUCCESS).float().mean(),
            "val_flip": (losses.mirrored(theta) == losses.mirrored(batch["theta"])).float().mean(),
        }
        self.log_dict(figures, batch_size=len(theta))

    def configure_optimizers(self) -> dict[str, Any]:
        return schedule.warm_up_then_cosine(self, self.hparams.learning_rate, self.hparams.warm_up)
