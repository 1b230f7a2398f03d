"""What the report of an earlier registration says, which lies beside its transform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT = "registration.json"


def read_report(transform: Path) -> dict[str, Any]:
    """The report beside a transform; {} where there is none, or it is not one."""
    try:
        found = json.loads((transform.parent / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_mpp(transform: Path, slide: Path | None = None) -> tuple[float, float] | None:
    """(x, y) micrometres of the slide's finest pixel, as that registration used them; None where nothing says so.

    slide: only where it was that of a file of this name.
    """
    report = read_report(transform)
    try:
        if slide is not None and Path(report["provenance"]["inputs"]["slide"]["path"]).name != slide.name:
            return None
        x, y = report["mpp"]["used_um"]
        return float(x), float(y)
    except (KeyError, TypeError, ValueError):
        return None
