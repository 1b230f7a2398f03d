"""A registration in the slice views: MRI and slide side by side, blended, or in turn square by square. MRML alone: no layout, no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import attributes, compare
from .checkerboard import add_checkerboard
from .nodes import RAS_TO_LPS, affine_from_node
from .registration_results import RegistrationResults
from .slide_transform import centre_of, matrix_of

MARGIN = 1.1
"""Side of what is shown over that of the slide."""
SMALLEST_MM = 10.0
FILL = 0.12
"""Opacity of an outline's area: its edge tells where it is."""
View = tuple[Any, Any]
"""(slice node, composite node) of a slice view."""


def blended(views: Sequence[View], results: RegistrationResults, opacity: float) -> None:
    """The slide over its MRI slice. opacity: of the slide, 0 to 1."""
    for view, layers in views:
        _layers(layers, results.mri, results.slide, opacity)
        look_at(view, results)


def side_by_side(views: Sequence[View], results: RegistrationResults) -> None:
    """The MRI in the first view, the slide in the second, at the same place and moved together."""
    for (view, layers), shown in zip(views, (results.mri, results.slide), strict=False):
        _layers(layers, shown, None, 0.0)
        look_at(view, results)
    for _, layers in views:  # last, or the first view would be repeated by the others as it is set up
        layers.SetLinkedControl(True)
        layers.SetHotLinkedControl(True)


def in_squares(views: Sequence[View], results: RegistrationResults) -> None:
    """MRI and slide in turn, as the slide lies now; the MRI alone where there is no picture of the slide."""
    squares = add_checkerboard(results)
    for view, layers in views:
        _layers(layers, results.mri, squares, 1.0)
        look_at(view, results)


def _layers(layers: Any, background: Any, foreground: Any, opacity: float) -> None:
    layers.SetLinkedControl(False)
    layers.SetHotLinkedControl(False)
    layers.SetBackgroundVolumeID(background.GetID() if background is not None else None)
    layers.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    layers.SetForegroundOpacity(opacity)


def set_opacity(views: Sequence[View], slide: Any, opacity: float) -> None:
    """Change how much of a slide is seen, where it lies over another image."""
    for _, layers in views:
        if slide is not None and layers.GetForegroundVolumeID() == slide.GetID():
            layers.SetForegroundOpacity(opacity)


def show_outlines(scene: Any, own: Any) -> None:
    """Draw one registration's outlines on the MRI, faintly filled, and not those of the others. own: its segmentation, or None."""
    for i in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = scene.GetNthNodeByClass(i, "vtkMRMLSegmentationNode")
        if attributes.read(node).get("task") == "register_slide" and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(own is not None and node.GetID() == own.GetID())
            node.GetDisplayNode().SetOpacity2DFill(FILL)


def look_at(view: Any, results: RegistrationResults) -> None:
    """Turn a slice view to the plane of the MRI's slices, at the slide's middle, and let the slide fill it."""
    if results.mri is None:
        return
    view.SetOrientation(compare.acquisition_plane(results.mri))
    view.RotateToVolumePlane(results.mri)
    view.JumpSliceByCentering(*middle_ras(results))
    wide, high, deep = view.GetDimensions()
    scale = side_mm(results) / max(min(wide, high), 1)  # mm a screen pixel
    view.SetFieldOfView(scale * wide, scale * high, view.GetFieldOfView()[2] if deep else 1.0)


def middle_ras(results: RegistrationResults) -> tuple[float, float, float]:
    """Where the slide's middle lies, RAS mm."""
    x, y, z, _ = RAS_TO_LPS @ matrix_of(results.transform) @ centre_of(results.transform)
    return float(x), float(y), float(z)


def side_mm(results: RegistrationResults) -> float:
    """Of a square that holds the slide, or its outlines where there is no picture."""
    shown, bounds = results.slide or results.segmentation, [0.0] * 6
    if shown is not None:
        shown.GetRASBounds(bounds)
    return max(SMALLEST_MM, MARGIN * max(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True)))


def slice_in_view(view: Any, mri: Any) -> int:
    """The slice of a volume node that a slice view shows at its middle, or the nearest to it."""
    matrix = view.GetSliceToRAS()
    place = RAS_TO_LPS @ [matrix.GetElement(row, 3) for row in range(4)]
    at = np.linalg.solve(affine_from_node(mri), place)
    return int(np.clip(np.rint(at[2]), 0, mri.GetImageData().GetDimensions()[2] - 1))
