"""The affine that lays one gland's outline on another: a start from moments and orientation, refined on the overlap.

All in millimetres: the moving outline in the slide's frame, the fixed mask on the slice's pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry_slice import SlicePlane
from ..outlines import Outline, Polygon, ring_area
from ..outlines_area import coverage
from .register_slide import ORIENTATIONS

RING_POINTS = 240
"""Vertices that the search keeps of a ring: of a gland's they lie about half a millimetre apart."""
BLURS_MM = (4.0, 1.5, 0.0)
"""Gaussian of the mask in each round of the search."""
TURN_COST = 0.06
"""What leaving the orientation costs, in units of Dice: times 1 - the cosine between the affine's linear part and the orientation's
(a turn by 60 degrees is 0.5, a stretch by 1.5 is 0.02). Glands are nearly ellipses: turned and stretched they overlap as well."""
EDGES = 480
STEPS = 60


@dataclass(frozen=True)
class Fit:
    """in_plane: 3x3, slide mm to plane mm. dice: overlap of exact areas. orientation: of register_slide.ORIENTATIONS."""

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


def refine(outline: Outline, start: np.ndarray, fixed: Target, upright: np.ndarray) -> np.ndarray:
    """The affine near `start` with the largest overlap: first with a blurred mask, which draws from afar, then with the mask itself.

    upright: 2x2, the orientation that it should keep. Descent by the exact derivative of the overlap; shears and scales are counted
    in mm at the gland's rim. One that turned the slide over on its way is given up for its start.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.optimize import minimize

    found = start
    for blur in BLURS_MM:
        sigma = blur / np.array(fixed.plane.spacing_mm[::-1])
        soft = gaussian_filter(fixed.mask.astype(np.float32), sigma) if blur else fixed.mask.astype(np.float32)
        loss = OverlapLoss(outline, found, fixed, soft, upright)
        found = loss.matrix(minimize(loss, np.zeros(6), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x)
    return found if np.linalg.det(found) * np.linalg.det(start) > 0 else start


class OverlapLoss:
    """One minus Dice of a moved outline with a mask (soft, (rows, columns) in [0, 1]) and the turn's cost; derivative by six numbers.

    The numbers change `start` about the mask's centre: four of the linear part, in mm at the rim, and the shift in mm. An area
    changes by what its border sweeps, so the derivative is a sum along the outline.
    """

    def __init__(self, outline: Outline, start: np.ndarray, fixed: Target, soft: np.ndarray, upright: np.ndarray) -> None:
        self._upright = upright
        self._start, self._fixed, self._soft, self._total = start, fixed, soft, float(soft.sum())
        self._radius = 2 * float(np.linalg.det(fixed.spread)) ** 0.25
        self._outline = outline.moved(start)
        rings = [(ring, 1.0 if i == 0 else -1.0) for polygon in self._outline.polygons for i, ring in enumerate(polygon.rings)]
        self._edges = np.concatenate([_edges(ring, sign) for ring, sign in rings])

    def change(self, values: np.ndarray) -> np.ndarray:
        """3x3: what the six numbers do in the plane."""
        linear = np.eye(2) + values[:4].reshape(2, 2) / self._radius
        return _about(linear, self._fixed.centre, self._fixed.centre + values[4:])

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """3x3, slide mm to plane mm."""
        return self.change(values) @ self._start

    def __call__(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        change, plane = self.change(values), self._fixed.plane
        inside = coverage(self._outline.moved(plane.to_picture @ change), plane.window)
        pixel = float(np.prod(plane.spacing_mm))
        both, area, total = float((inside * self._soft).sum()) * pixel, float(inside.sum()) * pixel, self._total * pixel
        middle, normal = self._swept(change)
        weight = 2 / (area + total) * (self._at(middle @ change[:2, :2].T + change[:2, 2]) - both / (area + total))
        moved = weight[:, None] * normal
        slope = np.concatenate([(moved.T @ (middle - self._fixed.centre)).ravel() / self._radius, moved.sum(0)])
        cost, rise = self._turned(change[:2, :2])
        return 1 - 2 * both / (area + total) + cost, np.concatenate([rise, np.zeros(2)]) - slope

    def _turned(self, linear: np.ndarray) -> tuple[float, np.ndarray]:
        """(what leaving the orientation costs, its derivative by the four numbers of the linear part)."""
        whole = linear @ self._start[:2, :2]
        length = float(np.linalg.norm(whole))
        cosine = float(np.sum(whole * self._upright)) / (2**0.5 * length)
        rise = cosine * whole / length**2 - self._upright / (2**0.5 * length)
        return TURN_COST * (1 - cosine), TURN_COST * (rise @ self._start[:2, :2].T).ravel() / self._radius

    def _swept(self, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(middles of the edges before the change, outward normals after it, as long as their edges)."""
        start, end = self._edges[:, :2], self._edges[:, 2:]
        along = (end - start) @ change[:2, :2].T * (np.sign(np.linalg.det(change[:2, :2])) or 1.0)
        return (start + end) / 2, np.column_stack([along[:, 1], -along[:, 0]])

    def _at(self, points: np.ndarray) -> np.ndarray:
        from scipy.ndimage import map_coordinates

        x, y = self._fixed.plane.spacing_mm
        return map_coordinates(self._soft, [points[:, 1] / y, points[:, 0] / x], order=1, mode="constant")


def _edges(ring: np.ndarray, sign: float) -> np.ndarray:
    """(n, 4): start and end of each edge, so that the outline's inside lies to the left of a line that runs up the screen."""
    fine = _evenly(ring, EDGES) if len(ring) > EDGES else ring
    start, end = (fine, np.roll(fine, -1, axis=0)) if ring_area(fine) * sign > 0 else (np.roll(fine, -1, axis=0), fine)
    return np.column_stack([start, end])


def best_fit(outline: Outline, fixed: Target, orientation: str, degrees: float = 0.0) -> Fit:
    """The affine of this orientation that overlaps best. outline: in slide mm."""
    thin = simplified(outline)
    upright = fixed.plane.view @ orientation_matrix(orientation, degrees)
    found = [refine(thin, start, fixed, upright) for start in starts(*moments(thin), fixed, orientation, degrees)]
    scores = [overlap(thin, matrix, fixed) for matrix in found]
    best = int(np.argmax(scores))
    return Fit(found[best], scores[best], orientation)


def upright_part(linear: np.ndarray) -> np.ndarray:
    """2x2: the rotation, mirrored or not, that is nearest to a linear part."""
    left, _, right = np.linalg.svd(linear)
    return left @ right


def nearest_orientation(in_plane: np.ndarray, plane: SlicePlane) -> str:
    """Which of the eight an affine comes closest to."""
    linear = plane.view.T @ in_plane[:2, :2]
    return max(ORIENTATIONS, key=lambda name: float(np.sum(linear * orientation_matrix(name))))
