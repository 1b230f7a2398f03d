"""The models of a task, as the page shows them."""

from __future__ import annotations

from typing import Any


def _cards(task: str) -> list[Any]:
    from .. import models

    return [card for card in models.list_cards() if card.task == task]


def model_choices(task: str) -> list[tuple[str, str]]:
    """(value, title) pairs for the form; the empty value is the default model."""
    return [("", "Default"), *((card.id, card.title) for card in _cards(task))]


def card_texts(task: str) -> dict[str, dict[str, str]]:
    """What the page says of each model, by id; "" is the default one."""
    cards = _cards(task)
    texts = {card.id: {"title": card.title, "text": _text(card), "licence": card.licence} for card in cards}
    return {"": texts[cards[0].id], **texts} if cards else {}


def _text(card: Any) -> str:
    return card.summary or str(card.valid_range.get("text", ""))
