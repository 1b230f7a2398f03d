"""What the report of an earlier registration says, which lies beside its transform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT = "registration.json"
MOVED = "the slide was moved by hand after the registration: outlines, Dice and fused image are those of before"


def read_report(transform: Path) -> dict[str, Any]:
    """The report beside a transform; {} where there is none, or it is not one."""
    try:
        found = json.loads((transform.parent / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_of(report: dict[str, Any], slide: Path) -> bool:
    """Whether a report is of a slide's file of this name."""
    try:
        return Path(report["provenance"]["inputs"]["slide"]["path"]).name == slide.name
    except (KeyError, TypeError):
        return False


def read_untold(transform: Path, slide: Path) -> tuple[bool, dict[str, str]]:
    """(whether it said which way round this slide lies, {what it left open: sentence}), of the registration that a transform is of."""
    report = read_report(transform)
    if not is_of(report, slide):
        return True, {}
    orientation, untold = report.get("orientation"), report.get("untold")
    told = bool(orientation.get("determined", True)) if isinstance(orientation, dict) else True
    return told, {str(what): str(sentence) for what, sentence in untold.items()} if isinstance(untold, dict) else {}


def read_mpp(transform: Path, slide: Path | None = None) -> tuple[float, float] | None:
    """(x, y) micrometres of the slide's finest pixel, as that registration used them; None where nothing says so.

    slide: only where it was that of a file of this name.
    """
    report = read_report(transform)
    if slide is not None and not is_of(report, slide):
        return None
    try:
        x, y = report["mpp"]["used_um"]
        return float(x), float(y)
    except (KeyError, TypeError, ValueError):
        return None
