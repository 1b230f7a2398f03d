"""The affine that lays one gland's outline on another: a start from moments and orientation, refined on the overlap.

All in millimetres: the moving outline in the slide's frame, the fixed mask on the slice's pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry_slice import SlicePlane
from ..outlines import Outline, Polygon
from ..outlines_area import coverage

ORIENTATIONS = ("r0", "r90", "r180", "r270", "f0", "f90", "f180", "f270")
"""f mirrors the slide left to right first; then it is turned clockwise by so many degrees, as seen beside the MRI's usual view."""
RING_POINTS = 240
"""Vertices that the search keeps of a ring: of a gland's they lie about half a millimetre apart."""
SEARCH_EVALUATIONS = 900
FINE_MM = 0.01


@dataclass(frozen=True)
class Fit:
    """in_plane: 3x3, slide mm to plane mm. dice: overlap of exact areas. orientation: of ORIENTATIONS."""

    in_plane: np.ndarray
    dice: float
    orientation: str


@dataclass(frozen=True)
class Target:
    """The gland on one MRI slice. mask: (rows, columns) bool. centre (2,) mm and spread (2, 2) mm²: its moments in plane mm."""

    plane: SlicePlane
    mask: np.ndarray
    centre: np.ndarray
    spread: np.ndarray


def target(plane: SlicePlane, mask: np.ndarray) -> Target:
    """The moments of a mask that is not empty."""
    points = np.argwhere(mask)[:, ::-1] * np.array(plane.spacing_mm)
    spread = np.cov(points.T) + np.diag(np.square(plane.spacing_mm)) / 12
    return Target(plane, mask, points.mean(0), spread)


def turn(degrees: float) -> np.ndarray:
    """2x2: clockwise on a screen (y down)."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def orientation_matrix(orientation: str, degrees: float = 0.0) -> np.ndarray:
    """2x2: the slide's right and down to the screen's, with `degrees` more, clockwise."""
    mirror = np.diag([-1.0, 1.0]) if orientation[0] == "f" else np.eye(2)
    return turn(float(orientation[1:]) + degrees) @ mirror


def simplified(outline: Outline, points: int = RING_POINTS) -> Outline:
    """The outline with at most `points` vertices a ring, evenly spaced along it."""
    return Outline(outline.name, tuple(Polygon(*_thinned(polygon, points)) for polygon in outline.polygons), outline.colour)


def _thinned(polygon: Polygon, points: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    rings = [_evenly(ring, points) for ring in polygon.rings]
    return rings[0], tuple(rings[1:])


def _evenly(ring: np.ndarray, points: int) -> np.ndarray:
    if len(ring) <= points:
        return ring
    closed = np.vstack([ring, ring[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, along[-1], points, endpoint=False)
    return np.column_stack([np.interp(at, along, closed[:, i]) for i in (0, 1)])


def moments(outline: Outline) -> tuple[np.ndarray, np.ndarray]:
    """(centre (2,), spread (2, 2)) of an outline's area, in its own units, from a raster of about 300 pixels a side."""
    from ..geometry_plane import window

    x0, y0, x1, y1 = outline.box
    step = max(x1 - x0, y1 - y0) / 300
    grid = window(outline.box, (step, step))
    inside = coverage(outline, grid)
    weight = inside / inside.sum()
    y, x = np.indices(inside.shape) + 0.5
    at = np.stack([x.ravel(), y.ravel()], 1) * grid.step + grid.box[:2]
    centre = weight.ravel() @ at
    away = at - centre
    return centre, (away * weight.ravel()[:, None]).T @ away


def starts(centre: np.ndarray, spread: np.ndarray, fixed: Target, orientation: str, degrees: float) -> list[np.ndarray]:
    """3x3 affines that match area and centre: turned as said, and turned on until the long axes agree."""
    base = fixed.plane.view @ orientation_matrix(orientation, degrees)
    scale = (np.linalg.det(fixed.spread) / np.linalg.det(spread)) ** 0.25
    found = _axis(fixed.spread) - _axis(base @ spread @ base.T)
    between = (found + np.pi / 2) % np.pi - np.pi / 2
    angles = [0.0, np.degrees(between)] if abs(between) <= np.pi / 4 else [0.0]
    return [_about(scale * turn(angle) @ base, centre, fixed.centre) for angle in angles]


def _axis(spread: np.ndarray) -> float:
    """Angle of the long axis, radians."""
    return 0.5 * float(np.arctan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1]))


def _about(linear: np.ndarray, centre: np.ndarray, goal: np.ndarray) -> np.ndarray:
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, goal - linear @ centre
    return matrix


def overlap(outline: Outline, in_plane: np.ndarray, fixed: Target) -> float:
    """Dice of the moved outline's exact area with the mask's."""
    inside = coverage(outline.moved(fixed.plane.to_picture @ in_plane), fixed.plane.window)
    whole = float(inside.sum() + np.count_nonzero(fixed.mask))
    return 2 * float(inside[fixed.mask].sum()) / whole


def refine(outline: Outline, start: np.ndarray, fixed: Target, evaluations: int = SEARCH_EVALUATIONS) -> np.ndarray:
    """The affine near `start` with the largest overlap (Powell's method; shears and scales counted in mm at the gland's rim)."""
    from scipy.optimize import minimize

    radius = 2 * float(np.linalg.det(fixed.spread)) ** 0.25

    def change(values: np.ndarray) -> np.ndarray:
        linear = np.eye(2) + values[:4].reshape(2, 2) / radius
        return _about(linear, fixed.centre, fixed.centre + values[4:]) @ start

    found = minimize(
        lambda values: 1 - overlap(outline, change(values), fixed),
        np.zeros(6),
        method="Powell",
        options={"maxfev": evaluations, "xtol": FINE_MM, "ftol": 1e-6, "direc": np.eye(6)},
    )
    return change(found.x)


def best_fit(outline: Outline, fixed: Target, orientation: str, degrees: float = 0.0, evaluations: int = SEARCH_EVALUATIONS) -> Fit:
    """The affine of this orientation that overlaps best. outline: in slide mm."""
    thin = simplified(outline)
    begun = starts(*moments(thin), fixed, orientation, degrees)
    if evaluations:
        begun = [refine(thin, start, fixed, evaluations) for start in begun]
    scores = [overlap(thin, matrix, fixed) for matrix in begun]
    best = int(np.argmax(scores))
    return Fit(begun[best], scores[best], orientation)
