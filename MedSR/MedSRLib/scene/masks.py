"""Whether a mask node can serve a volume, told before a job reads it."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..geometry import same_grid
from .nodes import grid_from_node, has_image


def check_mask(node: Any, volume_node: Any) -> None:
    """node: a segmentation, which is drawn on the volume's grid, or a label map, which must lie on it.

    Raises InputError where it is empty, or a label map on another grid.
    """
    name = node.GetName()
    if node.IsA("vtkMRMLSegmentationNode"):
        if node.GetSegmentation().GetNumberOfSegments() == 0:
            raise InputError("the segmentation has no segments", where=name, fix="choose another one, or none")
        return
    if not has_image(node) or node.GetImageData().GetScalarRange() == (0.0, 0.0):
        raise InputError("the mask is empty", where=name, fix="choose another one, or none")
    if not same_grid(grid_from_node(node), grid_from_node(volume_node)):
        raise InputError(
            f"the mask is not on the grid of {volume_node.GetName()}", where=name, fix="export it with the volume as its reference"
        )
