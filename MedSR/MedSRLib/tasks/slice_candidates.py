"""The slice methods by name, the learned ones among them, in one form: what `auto` chooses from and what is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ModelError
from ..run import Progress
from ..volume import Volume
from .slice_choice import Method
from .slice_methods import CLASSICAL
from .synthesis import Synthesis

TASK = "interpolate_slices"


@dataclass(frozen=True)
class Candidate:
    """A method that can be run. model: facts of the learned one (id, sha256, licence), empty otherwise."""

    name: str
    run: Method
    model: dict[str, Any] = field(default_factory=dict)
    card: Any = None

    def outside(self, volume: Volume) -> list[str]:
        """Sentences where the volume lies outside the range that the model's card says it is valid for."""
        return []


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
    try:
        from .slices_learned import synthesise
    except ModuleNotFoundError as error:
        raise ModelError("no learned model is installed", fix="use --method flow") from error

    card = models.card(model_id or default_model())
    if card.task != TASK:
        raise ModelError(f"{card.id} is a model for {card.task}", fix="see `medsr models list`")
    chosen = choose_device(device)
    module = models.build(card.id, chosen)

    def run(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress) -> Synthesis:
        return synthesise(
            slices, positions_mm, targets_mm, module, device=chosen, batch_size=batch_size, self_ensemble=self_ensemble, progress=progress
        )

    return Candidate(name, run, {"id": card.id, "sha256": card.sha256, "licence": card.licence, "device": chosen})


def default_model() -> str:
    """Identifier of the model that `auto` and `model` take where none is named. Raises ModelError where none is installed."""
    from .. import models

    cards = [card for card in models.list_cards() if card.task == TASK]
    if not cards:
        raise ModelError("no learned model is installed", fix="use --method flow")
    return next((card.id for card in cards if getattr(card, "default", False)), cards[0].id)
