"""What part of the patient a slice view shows: all of an image, or a region of it that fills the view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer.util

from ..scene.compare import zoom

RAS_AXIS = {"Sagittal": 0, "Coronal": 1, "Axial": 2}
"""Along which a plane's offset counts."""


def centre_ras(node: Any) -> tuple[float, ...]:
    """The middle of a volume node, RAS mm."""
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return tuple((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True))


def show_whole(view: Any, place: Sequence[float]) -> None:
    """Fit the background of a view, in the plane through a place, RAS mm."""
    view.reset_view()
    view.get_view_node().JumpSliceByOffsetting(*place)
    view._logic.SnapSliceOffsetToIJK()


def show_slices(view: Any, volume: Any, place: Sequence[float]) -> None:
    """Turn a view into the plane of a volume's own slices, through a place, RAS mm: a slide lies on one of them."""
    view.get_view_node().RotateToVolumePlane(volume)
    view.get_view_node().JumpSliceByOffsetting(*place)


def show_around(view: Any, place: Sequence[float], side_mm: float) -> None:
    """Fill a view with a square around a place, RAS mm."""
    node = view.get_view_node()
    (width, height), depth = node.GetDimensions()[:2], node.GetFieldOfView()[2]
    scale = side_mm / max(min(width, height), 1)  # mm a screen pixel
    node.SetXYZOrigin(0.0, 0.0, 0.0)
    node.SetFieldOfView(scale * width, scale * height, depth)
    node.JumpSliceByCentering(*place)


def show_region(view: Any, region: Any) -> None:
    """Fill a view with a volume node, through its middle."""
    view.get_view_node().SetXYZOrigin(0.0, 0.0, 0.0)
    zoom([view.get_view_node()], region)
    view._logic.SnapSliceOffsetToIJK()


def meeting_point(views: Mapping[str, Any]) -> tuple[float, ...] | None:
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
    return tuple(place)
