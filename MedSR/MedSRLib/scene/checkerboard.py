"""MRI and slide in turn, square by square: how well edges meet is seen best where one picture ends and the other begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer.util
import vtk
import vtk.util.numpy_support

from ..geometry_slice import SlicePlane
from ..volume import Volume
from . import slides
from .nodes import RAS_TO_LPS, add_node, grid_from_node, set_node
from .registration_results import RegistrationResults
from .slide_transform import plane_under

SQUARE_MM = 8.0
PIXEL_MM = 0.2
"""Largest pixel: finer than the MRI's, so that the slide is worth looking at."""
ROLE = "MedSR.checkerboard"


def add_checkerboard(results: RegistrationResults) -> Any:
    """The volume node of the slide's MRI slice, made or made anew as the slide lies now; None without a slide or an MRI."""
    if results.slide is None or results.mri is None:
        return None
    mri, plane = results.mri, plane_under(results.transform, results.mri)
    volume, points = _fine(grid_from_node(mri), plane)
    grey = _grey(mri, plane.index, volume.shape[1:])
    colour, inside = _slide_at(results.slide, points)
    odd = _squares(volume) & inside
    array = np.where(odd.reshape(volume.shape)[..., None], colour.reshape(*volume.shape, 3), grey[None, ..., None]).astype(np.uint8)
    made, old = volume.with_(array=array), results.transform.GetNodeReference(ROLE)
    if old is not None:
        set_node(old, made)
        return old
    node = add_node(mri.GetScene(), made, f"{results.slide.GetName()} checkerboard")
    results.transform.SetNodeReferenceID(ROLE, node.GetID())
    return node


def _fine(mri: Volume, plane: SlicePlane) -> tuple[Volume, np.ndarray]:
    """The MRI slice with each pixel divided, and its points: (n, 3) RAS mm."""
    times = max(1, int(np.ceil(min(plane.spacing_mm) / PIXEL_MM)))
    rows, columns = (n * times for n in plane.shape)
    spacing = (plane.spacing_mm[0] / times, plane.spacing_mm[1] / times)
    first = np.array([[(step - whole) / 2 for step, whole in zip(spacing, plane.spacing_mm, strict=True)]])
    hollow = np.broadcast_to(np.uint8(0), (1, rows, columns))
    volume = Volume(hollow, (*spacing, plane.thickness_mm), tuple(plane.to_patient(first)[0]), mri.direction)
    y, x = np.indices((rows, columns))
    flat = np.column_stack([x.ravel(), y.ravel()]) * spacing + first
    return volume, plane.to_patient(flat) @ RAS_TO_LPS[:3, :3]


def _grey(mri: Any, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """The slice as its display shows it, (rows, columns) 0 to 255, its pixels repeated."""
    image, display = slicer.util.arrayFromVolume(mri)[index].astype(float), mri.GetDisplayNode()
    windowed = hasattr(display, "GetWindowLevelMin")  # the display of a label map, a gland's mask alone, has none
    low, high = (display.GetWindowLevelMin(), display.GetWindowLevelMax()) if windowed else mri.GetImageData().GetScalarRange()
    shown = np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255
    times = shape[0] // image.shape[0]
    return np.kron(shown, np.ones((times, times)))


def _slide_at(slide: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(colours (n, 3), whether there is slide) at points of the world, RAS mm, through all transforms above the slide."""
    general, moved = vtk.vtkGeneralTransform(), vtk.vtkPoints()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, slide.GetParentTransformNode(), general)
    given = vtk.vtkPoints()
    given.SetData(vtk.util.numpy_support.numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    general.TransformPoints(given, moved)
    local = vtk.util.numpy_support.vtk_to_numpy(moved.GetData())
    to_ras = vtk.vtkMatrix4x4()
    slide.GetIJKToRASMatrix(to_ras)
    to_ijk = np.linalg.inv(slicer.util.arrayFromVTKMatrix(to_ras))
    at = np.rint(local @ to_ijk[:3, :3].T + to_ijk[:3, 3]).astype(int)[:, :2]
    picture = slides.colours(slide)
    size = np.array(picture.shape[1::-1])
    inside = ((at >= 0) & (at < size)).all(1)
    x, y = np.clip(at, 0, size - 1).T
    return picture[y, x], inside


def _squares(volume: Volume) -> np.ndarray:
    """(n,) whether a pixel belongs to every second square."""
    _, rows, columns = volume.shape
    y, x = np.indices((rows, columns))
    squares = (y * volume.spacing_mm[1] // SQUARE_MM).astype(int) + (x * volume.spacing_mm[0] // SQUARE_MM).astype(int)
    return (squares % 2 == 1).ravel()
