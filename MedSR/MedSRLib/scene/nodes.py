"""Volume nodes ⇄ Volume: the only file where RAS becomes LPS, and back.

MRML keeps geometry in RAS, MedSR in LPS; both count voxels (i, j, k) = (x, y, z) and both arrays are (k, j, i) = (z, y, x).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
import vtk.util.numpy_support

from ..errors import InputError
from ..volume import Volume
from .modality import state_modality

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""

COLUMN_TOLERANCE = 1e-9
"""Shortest voxel axis in mm that still counts as one."""


def affine_from_node(node: Any) -> np.ndarray:
    """4x4 from voxel index (x, y, z) to LPS mm in the world: a linear parent transform is hardened into it.

    Raises InputError where a parent transform is not linear: no single grid holds the image then.
    """
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    return RAS_TO_LPS @ world_from_local(node) @ slicer.util.arrayFromVTKMatrix(ijk_to_ras)


def world_from_local(node: Any) -> np.ndarray:
    """4x4 RAS map of all the transforms above a node. Raises InputError where one of them is not linear."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        what = "the volume" if node.IsA("vtkMRMLVolumeNode") else "the region"
        raise InputError(f"{what} is under a warping transform", where=node.GetName(), fix="harden the transform, then try again")
    to_world = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(to_world)
    return slicer.util.arrayFromVTKMatrix(to_world)


def split_affine(affine: np.ndarray) -> dict[str, Any]:
    """The `spacing_mm`, `origin_mm` and `direction` fields of a Volume, from a 4x4 index-to-LPS affine."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < COLUMN_TOLERANCE:
        raise InputError("a voxel axis has no length", where="geometry")
    return {"spacing_mm": tuple(spacing), "origin_mm": tuple(affine[:3, 3]), "direction": affine[:3, :3] / spacing}


def volume_from_node(node: Any, meta: Mapping[str, Any] | None = None) -> Volume:
    """A copy of a scalar, vector or label volume node as a Volume in world space, LPS mm.

    Raises InputError where the node has no image, or lies under a warping transform.
    """
    if node is None or node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        raise InputError("the volume has no image data", where=node.GetName() if node else "", fix="choose a loaded volume")
    array = slicer.util.arrayFromVolume(node).copy()
    facts = {"name": node.GetName(), **(meta or {})}
    return Volume(array, **split_affine(affine_from_node(node)), meta=facts)


def has_image(node: Any) -> bool:
    """Whether a volume node holds voxels."""
    return node is not None and node.GetImageData() is not None and node.GetImageData().GetNumberOfPoints() > 0


def grid_from_node(node: Any, meta: Mapping[str, Any] | None = None) -> Volume:
    """A Volume of the node's size, scalar type and place, whose voxels are all 0 and take no memory: for plans from headers alone.

    Raises InputError where it lies under a warping transform.
    """
    image = node.GetImageData()
    kind = np.dtype(vtk.util.numpy_support.get_numpy_array_type(image.GetScalarType()))
    hollow = np.broadcast_to(kind.type(0), image.GetDimensions()[::-1])
    return Volume(hollow, **split_affine(affine_from_node(node)), meta={"name": node.GetName(), **(meta or {})})


def node_class(volume: Volume, labels: bool = False) -> str:
    """The MRML class that holds such an image."""
    if labels:
        return "vtkMRMLLabelMapVolumeNode"
    return "vtkMRMLVectorVolumeNode" if volume.array.ndim == 4 else "vtkMRMLScalarVolumeNode"


def set_node(node: Any, volume: Volume) -> None:
    """Give a volume node the image and the geometry of `volume`; it leaves any parent transform, as LPS mm are of the world."""
    node.SetAndObserveTransformNodeID(None)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(_drawable(volume.array)))
    ras = np.ascontiguousarray(RAS_TO_LPS @ volume.affine)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ras))


def _drawable(array: np.ndarray) -> np.ndarray:
    """The array in a scalar type that Slicer can draw: no bool, half or 64-bit integer."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        fits = array.size == 0 or (array.min() >= np.iinfo(np.int32).min and array.max() <= np.iinfo(np.int32).max)
        return array.astype(np.int32 if fits else np.float64)
    return array


def add_node(scene: Any, volume: Volume, name: str, *, labels: bool = False) -> Any:
    """A new volume node in the scene, with display nodes, holding `volume`."""
    node = scene.AddNewNodeByClass(node_class(volume, labels), scene.GenerateUniqueName(name))
    set_node(node, volume)
    state_modality(node, str(volume.meta.get("modality") or ""))
    node.CreateDefaultDisplayNodes()
    return node
