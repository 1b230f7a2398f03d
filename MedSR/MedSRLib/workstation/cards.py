"""The models of a task, as the page shows them: those that fit the image, the best first."""

from __future__ import annotations

from typing import Any

from .. import models
from ..scene.routing import offer


def fitting(task: str, node: Any, any_modality: bool) -> tuple[list[tuple[str, str]], str]:
    """((value, title) pairs for the form, why there are none). The empty value is the task's default model, where that fits."""
    found = offer(task, node, any_modality)
    is_default = bool(found.cards) and found.cards[0] == models.of_task(task)[0]
    default = [("", f"Default: {_short(found.cards[0])}")] if is_default else []
    return [*default, *((card.id, _short(card)) for card in found.cards)], found.why


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
