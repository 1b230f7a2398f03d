"""What part of the patient a slice view shows: all of an image, or a region of it that fills the view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import slicer.util

MARGIN = 1.06
"""How much more than the region is shown."""
RAS_AXIS = {"Sagittal": 0, "Coronal": 1, "Axial": 2}
"""Along which a plane's offset counts."""


def centre_ras(node: Any) -> np.ndarray:
    """The middle of a volume node, RAS mm."""
    bounds = _bounds(node)
    return (bounds[::2] + bounds[1::2]) / 2


def _bounds(node: Any) -> np.ndarray:
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return np.array(bounds)


def show_whole(view: Any, place: Sequence[float]) -> None:
    """Fit the background of a view, in the plane through a place, RAS mm."""
    view.reset_view()
    view.get_view_node().JumpSliceByOffsetting(*place)
    view._logic.SnapSliceOffsetToIJK()


def show_region(view: Any, region: Any) -> None:
    """Fill a view with the box of a volume node, through its middle."""
    node = view.get_view_node()
    node.JumpSliceByCentering(*centre_ras(region))
    node.SetXYZOrigin(0.0, 0.0, 0.0)
    width, height, _ = node.GetDimensions()
    if min(width, height) > 1:
        across = _extent(node, _bounds(region)) * MARGIN
        scale = max(across[0] / width, across[1] / height)
        node.SetFieldOfView(scale * width, scale * height, node.GetFieldOfView()[2])
    node.UpdateMatrices()
    view._logic.SnapSliceOffsetToIJK()


def _extent(slice_node: Any, bounds: np.ndarray) -> np.ndarray:
    """(width, height) of a box in a view's plane, mm."""
    axes = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())[:3, :2]
    corners = np.array(list(product(bounds[:2], bounds[2:4], bounds[4:])))
    return np.ptp(corners @ axes, axis=0)


def meeting_point(views: Mapping[str, Any]) -> np.ndarray | None:
    """Where the shown planes meet, RAS mm; in a plane that no other one crosses, the middle of its view. None without views.

    views: by orientation.
    """
    if not views:
        return None
    first = next(iter(views.values())).get_view_node()
    width, height, _ = first.GetDimensions()
    place = np.array(first.GetXYToRAS().MultiplyPoint((width / 2, height / 2, 0.0, 1.0))[:3])
    for orientation, view in views.items():
        matrix = slicer.util.arrayFromVTKMatrix(view.get_view_node().GetSliceToRAS())
        normal, axis = matrix[:3, 2], RAS_AXIS[orientation]
        if abs(normal[axis]) > 0.99:  # an oblique plane has no single offset along an axis of the patient
            place[axis] = matrix[axis, 3]
    return place
