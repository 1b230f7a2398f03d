"""Model cards and weights: list, verify, build. The standard library at import.

A model is a folder models/<id>/ with card.json, weights.safetensors, LICENSE and its figures. A user's own models lie in
folders of the same form under $MEDSR_MODELS; an identifier there hides a shipped one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import DependencyError, ModelError

SHIPPED = Path(__file__).parent / "models"
OWN_FOLDER = "MEDSR_MODELS"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Card:
    """What is known of a model. No card, no model.

    arguments: of the network's constructor. training_data: rows of name, licence, use. command: the exact training
    command. left_open: what the paper does not say, and how it was settled. valid_range: "text", and where it can be
    checked "modality" (names), "pixel_mm" and "gap_mm" (lowest, highest). figures: measured, beside the baselines.
    ideas: what was tried, with figures. known_failures: sentences. default: taken where no model is named.
    """

    id: str
    title: str
    task: str
    network: str
    arguments: Mapping[str, Any]
    sha256: str
    bytes: int
    licence: str
    training_data: tuple[Mapping[str, Any], ...]
    command: str
    left_open: tuple[str, ...]
    valid_range: Mapping[str, Any]
    figures: Mapping[str, Any]
    ideas: tuple[Mapping[str, Any], ...]
    known_failures: tuple[str, ...]
    summary: str = ""
    cite: tuple[str, ...] = ()
    default: bool = False
    folder: Path = field(default_factory=Path)

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def licence_text(self) -> str:
        """The text of the folder's LICENSE file."""
        return (self.folder / "LICENSE").read_text(encoding="utf-8")


def roots() -> tuple[Path, ...]:
    """Folders that hold model folders: the user's own first."""
    own = os.environ.get(OWN_FOLDER, "")
    return (*((Path(own),) if own else ()), SHIPPED)


def folders() -> dict[str, Path]:
    """Identifier → folder, of every folder that holds a card or weights."""
    found: dict[str, Path] = {}
    for root in roots():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path.is_dir() and ((path / "card.json").exists() or any(path.glob("weights*"))):
                found.setdefault(path.name, path)
    return found


def list_cards() -> list[Card]:
    """Every model whose card can be read, the default one of each task first, a user's own before a shipped one.

    Broken ones are left out; `verify` names them.
    """
    cards = []
    for path in folders().values():
        try:
            cards.append(read_card(path))
        except ModelError:
            continue
    return sorted(cards, key=lambda card: (card.task, not card.default, card.folder.parent == SHIPPED, card.id))


def of_task(task: str) -> list[Card]:
    """The readable cards of one task, its default first."""
    return [card for card in list_cards() if card.task == task]


def default_of(task: str, instead: str) -> Card:
    """The card that a task takes where no model is named. Raises ModelError where none is installed, and says what to use instead."""
    cards = of_task(task)
    if not cards:
        raise ModelError("no learned model for this is installed", fix=instead)
    return cards[0]


def for_task(model_id: str, task: str, instead: str) -> Card:
    """The card of a model for `task`, of its default model for "". Raises ModelError where there is none, or it is for another task."""
    found = card(model_id) if model_id else default_of(task, instead)
    if found.task != task:
        raise ModelError(f"{found.id} is a model for {found.task}", fix="see `medsr models list`")
    return found


def card(model_id: str) -> Card:
    """The card of one model. Raises ModelError where there is no such model, or where its card is incomplete."""
    found = folders()
    if model_id not in found:
        known = ", ".join(found) or "none is installed"
        raise ModelError(f"there is no model {model_id!r}", fix=f"known models: {known}")
    return read_card(found[model_id])


def read_card(folder: Path) -> Card:
    """Read and check card.json of a model folder. Raises ModelError naming what is missing or of the wrong kind."""
    path = folder / "card.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the model has no readable card ({type(error).__name__})", where=str(path), fix="install the model again"
        ) from error
    if not isinstance(data, dict):
        raise ModelError("the card is not a JSON object", where=str(path), fix="install the model again")
    known = {f.name: f for f in fields(Card) if f.name != "folder"}
    missing = [name for name, f in known.items() if f.default is MISSING and data.get(name) in (None, "", {}, []) and name != "arguments"]
    if missing:
        raise ModelError(f"the card does not state: {', '.join(missing)}", where=str(path), fix="complete the card")
    if data["id"] != folder.name:
        raise ModelError(f"the card is of {data['id']!r}, the folder of {folder.name!r}", where=str(path), fix="rename one of them")
    values: dict[str, Any] = {"arguments": {}}
    values |= {name: tuple(data[name]) if isinstance(data[name], list) else data[name] for name in known if name in data}
    return Card(**values, folder=folder)


def verify(model_id: str) -> Card:
    """Check a model wholly: card, licence, size and checksum of the weights. Returns its card, raises ModelError otherwise."""
    found = card(model_id)
    refuse_pickles(found.folder)
    if not (found.folder / "LICENSE").is_file():
        raise ModelError("the model has no LICENSE file", where=str(found.folder), fix="put the licence of its weights there")
    check_weights(found)
    return found


def refuse_pickles(folder: Path) -> None:
    """Raises ModelError where the folder holds pickled weights: reading them could run any program."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in {".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin"}:
            raise ModelError(
                "pickled weights are refused, because reading them can run any program",
                where=str(path),
                fix="convert them to weights.safetensors",
            )


def check_weights(found: Card) -> None:
    """Raises ModelError where the weights are absent, of another size, or not those of the card."""
    try:
        size = found.weights.stat().st_size
        digest = sha256(found.weights)
    except OSError as error:
        raise ModelError("the weights are missing or cannot be read", where=str(found.weights), fix="install the model again") from error
    if size != found.bytes:
        raise ModelError(
            f"the weights have {size} bytes, the card says {found.bytes}", where=str(found.weights), fix="install the model again"
        )
    if digest != found.sha256:
        raise ModelError("the weights do not have the card's checksum", where=str(found.weights), fix="install the model again")


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def build(model_id: str, device: str = "cpu") -> Any:
    """The network with its verified weights, in evaluation mode on `device`.

    Raises ModelError where the model is unknown, altered or does not fit its network, DependencyError without torch.
    """
    found = verify(model_id)
    try:
        import torch
        from safetensors.torch import load_file

        from . import networks
    except ImportError as error:
        raise DependencyError(
            "the learned model needs PyTorch and safetensors", fix="install them, or use a {method} that needs no model"
        ) from error
    try:
        module: Any = networks.build(found.network, **found.arguments)
        weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load_file(found.weights).items()}
        module.load_state_dict(weights)
    except KeyError as error:
        raise ModelError(f"there is no network {found.network!r}", where=found.id, fix="update MedSR") from error
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise ModelError(f"the weights do not fit the network {found.network!r}", where=found.id, fix="install the model again") from error
    except Exception as error:  # safetensors raises its own SafetensorError, an Exception only
        if type(error).__name__ != "SafetensorError":
            raise
        raise ModelError("the weights are not a safetensors file", where=str(found.weights), fix="install the model again") from error
    return module.to(device=device, memory_format=torch.channels_last).eval()
