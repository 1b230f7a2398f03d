"""A result comes into the scene whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import vtk


@contextmanager
def all_or_nothing(scene: Any) -> Iterator[None]:
    """Where the block fails, the nodes that it added are removed again, the last first."""
    added: list[Any] = []

    @vtk.calldata_type(vtk.VTK_OBJECT)  # without it VTK hands over no node
    def note(_caller: Any, _event: str, node: Any) -> None:
        added.append(node)

    tag = scene.AddObserver(scene.NodeAddedEvent, note)
    try:
        yield
    except BaseException:
        for node in reversed(added):
            if node.GetScene() is not None:  # a node may go with the one it belongs to
                scene.RemoveNode(node)
        raise
    finally:
        scene.RemoveObserver(tag)
