"""Original and result side by side: the same place, at the same size, moved together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .nodes import RAS_TO_LPS, grid_from_node

ORIENTATIONS = ("Sagittal", "Coronal", "Axial")
"""Slice orientation whose normal is the R, A and S axis."""
MARGIN = 1.1
"""Side of what is shown over that of the region."""
SMALLEST_MM = 1.0


def slice_views(scene: Any) -> dict[str, tuple[Any, Any]]:
    """{name: (slice node, composite node)} of the scene's slice views."""
    layers = {node.GetLayoutName(): node for node in _all(scene, "vtkMRMLSliceCompositeNode")}
    return {
        node.GetLayoutName(): (node, layers[node.GetLayoutName()])
        for node in _all(scene, "vtkMRMLSliceNode")
        if node.GetLayoutName() in layers
    }


def _all(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]


def side_by_side(views: Sequence[tuple[Any, Any]], original: Any, result: Any, overlay: Any = None) -> None:
    """Show the original in the first slice view, the result in the second, in the plane of its slices, linked and zoomed to it.

    views: (slice node, composite node) of each view. overlay: a map laid over the result, clear at first.
    """
    plane = acquisition_plane(result)
    for (view, layers), volume, map_ in zip(views, (original, result), (None, overlay), strict=False):
        view.SetOrientation(plane)
        layers.SetBackgroundVolumeID(volume.GetID())
        layers.SetForegroundVolumeID(map_.GetID() if map_ is not None else None)
        layers.SetForegroundOpacity(0.0)
    zoom([view for view, _ in views], result)
    for _, layers in views:  # last, or the first view would be repeated by the others as it is set up
        layers.SetLinkedControl(True)
        layers.SetHotLinkedControl(True)


def acquisition_plane(volume: Any) -> str:
    """The slice orientation nearest to the plane of a volume's slices."""
    normal = RAS_TO_LPS[:3, :3] @ grid_from_node(volume).direction[:, 2]
    return ORIENTATIONS[int(np.abs(normal).argmax())]


def zoom(slice_nodes: Sequence[Any], volume: Any) -> None:
    """Turn slice views to the axes of a volume, and let it fill each of them."""
    grid = grid_from_node(volume)
    size = np.array(grid.shape[::-1])
    edges = RAS_TO_LPS[:3, :3] @ (grid.direction * grid.spacing_mm * size)
    centre = RAS_TO_LPS @ grid.affine @ np.append((size - 1) / 2, 1)
    for node in slice_nodes:
        node.RotateToVolumePlane(volume)
        node.JumpSliceByCentering(*centre[:3])
        _fill(node, edges)


def _fill(node: Any, edges: np.ndarray) -> None:
    """Widen the view's field until the box of these edges (columns, mm) fits."""
    matrix = node.GetSliceToRAS()
    across = [[matrix.GetElement(row, column) for row in range(3)] for column in (0, 1)]
    wide, high = np.maximum(np.abs(np.array(across) @ edges).sum(axis=1), SMALLEST_MM) * MARGIN
    x, y, _ = node.GetDimensions()
    scale = max(wide / max(x, 1), high / max(y, 1))  # mm a screen pixel
    node.SetFieldOfView(scale * x, scale * y, node.GetFieldOfView()[2])
