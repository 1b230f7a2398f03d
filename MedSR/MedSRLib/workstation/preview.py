"""What a click on Interpolate slices would give, said before it: how many slices, how far apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import MedSRError
from ..geometry import SlicePlan, default_spacing_mm, plan_slices, swap_axis, through_plane_axis
from ..volume import Volume
from .entries import Entry

ISOTROPIC = {"spacing_mm": "isotropic"}
"""What an empty spacing means where there is no grid to reckon with."""


def sentence(original: Entry, options: Mapping[str, Any], _seconds_a_voxel: float | None = None) -> str:
    """The output grid for the task's options. Raises MedSRError where there is none."""
    step, count, plan = _plan(original.frames[0], options)
    return f"{count} slices every {step:.3g} mm become {len(plan.targets_mm)} every {plan.spacing_mm:.3g} mm."


def unset_texts(original: Entry, options: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the empty fields of spacing and factor: what they come to, with the other options as they are."""
    try:
        step, _, plan = _plan(original.frames[0], options)
    except MedSRError:
        return ISOTROPIC
    spacing = f"{plan.spacing_mm:.3g} mm"
    return {"spacing_mm": spacing if options["factor"] else f"isotropic ({spacing})", "factor": f"{step / plan.spacing_mm:.3g} ×"}


def _plan(volume: Volume, options: Mapping[str, Any]) -> tuple[float, int, SlicePlan]:
    """(step in mm, number) of the acquired slices, and the grid that the options ask for."""
    stack = swap_axis(volume, through_plane_axis(volume, str(options["axis"])))
    step = stack.spacing_mm[2]
    asked = step / options["factor"] if options["factor"] else options["spacing_mm"] or default_spacing_mm(stack)
    return step, stack.shape[0], plan_slices(stack, asked)


def slice_step_mm(volume: Volume, like: Volume | None = None) -> float:
    """Distance between slices, mm; along the through-plane axis of `like`, where that is given."""
    return volume.spacing_mm[through_plane_axis(like or volume)]
