"""What a click would give, said before it: how many slices, how far apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import MedSRError
from ..geometry import default_spacing_mm, plan_slices, swap_axis, through_plane_axis
from ..volume import Volume


def preview(volume: Volume, options: Mapping[str, Any]) -> str:
    """One sentence on the output grid for the task's options; the reason where there is none."""
    try:
        stack = swap_axis(volume, through_plane_axis(volume, str(options["axis"])))
        step, count = stack.spacing_mm[2], stack.shape[0]
        asked = step / options["factor"] if options["factor"] else options["spacing_mm"] or default_spacing_mm(stack)
        plan = plan_slices(stack, asked)
    except MedSRError as error:
        return error.sentence()
    return f"{count} slices every {step:.3g} mm become {len(plan.targets_mm)} every {plan.spacing_mm:.3g} mm."


def slice_step_mm(volume: Volume, like: Volume | None = None) -> float:
    """Distance between slices, mm; along the through-plane axis of `like`, where that is given."""
    return volume.spacing_mm[through_plane_axis(like or volume)]
