"""Whether a volume lies within what a model's card says the model is valid for."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ..geometry import SAME_SPACING

if TYPE_CHECKING:
    from ..models import Card
    from ..volume import Volume


def outside(card: Card, volume: Volume) -> list[str]:
    """A sentence where the volume (slices along z) lies outside the card's range of modality, pixel size or slice step; else none."""
    valid = card.valid_range
    modality = str(volume.meta.get("modality", "") or "")
    found = []
    if valid.get("modality") and modality and modality not in valid["modality"]:
        found.append(f"the modality is {modality}")
    gaps = np.diff(volume.slice_positions_mm)
    for key, values, what in (("pixel_mm", volume.spacing_mm[:2], "pixels"), ("gap_mm", gaps, "slice steps")):
        if key not in valid or not len(values):
            continue
        low, high = _ends(values)
        if low < valid[key][0] * (1 - SAME_SPACING) or high > valid[key][1] * (1 + SAME_SPACING):
            size = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
            found.append(f"the {what} are {size} mm (valid: {valid[key][0]:g} to {valid[key][1]:g} mm)")
    return [f"the model {card.id} was not made for this: " + ", ".join(found)] if found else []


def _ends(values: Collection[float]) -> tuple[float, float]:
    return float(min(values)), float(max(values))
