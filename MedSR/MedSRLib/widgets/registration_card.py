"""What a page says of a registration: its grade in words, what to beware of, how well each outline fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ..scene.registration_words import beware, grade_words

COLOURS = {"good": "#2e7d32", "doubtful": "#e65100", "refused": "#c62828"}
"""By grade; BY_HAND for none."""
BY_HAND = "#1565c0"
PIXEL_BY = {"given": " as given", "gland": " by the gland's size"}
EMPTY = "<p>Nothing is registered yet.</p>"
COLUMNS = (("Outline", "outline", None), ("Dice", "dice", 3), ("95 % distance, mm", "hausdorff95_mm", 1), ("Area, mm²", "area_mm2", 0))
"""(title, field, digits) of the table."""


def html(facts: Mapping[str, Any], moved: int) -> str:
    """facts: of registration.json, {} for a slide that was laid by hand. moved: steps by hand since then."""
    colour = COLOURS.get(str(facts.get("grade", "")), BY_HAND)
    head = f'<p><b style="color: {colour}">{escape(grade_words(facts))}</b>{_place(facts)}</p>'
    return head + _table(facts.get("outlines") or ()) + _list(beware(facts, bool(moved)))


def _place(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    sure = "" if facts["orientation"]["determined"] else " (not determined)"
    pixel = f"pixel {facts['mpp']['used_um'][0]:.3g} µm{PIXEL_BY.get(facts['mpp']['source'], ' as the file says')}"
    linear = f"Dice before bending {facts['dice_linear']:.3f}" if facts.get("warp") and facts.get("dice_linear") is not None else ""
    parts = (f"slice {facts['slice']}", f"orientation {facts['orientation']['chosen']}{sure}", pixel, linear)
    return "".join(f" · {escape(part)}" for part in parts if part)


def _list(texts: Iterable[str]) -> str:
    lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{lines}</ul>" if lines else ""


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    head = "".join(f'<th align="left">{escape(title)}</th>' for title, _, _ in COLUMNS)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row.get(name), digits)}</td>" for _, name, digits in COLUMNS) + "</tr>" for row in rows)
    return f'<table cellpadding="3"><tr>{head}</tr>{body}</table>' if body else ""


def _cell(value: Any, digits: int | None) -> str:
    if value is None:
        return "–"
    return escape(str(value)) if digits is None else f"{float(value):.{digits}f}"
