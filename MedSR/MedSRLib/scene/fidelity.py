"""The map of what to trust: expected error as a colour overlay, transparent where the image can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..volume import Volume
from .aftercare import place_beside
from .attributes import SOURCE_ROLE, read, write
from .nodes import add_node

COLORS_NAME = "MedSR expected error"
STOPS = (
    (0.0, (0.10, 0.05, 0.35), 0.0),
    (0.25, (0.45, 0.05, 0.50), 0.12),
    (0.6, (0.90, 0.30, 0.25), 0.6),
    (1.0, (1.00, 0.90, 0.30), 1.0),
)
"""(place, (r, g, b), opacity): dark and clear is trusted, bright and opaque is not; lightness rises, so it reads without colour."""
FULL_SCALE_PERCENTILE = 99.5


def add_fidelity(scene: Any, volume: Volume, name: str, source: Any, node: Any = None) -> Any:
    """A volume node of expected |error| in the units of its source, shown from 0 to its 99.5th percentile.

    node: one that already shows `volume` (the proxy of a sequence); None makes a new one.
    """
    node = node or add_node(scene, volume, name)
    show_as_error(node, full_scale(volume.array))
    write(node, {"task": "fidelity", "source": source.GetName()})
    node.SetNodeReferenceID(SOURCE_ROLE, source.GetID())
    place_beside(node, source)
    return node


def map_of(source: Any) -> Any | None:
    """The newest map that was made of a volume and is still in the scene."""
    if source is None or source.GetScene() is None:
        return None
    scene, kind = source.GetScene(), "vtkMRMLScalarVolumeNode"
    nodes = [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]
    maps = [n for n in nodes if read(n).get("task") == "fidelity" and n.GetNodeReference(SOURCE_ROLE) is source]
    return maps[-1] if maps else None


def full_scale(error: np.ndarray) -> float:
    """The error that is drawn as the brightest colour, in image units; never 0."""
    invented = error[error > 0]
    return float(np.percentile(invented, FULL_SCALE_PERCENTILE)) if invented.size else 1.0


def show_as_error(node: Any, maximum: float) -> None:
    """Draw a volume node with the error colours from 0 to `maximum`."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(error_colors(node.GetScene()).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, maximum)


def error_colors(scene: Any) -> Any:
    """The colour table of the map; one a scene."""
    found = scene.GetFirstNodeByName(COLORS_NAME)
    if found is not None and found.IsA("vtkMRMLColorTableNode"):
        return found
    table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", COLORS_NAME)
    table.SetTypeToUser()
    table.SetNumberOfColors(256)
    for i in range(256):
        table.SetColor(i, f"{i / 255:.0%}", *_color(i / 255))
    # Not offered among the labels of the segment editor, and not asked about when the scene is closed.
    table.SetHideFromEditors(True)
    return table


def _color(place: float) -> tuple[float, float, float, float]:
    at = [stop[0] for stop in STOPS]
    red, green, blue = (float(np.interp(place, at, [stop[1][c] for stop in STOPS])) for c in range(3))
    return red, green, blue, float(np.interp(place, at, [stop[2] for stop in STOPS]))
