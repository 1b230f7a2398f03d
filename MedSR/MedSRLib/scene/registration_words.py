"""What every door says of a registration in the same words: its grade, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..tasks.slide_report import MOVED

GRADES = {"good": "Good", "doubtful": "Doubtful: check it before use", "refused": "Not to be believed"}
BY_HAND = "Laid by hand, not scored"


def grade_words(facts: Mapping[str, Any]) -> str:
    """facts: of registration.json, {} for a slide that was laid by hand."""
    return GRADES.get(str(facts.get("grade", "")), BY_HAND)


def beware(facts: Mapping[str, Any], moved: bool) -> list[str]:
    """The warnings as sentences. moved: whether the slide was moved by hand since then."""
    said = [*(facts.get("warnings") or ()), *([MOVED] if facts and moved else [])]
    return [text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".") for text in map(str, said)]


def slice_words(chosen: int, count: int, described: bool) -> str:
    """Which slice a registration would look at. chosen: negative where none is. described: whether a case's description is given."""
    if chosen >= 0:
        return f"slice {chosen}"
    searched = f"the best of {count} slices"
    return f"the slice that its description says, else {searched}," if described else searched
