"""The slice methods by name, the learned ones among them, in one form: what `auto` chooses from and what is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..run import Progress
from ..volume import Volume
from .card_range import outside
from .slice_choice import Method
from .slice_methods import CLASSICAL
from .synthesis import Synthesis

TASK = "interpolate_slices"


@dataclass(frozen=True)
class Candidate:
    """A method that can be run. model: facts of the learned one (id, sha256, licence, device), empty otherwise. card: its models.Card."""

    name: str
    run: Method
    model: dict[str, Any] = field(default_factory=dict)
    card: Any = None

    def outside(self, volume: Volume) -> list[str]:
        """Sentences where the volume (slices along z) lies outside the range that the model's card says it is valid for."""
        return outside(self.card, volume) if self.card is not None else []


def classical(name: str) -> Candidate:
    """A method that needs no training, by its name in slice_methods.CLASSICAL."""
    return Candidate(name, CLASSICAL[name])


def learned(
    model_id: str = "",
    *,
    name: str = "model",
    device: str = "auto",
    batch_size: int = 8,
    self_ensemble: bool = False,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Candidate:
    """A learned method; "" takes the default model. Raises ModelError or DependencyError where it cannot be had."""
    from .. import models
    from ..run import choose_device
    from .slices_learned import synthesise

    card = models.for_task(model_id, TASK, "use {method} flow")
    chosen = choose_device(device)
    module = models.build(card.id, chosen)

    def run(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress) -> Synthesis:
        return synthesise(
            slices,
            positions_mm,
            targets_mm,
            module,
            device=chosen,
            batch_size=batch_size,
            self_ensemble=self_ensemble,
            progress=progress,
            warn=warn,
        )

    return Candidate(name, run, {"id": card.id, "sha256": card.sha256, "licence": card.licence, "device": chosen}, card)


def installed() -> tuple[str, ...]:
    """Identifiers of the models for this task that are on this computer."""
    from .. import models

    return tuple(card.id for card in models.of_task(TASK))
