"""Regions of interest ⇄ the option `roi` of the tasks: a box in LPS mm, rotated or not, where the views show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer.util

from ..errors import InputError
from ..geometry_region import Box
from ..tasks.ct_region import parse, roi_text
from ..volume import ORTHOGONAL_TOLERANCE, Volume
from .nodes import RAS_TO_LPS, grid_from_node, world_from_local

NODE_CLASS = "vtkMRMLMarkupsROINode"
NO_LENGTH_MM = 1e-6
LPS = RAS_TO_LPS[:3, :3]


def text_of_roi(node: Any) -> str:
    """The option `roi` of a region node, in world space.

    Raises InputError where the region is not placed, has no volume, or lies under a transform that warps or shears it.
    """
    box = box_of_roi(node)
    return roi_text(tuple(box.centre_mm), tuple(box.size_mm), box.axes)


def box_of_roi(node: Any) -> Box:
    """The box of a region node in LPS mm, scaled as the transforms above it scale; raises as `text_of_roi` does."""
    name = node.GetName()
    if node.GetNumberOfControlPoints() == 0 and min(node.GetSize()) <= 0:
        raise InputError("the region has not been placed", where=name, fix="draw its box in a view")
    to_world = world_from_local(node) @ slicer.util.arrayFromVTKMatrix(node.GetObjectToNodeMatrix())
    edges = LPS @ to_world[:3, :3] * np.array(node.GetSize())
    size = np.linalg.norm(edges, axis=0)
    if not np.isfinite(edges).all() or size.min() < NO_LENGTH_MM:
        raise InputError("the region has no volume", where=name, fix="drag its sides apart")
    axes = edges / size
    if np.abs(axes.T @ axes - np.eye(3)).max() > ORTHOGONAL_TOLERANCE:
        raise InputError("the region lies under a transform that shears it", where=name, fix="take it out of its transform, or harden it")
    forwards = np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])  # a box is its own mirror image: along the axes it is written short
    return Box(LPS @ to_world[:3, 3], size, axes * forwards)


def box_of_text(text: str, grid: Volume) -> Box | None:
    """The box that an option `roi` means on a grid, None for "" (all of it). Raises OptionError."""
    asked = parse(text)
    if asked is None or isinstance(asked, Box):
        return asked
    return box_of_voxels(asked, grid)


def box_of_voxels(ranges: Any, grid: Volume) -> Box:
    """The box around whole voxels. ranges: first and one behind the last along z, y, x."""
    ends = np.array(ranges[::-1], float)
    middle = np.append((ends.sum(axis=1) - 1) / 2, 1.0)
    return Box((grid.affine @ middle)[:3], (ends[:, 1] - ends[:, 0]) * grid.spacing_mm, grid.direction)


def set_roi(node: Any, box: Box) -> None:
    """Put a region node where a box (LPS mm) is; it leaves any parent transform, as LPS mm are of the world."""
    axes = LPS @ box.axes
    if np.linalg.det(axes) < 0:  # a box is its own mirror image; the node's axes are right-handed
        axes = axes * (1, 1, -1)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, LPS @ box.centre_mm
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.SetSize(*(float(s) for s in box.size_mm))


def add_roi(scene: Any, box: Box, name: str) -> Any:
    """A new region node around a box in LPS mm."""
    node = scene.AddNewNodeByClass(NODE_CLASS, scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    set_roi(node, box)
    return node


def add_roi_of_text(scene: Any, text: str, volume_node: Any, name: str) -> Any | None:
    """A new region node where an option `roi` means, None for "" (all of the volume). Raises OptionError."""
    box = box_of_text(text, grid_from_node(volume_node))
    return None if box is None else add_roi(scene, box, name)
