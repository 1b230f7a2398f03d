"""What the page says of a registration: its grade in words and colour, Dice of each outline, how the slide lies, what to beware of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..scene import nudge
from ..scene.registration_words import beware, grade_words
from .entries import Entry

LOOKS = {
    "good": ("success", "mdi-check-circle"),
    "doubtful": ("warning", "mdi-alert-circle"),
    "refused": ("error", "mdi-close-circle"),
}
"""By grade: (colour, icon)."""
UNSCORED = ("info", "mdi-hand-back-right-outline")
SAID_BY = {
    "given": "as given",
    "gland": "from the gland's size",
    "outlines": "from the outlines' file",
    "case": "from the case's description",
    "registration.json": "as in the registration that the transform is of",
}
"""Who says how large a pixel is, where the source's own name does not read well."""
ZIP, TRANSFORM, PYRAMID = "registration.zip", "transform.h5", "fused_slide.ome.tif"


def slide_card(entry: Entry) -> dict[str, Any]:
    """The card of a registration."""
    facts = entry.report
    colour, icon = LOOKS.get(str(facts.get("grade", "")), UNSCORED)
    moved = bool(entry.registration and nudge.nudged(entry.registration.transform))
    return {
        "name": entry.name,
        "grade": {"words": grade_words(facts), "colour": colour, "icon": icon},
        "facts": [{"label": k, "value": v} for k, v in _facts(facts).items() if v] if facts else [],
        "outlines": [_row(row) for row in facts.get("outlines") or ()],
        "why": "",
        "invented": "",
        "warnings": beware(facts, moved),
        "links": _links(entry),
    }


def _facts(facts: Mapping[str, Any]) -> dict[str, str]:
    orientation, mpp = facts["orientation"], facts["mpp"]
    sure = "determined" if orientation["determined"] else "not determined"
    return {
        "Slice": str(facts["slice"]),
        "Orientation": f"{orientation['chosen']}, {sure}",
        "Pixel": f"{mpp['used_um'][0]:.3g} µm, {SAID_BY.get(mpp['source'], 'from the ' + mpp['source'])}",
        "Method": str(facts.get("method") or ""),
        "Time": f"{float(facts['seconds']):.1f} s" if facts.get("seconds") is not None else "",
    }


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    def shown(key: str, digits: int) -> str:
        return "–" if row.get(key) is None else f"{float(row[key]):.{digits}f}"

    return {"name": str(row["outline"]), "dice": shown("dice", 3), "hd95": shown("hausdorff95_mm", 1), "area": shown("area_mm2", 0)}


def _links(entry: Entry) -> list[dict[str, str]]:
    links = [(ZIP, "All files (zip)"), (TRANSFORM, "Transform (.h5)")]
    links += [(PYRAMID, "Fused (OME-TIFF)")] if "fused_slide" in entry.outputs else []
    return [{"id": what.replace(".", "-"), "title": title, "url": f"download/{entry.id}/{what}"} for what, title in links]
