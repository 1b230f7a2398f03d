"""The slice methods by name, the learned ones among them, in one form: what `auto` chooses from and what is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ModelError
from ..geometry import SAME_SPACING
from ..run import Progress
from ..volume import Volume
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
        valid = self.card.valid_range if self.card is not None else {}
        modality = str(volume.meta.get("modality", "") or "")
        gaps = np.diff(volume.slice_positions_mm)
        found = []
        if valid.get("modality") and modality and modality not in valid["modality"]:
            found.append(f"the modality is {modality}")
        for key, low, high, what in (("pixel_mm", *_ends(volume.spacing_mm[:2]), "pixels"), ("gap_mm", *_ends(gaps), "slice steps")):
            if key in valid and (low < valid[key][0] * (1 - SAME_SPACING) or high > valid[key][1] * (1 + SAME_SPACING)):
                found.append(f"the {what} are {low:.3g} to {high:.3g} mm (valid: {valid[key][0]:g} to {valid[key][1]:g} mm)")
        return [f"the model {self.card.id} was not made for this: " + ", ".join(found)] if found else []


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

    card = models.card(model_id or default_model())
    if card.task != TASK:
        raise ModelError(f"{card.id} is a model for {card.task}", fix="see `medsr models list`")
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


def default_model() -> str:
    """Identifier of the model that `auto` and `model` take where none is named. Raises ModelError where none is installed."""
    from .. import models

    cards = [card for card in models.list_cards() if card.task == TASK]
    if not cards:
        raise ModelError("no learned model is installed", fix="use {method} flow")
    return next((card.id for card in cards if card.default), cards[0].id)


def _ends(values: Collection[float]) -> tuple[float, float]:
    return float(min(values)), float(max(values))


def installed() -> tuple[str, ...]:
    """Identifiers of the models for this task that are on this computer."""
    from .. import models

    return tuple(card.id for card in models.list_cards() if card.task == TASK)
