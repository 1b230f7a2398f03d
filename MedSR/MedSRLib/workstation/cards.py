"""The models of a task, as the page shows them: those that fit the image, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import models
from ..tasks.card_range import outside
from ..volume import Volume

NONE_INSTALLED = "No model for this is installed."


def fitting(task: str, volume: Volume) -> tuple[list[tuple[str, str]], str]:
    """((value, title) pairs for the form, why there are none): the models whose card fits the volume, the task's default first.

    The empty value is the task's default model, where that fits.
    """
    cards = models.of_task(task)
    doubts = {card.id: outside(card, volume) for card in cards}
    fit = [card for card in cards if not doubts[card.id]]
    pairs = [("", f"Default: {_short(fit[0])}")] if fit and fit[0] is cards[0] else []
    pairs += [(card.id, _short(card)) for card in fit]
    return pairs, "" if fit else _why_none(cards, doubts)


def _why_none(cards: Sequence[Any], doubts: dict[str, list[str]]) -> str:
    if not cards:
        return NONE_INSTALLED
    said = "; ".join(text for card in cards for text in doubts[card.id])
    return f"{said[:1].upper()}{said[1:]}."


def card_texts(task: str) -> dict[str, dict[str, str]]:
    """What the page says of each model, by id; "" is the default one."""
    cards = models.of_task(task)
    texts = {card.id: {"title": card.title, "text": _text(card), "licence": card.licence} for card in cards}
    return {"": texts[cards[0].id], **texts} if cards else {}


def _short(card: Any) -> str:
    """What a title has in brackets is left to the card."""
    return str(card.title).partition(" (")[0]


def _text(card: Any) -> str:
    return card.summary or str(card.valid_range.get("text", ""))
