"""The transforms that carry a slide into the patient, as nodes: RAS here, LPS in the engine and in .h5 files.

A linear node holds the map from the slide frame to the patient; a grid node above it, where there is one, bends the plane. What the
linear node must know of its slide stands in its attributes, so that it serves outlines without a picture as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
import vtk.util.numpy_support

from ..geometry_slice import SlicePlane, slice_plane
from ..volume import Volume
from . import attributes, slides
from .aftercare import place_beside
from .nodes import RAS_TO_LPS, grid_from_node

CLASS = "vtkMRMLLinearTransformNode"
CENTRE, MPP, SLICE = "slide_centre_mm", "slide_mpp_um", "slice"


def add_linear(scene: Any, slide_to_patient: np.ndarray, name: str) -> Any:
    """A new linear transform node of a 4x4 from the slide frame to LPS mm."""
    node = scene.AddNewNodeByClass(CLASS, scene.GenerateUniqueName(name))
    set_matrix(node, slide_to_patient)
    return node


def matrix_of(node: Any) -> np.ndarray:
    """4x4 of a linear transform node, slide frame to LPS mm; a warp above it is not in it."""
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(matrix)
    return RAS_TO_LPS @ slicer.util.arrayFromVTKMatrix(matrix) @ RAS_TO_LPS


def set_matrix(node: Any, slide_to_patient: np.ndarray) -> None:
    """Give a linear transform node a 4x4 from the slide frame to LPS mm."""
    ras = np.ascontiguousarray(RAS_TO_LPS @ slide_to_patient @ RAS_TO_LPS)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(ras))


def add_grid(scene: Any, field: Volume, name: str) -> Any:
    """A new grid transform node of a displacement field, (z, y, x, 3) LPS mm, that is added to a patient's point (from parent)."""
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", scene.GenerateUniqueName(name))
    lps = RAS_TO_LPS[:3, :3]
    values = np.ascontiguousarray(field.array.astype(np.float64) @ lps)
    image, direction = vtk.vtkImageData(), np.eye(4)
    image.SetDimensions(*field.shape[::-1])
    image.SetOrigin(*(lps @ np.array(field.origin_mm)))
    image.SetSpacing(*field.spacing_mm)
    image.GetPointData().SetScalars(vtk.util.numpy_support.numpy_to_vtk(values.reshape(-1, 3), deep=True))
    direction[:3, :3] = lps @ field.direction
    grid = slicer.vtkOrientedGridTransform()
    grid.SetGridDirectionMatrix(slicer.util.vtkMatrixFromArray(direction))
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToLinear()
    node.SetAndObserveTransformFromParent(grid)
    return node


def field_of(node: Any) -> Volume:
    """The displacement field of a grid transform node, as `add_grid` takes it."""
    grid = node.GetTransformFromParent()
    image, lps = grid.GetDisplacementGrid(), RAS_TO_LPS[:3, :3]
    values = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    array = np.asarray(values, np.float64).reshape(*image.GetDimensions()[::-1], 3) @ lps
    direction = lps @ slicer.util.arrayFromVTKMatrix(grid.GetGridDirectionMatrix())[:3, :3]
    return Volume(array, image.GetSpacing(), tuple(lps @ np.array(image.GetOrigin())), direction)


def describe_slide(transform: Any, centre_mm: Sequence[float] | np.ndarray, mpp_um: Sequence[float]) -> None:
    """Note what the transform carries. centre_mm: (2,) what turns and scales stay about, slide mm. mpp_um: (x, y) of the finest level."""
    facts = {CENTRE: json.dumps([float(v) for v in centre_mm]), MPP: json.dumps([float(v) for v in mpp_um])}
    attributes.write(transform, facts)


def centre_of(transform: Any) -> np.ndarray:
    """(4,) the slide's centre in its frame, homogeneous."""
    return np.array([*json.loads(attributes.read(transform)[CENTRE]), 0.0, 1.0])


def mpp_under(transform: Any) -> np.ndarray:
    """(2,) µm per pixel (x, y) of the slide that the transform carries, for which its matrix holds."""
    return np.array(json.loads(attributes.read(transform)[MPP]))


def lay(slide: Any, mri: Any, index: int) -> Any:
    """A new transform that lays a slide's node on the middle of MRI slice `index`, as it is seen, upright: where a hand can begin."""
    plane = slice_plane(grid_from_node(mri), index)
    middle, centre = (np.array(plane.shape[::-1]) - 1) / 2 * plane.spacing_mm, slides.centre_mm(slide)
    in_plane = np.eye(3)
    in_plane[:2, :2] = plane.view
    in_plane[:2, 2] = middle - plane.view @ centre
    transform = add_linear(slide.GetScene(), plane.place(in_plane), f"{slide.GetName()} by hand")
    place_beside(transform, mri)
    transform.SetNodeReferenceID(attributes.SOURCE_ROLE, mri.GetID())
    attributes.write(transform, {SLICE: index})
    mpp = slides.mpp_of(slide) or (1000.0, 1000.0)
    slides.set_mpp(slide, mpp, plane.thickness_mm)
    describe_slide(transform, centre, mpp)
    slide.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def hang(slide: Any, transform: Any, mri: Any) -> None:
    """Lay a slide's node under a transform that was made for it before, with the pixel size that the transform was found with."""
    mpp = json.loads(attributes.read(transform)[MPP])
    if mri is not None:
        slides.set_mpp(slide, mpp, grid_from_node(mri).spacing_mm[2])
    slide.SetAndObserveTransformNodeID(transform.GetID())


def plane_under(transform: Any, mri: Any) -> SlicePlane:
    """The MRI slice that a slide's centre lies on, or nearest to. Raises InputError where the MRI has no grid to lie on."""
    grid = grid_from_node(mri)
    at = np.linalg.inv(grid.affine) @ matrix_of(transform) @ centre_of(transform)
    return slice_plane(grid, int(np.clip(np.rint(at[2]), 0, grid.shape[0] - 1)))
