"""What a result node says of itself: MRML attributes whose names begin with "MedSR."; they are saved with the scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "MedSR."
SOURCE_ROLE = "MedSR.source"
"""Node reference from a result to the node it was made from."""


def write(node: Any, facts: Mapping[str, Any]) -> None:
    """Set one attribute for each fact that has a value."""
    for name, value in facts.items():
        if value not in (None, "", (), [], {}):
            node.SetAttribute(PREFIX + name, value if isinstance(value, str) else repr(value))


def read(node: Any) -> dict[str, str]:
    """All facts of a node, without the prefix."""
    names = node.GetAttributeNames() or ()
    return {name.removeprefix(PREFIX): node.GetAttribute(name) for name in names if name.startswith(PREFIX)}


def is_result(node: Any) -> bool:
    """True for a node that MedSR made."""
    return node.GetAttribute(PREFIX + "task") is not None
