"""What a click on Super-resolve volume would give, said before it: size, memory, time; and what came of it, after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import models
from ..errors import InputError
from ..run import check_memory
from ..scene.routing import why_not_ct
from ..tasks.ct_cost import nominal_seconds
from ..tasks.ct_engine import DERIVATION
from ..tasks.ct_network import INSTEAD
from ..tasks.ct_plan import plan_job
from ..tasks.ct_region import hollow
from ..tasks.options import from_dict
from ..tasks.super_resolve_ct import Options
from .entries import Entry

__all__ = ["DERIVATION", "facts", "sentence", "unset_texts"]
COPIES_SHOWN = 2
"""Of a result that is shown: the one that was read, and the one that the scene draws."""
LIMITED_TO = {"mask": "within the mask", "lungs": "within the lungs", "all": "everywhere"}


def sentence(original: Entry, options: Mapping[str, Any], seconds_a_voxel: float | None = None) -> str:
    """Size, disk, time and memory of the result. Raises MedSRError where the task would refuse, or where it could not be shown."""
    chosen = from_dict(Options, dict(options))
    if chosen.method == "model":
        _check_readable(original, chosen)
    region = hollow(original.frames[0], chosen.roi)
    plan = plan_job(region, len(original.frames), chosen)
    plan.check()
    check_memory(COPIES_SHOWN * (plan.volume_bytes + plan.fidelity_bytes), f"Showing {plan.size_text}")
    seconds = nominal_seconds(region, plan.frames, chosen)
    if seconds_a_voxel is not None:  # one of its kind was made here: that tells it better
        seconds = seconds_a_voxel * math.prod(plan.shape) * plan.frames
    return f"{plan.sentence(seconds)}, {_bytes(plan.memory_bytes)} of memory."


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{math.ceil(count / 2**20)} MB"


def _check_readable(original: Entry, chosen: Options) -> None:
    """What the task refuses before it plans: no model, or values that the model does not read."""
    card = models.for_task(chosen.model, "super_resolve_ct", INSTEAD)
    why = "" if chosen.any_modality or card.valid_range.get("intensity") else why_not_ct(original.node)
    if why:
        raise InputError(why, where=original.name, fix="give CT in HU, or allow it by {any_modality}")


def unset_texts(original: Entry, _options: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the empty field of the slice spacing."""
    return {"slice_spacing_mm": f"as acquired ({original.frames[0].spacing_mm[2]:.3g} mm)"}


def facts(report: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a result for its card: how it compares with the scan, and what was added where."""
    scan, unit = report["scan"], str(report.get("units") or "").strip()
    back = scan["averaged_back"]["rms"]
    noise = f", noise of the scan {scan['scan_noise']:.1f}" if scan.get("scan_noise") is not None else ""
    found = {
        "Mean shift": f"{scan['mean_shift']:+.2f} {unit}".rstrip(),
        "Averages back": f"within {back:.2g} {unit} (RMS{noise})".replace("  ", " "),
    }
    if report.get("model"):
        found["Detail"] = f"{scan['added_rms']:.0f} {unit} (RMS) added {LIMITED_TO[report['detail']['part']]}"
    return found
