"""What a registration is given as nodes, as the files that the task reads: slide, outlines, landmarks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io import outline_geojson
from ..io.landmarks import COLUMNS
from ..outlines import Outline, Polygon
from . import slides
from .exchange import Workspace
from .nodes import RAS_TO_LPS

LPS = RAS_TO_LPS[:3, :3]
CURVE_CLASS, POINTS_CLASS = "vtkMRMLMarkupsClosedCurveNode", "vtkMRMLMarkupsFiducialNode"


def slide_file(files: Workspace, slide: Any) -> Path:
    """The slide's own file, or one written of a node: a colour picture, or a label map of outlines alone. Raises InputError."""
    if isinstance(slide, (str, Path)):
        return Path(slide)
    if slide.IsA("vtkMRMLLabelMapVolumeNode"):
        return files.export_image(slide, "slide.nrrd")
    known = slides.path_of(slide)
    return known if known is not None else _picture(files.path("slide.png"), slides.colours(slide))


def _picture(path: Path, array: np.ndarray) -> Path:
    import SimpleITK as sitk  # Slicer has no other library for pictures

    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(path))
    return path


def outline_file(files: Workspace, outlines: Any, slide: Any) -> Path:
    """The file of outlines, or one written of a node: label map or segmentation on the slide, or closed curves. Raises InputError.

    outlines: a path, a node, or several curves. slide: the slide's node, on which they were drawn.
    """
    if isinstance(outlines, (str, Path)):
        return Path(outlines)
    several = list(outlines) if isinstance(outlines, (list, tuple)) else [outlines]
    if several[0].IsA(CURVE_CLASS):
        path = files.path("outlines.geojson")
        outline_geojson.write(path, [_of_curve(curve, _drawn_on(slide, curve)) for curve in several])
        return path
    if several[0].IsA("vtkMRMLLabelMapVolumeNode"):
        return files.export_image(several[0], "outlines.nrrd")
    return files.export_segments(several[0], _drawn_on(slide, several[0]), "outlines.seg.nrrd")


def _drawn_on(slide: Any, what: Any) -> Any:
    if slide is None or isinstance(slide, (str, Path)):
        raise InputError("was drawn on a slide that is not in the scene", where=what.GetName(), fix="load the slide first, and choose it")
    return slide


def _of_curve(curve: Any, slide: Any) -> Outline:
    points = curve.GetCurvePointsWorld()
    if points is None or points.GetNumberOfPoints() < 3:
        raise InputError("the curve is not drawn yet", where=curve.GetName(), fix="set at least three points")
    world = np.array([points.GetPoint(i) for i in range(points.GetNumberOfPoints())])
    return Outline(curve.GetName(), (Polygon(slides.pixels_of(slide, world)),))


def landmark_file(files: Workspace, landmarks: Any, slide: Any) -> Path:
    """The CSV of landmarks, or one written of a pair of point lists (on the slide, on the MRI). Raises InputError."""
    if isinstance(landmarks, (str, Path)):
        return Path(landmarks)
    on_slide, on_mri = (_positions(points) for points in landmarks)
    if len(on_slide) != len(on_mri) or not len(on_slide):
        names = " and ".join(points.GetName() for points in landmarks)
        what = f"{len(on_slide)} points on the slide and {len(on_mri)} on the MRI are no pairs"
        raise InputError(what, where=names, fix="set the same points, in the same order, in both lists")
    return write_landmarks(files, slides.pixels_of(_drawn_on(slide, landmarks[0]), on_slide), on_mri @ LPS)


def _positions(points: Any) -> np.ndarray:
    """(n, 3) RAS mm of the world, of the points that are set."""
    found = []
    for i in range(points.GetNumberOfControlPoints()):
        at = [0.0, 0.0, 0.0]
        points.GetNthControlPointPositionWorld(i, at)
        if points.GetNthControlPointPositionStatus(i) == points.PositionDefined:
            found.append(at)
    return np.array(found).reshape(-1, 3)


def write_landmarks(files: Workspace, slide_px: np.ndarray, patient_mm: np.ndarray) -> Path:
    """slide_px: (n, 2) finest pixels. patient_mm: (n, 3) LPS."""
    path = files.path("landmarks.csv")
    rows: Sequence[Sequence[float]] = np.hstack([slide_px, patient_mm]).tolist()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([[repr(v) for v in row] for row in rows])
    return path
