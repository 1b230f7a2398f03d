"""Which task serves an image, and why; the user may choose the other one."""

from __future__ import annotations

from .entries import Entry


def route(original: Entry) -> tuple[str, str]:
    """(task, reason in one sentence)."""
    why = original.why_not_hu
    if not why:
        return "super_resolve_ct", "CT in HU: its pixels can be made eight times finer per side."
    return "interpolate_slices", f"{why[:1].upper()}{why[1:]}."
