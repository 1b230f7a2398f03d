"""What a page says before Apply: what the result would be, or why there would be none."""

from __future__ import annotations

from typing import Any

from ..errors import MedSRError
from ..scene import routing, sequences, thick
from ..scene.masks import check_mask
from ..scene.nodes import grid_from_node, has_image
from ..scene.regions import text_of_roi
from ..tasks.ct_plan import foretold
from ..tasks.super_resolve_ct import Options as FinerOptions
from .page import without_flags

AXES = ("i", "j", "k")


def is_cine(node: Any) -> bool:
    """Whether a volume is one frame of a sequence."""
    return node is not None and sequences.sequence_of(node) is not None


def spacing_mm(parameters: Any) -> float:
    """The spacing that counts: none where a factor is given, as the engine takes one of them only."""
    return 0.0 if parameters.factor else parameters.spacing_mm


def show_slices(ui: Any, parameters: Any, node: Any) -> bool:
    """Say in the fragment of slice interpolation what would be made of a volume; False where the engine would refuse."""
    ui.spacingSpinBox.enabled = parameters.factor == 0
    ui.spacingSpinBox.specialValueText = isotropic_text(node, parameters.axis)
    text, possible = result_text(node, spacing_mm(parameters), parameters.factor, parameters.axis, parameters.allow_shear)
    ui.previewLabel.text = text
    return possible


def isotropic_text(node: Any, axis: str) -> str:
    """What a spacing of 0 means for this volume."""
    try:
        return f"isotropic: {thick.plan(node, axis=axis).spacing_mm:.3f} mm" if has_image(node) else "isotropic"
    except MedSRError:
        return "isotropic"


def result_text(node: Any, spacing: float, factor: float, axis: str, allow_shear: bool = False) -> tuple[str, bool]:
    """(the result in one line, or why there would be none; whether Apply makes sense)."""
    if not has_image(node):
        return "Choose a thick-sliced volume.", False
    try:
        found = thick.slicing(node, None if axis == "auto" else AXES.index(axis))
        plan = thick.plan(node, spacing_mm=spacing, factor=factor, axis=axis, allow_shear=allow_shear)
    except MedSRError as error:
        return without_flags(error.sentence()), False
    made = int((plan.source < 0).sum())
    return f"{found.count} slices of {found.step_mm:.2f} mm → {len(plan.source)} of {plan.spacing_mm:.2f} mm, {made} new", True


def finer_text(parameters: Any, options: dict[str, Any], mask: Any, offered: routing.Offer) -> tuple[str, bool]:
    """(the result of super-resolution in one line, or why there would be none; whether Apply makes sense).

    parameters: inputVolume, roi and allFrames. options: of the task, without `roi`. offered: the models that fit.
    """
    node, learned = parameters.inputVolume, options["method"] == "model"
    if not has_image(node):
        return routing.CHOOSE, False
    why = routing.why_not_ct(node) if learned and not options["any_modality"] else ""
    if why:
        return f"{why[:1].upper()}{why[1:]}; give CT in HU, or allow Any modality.", False
    if learned and not offered.cards:
        return offered.why, False
    try:
        if mask is not None:
            check_mask(mask, node)
        region = "" if parameters.roi is None else text_of_roi(parameters.roi)
        return foretold(grid_from_node(node), _frames(parameters), FinerOptions(**options, roi=region)), True
    except MedSRError as error:
        return without_flags(error.sentence()), False


def _frames(parameters: Any) -> int:
    """How many time points are worked on."""
    found = sequences.sequence_of(parameters.inputVolume) if parameters.allFrames else None
    return found[1].GetNumberOfDataNodes() if found else 1
