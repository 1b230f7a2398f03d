"""A cursor that stands at the same place of the patient in every view, and says what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtkmodules.vtkCommonCore import vtkCommand

BEFORE_THE_STYLE = 100.0
"""Priority of the observer: the views' interactor style keeps mouse moves to itself."""


class LinkedCursor:
    """Follows the mouse in any of the watched views while it is on.

    say: called with the RAS position whenever the cursor moves. place: where it is (RAS mm), None until it moved.
    """

    def __init__(self, scene: Any, say: Callable[[Sequence[float]], None]) -> None:
        self._node = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        self._say, self._on = say, False
        self.place: Sequence[float] | None = None

    def watch(self, view: Any) -> None:
        """Follow the mouse in this view too."""
        view.interactor().AddObserver(vtkCommand.MouseMoveEvent, lambda *_: self._follow(view), BEFORE_THE_STYLE)

    def turn(self, on: bool) -> None:
        """Show or hide the cursor in all views."""
        self._on = on
        modes = slicer.vtkMRMLCrosshairNode
        self._node.SetCrosshairThickness(modes.Fine)
        self._node.SetCrosshairMode(modes.ShowIntersection if on else modes.NoCrosshair)

    def _follow(self, view: Any) -> None:
        if not self._on:
            return
        x, y = view.interactor().GetEventPosition()
        ras = view.get_view_node().GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3]
        self.place = ras
        self._node.SetCrosshairRAS(ras)
        self._say(ras)


def value_at(node: Any, ras: Sequence[float]) -> float | None:
    """The voxel of a volume node at a RAS position; None outside it, or where a voxel holds several numbers."""
    to_ijk = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(to_ijk)
    i, j, k = (int(np.floor(v + 0.5)) for v in to_ijk.MultiplyPoint((*ras, 1.0))[:3])
    array = slicer.util.arrayFromVolume(node)
    if array.ndim != 3 or not all(0 <= index < size for index, size in zip((k, j, i), array.shape, strict=True)):
        return None
    return float(array[k, j, i])
