"""A model's card as a short text for the page: what it is, where it holds, what it was trained on, its licence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

METHODS = {
    "flow": "Moves both neighbouring slices towards each other along their optical flow (DIS) and blends them. Nothing was trained.",
    "bspline": "Cubic B-spline through the slices.",
    "lanczos": "Windowed sinc through the slices.",
    "linear": "Blends the two neighbouring slices.",
    "bicubic": "Cubic interpolation within each slice: smooth, and nothing is added to what was measured.",
}
AUTO = "Measured on your own volume before anything is made: slices are left out, rebuilt by each method, and the best one is used."
NO_MODEL = "No model is installed: optical flow and interpolation still work."


def choices(cards: Sequence[Any]) -> list[tuple[str, str]]:
    """(identifier, words) for a list to choose from; "" is the default model. What a title has in brackets is left to the card."""
    names = [(card.id, card.title.partition(" (")[0]) for card in cards]
    return [("", f"Default: {names[0][1]}" if names else "No model installed"), *names]


def chosen(cards: Sequence[Any], identifier: str) -> Any | None:
    """The card of an identifier, of the default model for "", None where there is none."""
    if identifier:
        return next((card for card in cards if card.id == identifier), None)
    return cards[0] if cards else None


def html(cards: Sequence[Any], identifier: str, method: str = "model", lacking: str = NO_MODEL) -> str:
    """The card of the model that Apply would use. lacking: what to say where there is none."""
    lead = f"<p>{escape(AUTO)}</p>" if method == "auto" else ""
    card = chosen(cards, identifier)
    if card is None:
        return lead + f"<p>{escape(lacking)}</p>"
    about = f"<p><b>{escape(card.title)}</b></p>" + _row("Licence of the weights", (card.licence,)) + f"<p>{escape(card.summary)}</p>"
    return about + lead + "".join(_row(title, tuple(texts)) for title, texts in _facts(card))


def _facts(card: Any) -> Iterable[tuple[str, Iterable[str]]]:
    """(title, its sentences) of what follows the licence and the summary."""
    yield "Valid for", (str(card.valid_range.get("text", "")),)
    yield "Known failures", card.known_failures
    yield "Trained on", (_data(row) for row in card.training_data)
    yield "Cite", card.cite


def _data(row: Mapping[str, Any]) -> str:
    licence = row.get("licence", "")
    return f"{row.get('name', '')} ({licence})" if licence else str(row.get("name", ""))


def _row(title: str, texts: Sequence[str]) -> str:
    """One fact on its line, several as a list."""
    said = [escape(text) for text in texts if text]
    if len(said) < 2:
        return f"<p><b>{escape(title)}:</b> {said[0]}</p>" if said else ""
    return f"<p><b>{escape(title)}:</b></p><ul>" + "".join(f"<li>{text}</li>" for text in said) + "</ul>"


def method_html(method: str) -> str:
    """What a method without a model does."""
    return f"<p>{escape(METHODS[method])} Needs no PyTorch.</p>"
