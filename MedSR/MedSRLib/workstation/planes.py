"""How a loaded volume lies between the anatomical planes, for choosing views and lettering them."""

from __future__ import annotations

import numpy as np

from ..scene.nodes import affine_from_node
from ..scene.thick import slicing

NORMALS = ("Sagittal", "Coronal", "Axial")
"""The plane whose normal is the patient's left-right, front-back, head-foot axis."""
LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
"""(towards minus, towards plus) of the RAS axes that MRML's slice nodes speak."""
OBLIQUE = 0.35
"""Least share (cosine) of an axis for its letter to be shown: a plane turned by more than 20 degrees gets two letters."""


def _axis_planes(node) -> tuple[str, str, str]:
    """The anatomical plane that is nearest to the normal of each voxel axis, each plane once."""
    cosines = np.abs(affine_from_node(node)[:3, :3])
    cosines = cosines / np.linalg.norm(cosines, axis=0)
    names = [""] * 3
    for _ in range(3):
        patient, voxel = np.unravel_index(np.argmax(cosines), cosines.shape)
        names[voxel] = NORMALS[patient]
        cosines[patient, :], cosines[:, voxel] = -1, -1
    return names[0], names[1], names[2]


def in_plane_orientation(node) -> str:
    """The plane in which the volume was acquired: the one nearest to its slices."""
    return _axis_planes(node)[slicing(node).axis]


def plane_size_mm(node, orientation: str) -> tuple[float, float]:
    """Width and height of the volume's picture in an anatomical plane, mm."""
    affine = affine_from_node(node)
    lengths = np.linalg.norm(affine[:3, :3], axis=0) * np.array(node.GetImageData().GetDimensions())
    by_plane = dict(zip(_axis_planes(node), lengths, strict=True))  # length along each plane's normal
    across = {"Sagittal": ("Coronal", "Axial"), "Coronal": ("Sagittal", "Axial"), "Axial": ("Sagittal", "Coronal")}[orientation]
    return float(by_plane[across[0]]), float(by_plane[across[1]])


def directions(slice_node) -> tuple[str, str, str, str]:
    """Letters for the left, right, bottom and top edge of a slice view, as seen on screen."""
    matrix = slice_node.GetSliceToRAS()
    horizontal = [matrix.GetElement(i, 0) for i in range(3)]
    vertical = [matrix.GetElement(i, 1) for i in range(3)]
    return _letters([-v for v in horizontal]), _letters(horizontal), _letters([-v for v in vertical]), _letters(vertical)


def _letters(vector: list[float]) -> str:
    order = sorted(range(3), key=lambda i: -abs(vector[i]))
    return "".join(LETTERS[i][vector[i] > 0] for i in order if abs(vector[i]) > OBLIQUE)
