"""A box in the patient as a markups node of the scene, and where the first one lies."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import slicer.util

from .. import lungs
from ..errors import InputError
from ..geometry_region import Box
from ..scene.nodes import RAS_TO_LPS
from ..volume import Volume
from .entries import Entry
from .layouts import ORIENTATIONS, tag

FIRST_SIZE_MM = (40.0, 40.0, 8.0)
"""Along left-right, front-back and head-foot: some 400 × 400 pixels of eight slices, made in seconds."""
LEAST_SLICES = 3
COLOR = (1.0, 0.72, 0.30)


def add_box(scene: Any, box: Box, name: str) -> Any:
    """A markups ROI that can be moved and sized in the views of the original."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetFillVisibility(False)
    display.SetColor(*COLOR)
    display.SetSelectedColor(*COLOR)
    for orientation in ORIENTATIONS:
        display.AddViewNodeID(f"vtkMRMLSliceNode{tag('Original', orientation)}")
    put_box(node, box)
    return node


def put_box(node: Any, box: Box) -> None:
    """Give the node the place, the size and the directions of a box."""
    flip = RAS_TO_LPS[:3, :3]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = flip @ box.axes @ flip, flip @ box.centre_mm
    was_modifying = node.StartModify()
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(np.ascontiguousarray(matrix)))
    node.SetSize(*(float(s) for s in box.size_mm))
    node.EndModify(was_modifying)


def box_of(node: Any) -> Box:
    """The box of a node, LPS mm. Raises OptionError where it has no volume."""
    flip = RAS_TO_LPS[:3, :3]
    world = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    return Box(flip @ world[:3, 3], np.array(node.GetSize()), flip @ world[:3, :3] @ flip)


def first_box(original: Entry) -> Box:
    """A box along the voxel axes that a click can work on: in the widest part of the lung of a chest CT, else in the middle."""
    volume = original.frames[0]
    axes, lengths = _axes(volume)
    least = (0.0, 0.0, 0.0)
    if volume.shape[0] > 1:
        least = tuple(LEAST_SLICES * volume.spacing_mm[2] * abs(axes.T @ volume.direction[:, 2]).round())
    size = np.minimum(np.maximum(FIRST_SIZE_MM, least), lengths)
    index = _in_lung(volume) if not original.why_not_hu else None
    middle = (np.array(volume.shape[::-1]) - 1) / 2 if index is None else index
    return Box((volume.affine @ np.array([*middle, 1.0]))[:3], size, axes)


def _axes(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """(directions of the volume's axes as columns, in the order and sense of L, P and S; its lengths along them, mm)."""
    u, _, vt = np.linalg.svd(volume.direction)
    straight = u @ vt  # the nearest axes at right angles, where a gantry was tilted
    order = list(max(permutations(range(3)), key=lambda p: sum(abs(straight[i, p[i]]) for i in range(3))))
    axes = straight[:, order]
    lengths = np.array(volume.shape[::-1]) * np.array(volume.spacing_mm)
    return axes * np.sign(np.diag(axes)), lengths[order]


def _in_lung(volume: Volume) -> np.ndarray | None:
    """Index (x, y, z) of the place in the middle slice that is farthest from the border of the lung; None without lung."""
    from scipy.ndimage import distance_transform_edt

    z = volume.shape[0] // 2
    try:
        found = lungs.mask(volume.array[z : z + 1], volume.spacing_mm)[0]
    except InputError:
        return None
    y, x = np.unravel_index(int(distance_transform_edt(np.pad(found, 1)).argmax()), np.add(found.shape, 2))
    return np.array([x - 1, y - 1, z], float)
