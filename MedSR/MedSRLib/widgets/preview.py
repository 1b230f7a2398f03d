"""What the page says before Apply: what the result would be."""

from __future__ import annotations

from typing import Any

from ..errors import MedSRError
from ..scene import sequences, thick
from ..scene.nodes import has_image
from .page import without_flags

AXES = ("i", "j", "k")


def is_cine(node: Any) -> bool:
    """Whether a volume is one frame of a sequence."""
    return node is not None and sequences.sequence_of(node) is not None


def isotropic_text(node: Any, axis: str) -> str:
    """What a spacing of 0 means for this volume."""
    try:
        return f"isotropic: {thick.plan(node, axis=axis).spacing_mm:.3f} mm" if has_image(node) else "isotropic"
    except MedSRError:
        return "isotropic"


def result_text(node: Any, spacing_mm: float, factor: float, axis: str, allow_shear: bool = False) -> tuple[str, bool]:
    """(the result in one line, or why there would be none; whether Apply makes sense)."""
    if not has_image(node):
        return "Choose a thick-sliced volume.", False
    try:
        found = thick.slicing(node, None if axis == "auto" else AXES.index(axis))
        plan = thick.plan(node, spacing_mm=spacing_mm, factor=factor, axis=axis, allow_shear=allow_shear)
    except MedSRError as error:
        return without_flags(error.sentence()), False
    made = int((plan.source < 0).sum())
    return f"{found.count} slices of {found.step_mm:.2f} mm → {len(plan.source)} of {plan.spacing_mm:.2f} mm, {made} new", True
