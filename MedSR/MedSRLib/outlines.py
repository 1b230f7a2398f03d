"""Outlines: what a person drew on a slide, as polygons in level-0 pixels (continuous, see geometry_plane.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .errors import InputError

UNCLASSIFIED = "Unclassified"
DEFAULT_COLOUR = (255, 0, 0)


@dataclass(frozen=True)
class Polygon:
    """exterior, holes: (n, 2) rings of (x, y), not closed by repeating the first point; in any direction."""

    exterior: np.ndarray
    holes: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "exterior", _ring(self.exterior))
        object.__setattr__(self, "holes", tuple(_ring(hole) for hole in self.holes))

    @property
    def rings(self) -> tuple[np.ndarray, ...]:
        """The exterior, then the holes."""
        return (self.exterior, *self.holes)

    @property
    def area_px(self) -> float:
        """Level-0 pixels inside; of a ring that crosses itself only an estimate."""
        return abs(ring_area(self.exterior)) - sum(abs(ring_area(hole)) for hole in self.holes)


@dataclass(frozen=True)
class Outline:
    """One class (or one drawn object) of a slide. name: UNCLASSIFIED where none was given. colour: RGB."""

    name: str
    polygons: tuple[Polygon, ...]
    colour: tuple[int, int, int] = DEFAULT_COLOUR

    @property
    def area_px(self) -> float:
        """Level-0 pixels inside, polygons that overlap counted twice."""
        return sum(polygon.area_px for polygon in self.polygons)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) around all points. Raises InputError where there is none."""
        points = self.points
        if not len(points):
            raise InputError("the outline is empty", where=self.name)
        return tuple(float(v) for v in (*points.min(0), *points.max(0)))  # type: ignore[return-value]

    @property
    def points(self) -> np.ndarray:
        """(n, 2): every vertex."""
        rings = [ring for polygon in self.polygons for ring in polygon.rings]
        return np.concatenate(rings) if rings else np.zeros((0, 2))

    @property
    def centroid(self) -> np.ndarray:
        """(2,): centre of area. Raises InputError where the area is zero."""
        parts = [_moments(ring, 1 if i == 0 else -1) for polygon in self.polygons for i, ring in enumerate(polygon.rings)]
        area = sum(part[0] for part in parts)
        if not area > 0:
            raise InputError("the outline has no area", where=self.name)
        return np.sum([part[1] for part in parts], axis=0) / area

    def moved(self, matrix: np.ndarray) -> Outline:
        """Carried along by a 3x3 affine matrix on (x, y, 1)."""
        matrix = np.asarray(matrix, float)

        def carry(ring: np.ndarray) -> np.ndarray:
            return ring @ matrix[:2, :2].T + matrix[:2, 2]

        moved = tuple(Polygon(carry(polygon.exterior), tuple(carry(hole) for hole in polygon.holes)) for polygon in self.polygons)
        return replace(self, polygons=moved)


def _ring(points: np.ndarray) -> np.ndarray:
    ring = np.array(points, np.float64).reshape(-1, 2)
    if len(ring) > 1 and np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    ring.flags.writeable = False
    return ring


def ring_area(ring: np.ndarray) -> float:
    """Signed area of a closed ring, positive where it runs clockwise on the screen (y down)."""
    if len(ring) < 3:
        return 0.0
    moved = ring - ring[0]
    x, y = moved.T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _moments(ring: np.ndarray, sign: int) -> tuple[float, np.ndarray]:
    """(area, area times centre) of a ring, taken as positive (sign 1) or as a hole (-1)."""
    if len(ring) < 3:
        return 0.0, np.zeros(2)
    moved = ring - ring[0]
    nxt = np.roll(moved, -1, axis=0)
    cross = moved[:, 0] * nxt[:, 1] - nxt[:, 0] * moved[:, 1]
    area = cross.sum() / 2
    turned = sign if area >= 0 else -sign
    first = ((moved + nxt) * cross[:, None]).sum(0) / 6 + area * ring[0]
    return turned * float(area), turned * first


def joined(outlines: Sequence[Outline]) -> tuple[Outline, ...]:
    """One outline for each class, in the order of first appearance."""
    names = dict.fromkeys(outline.name for outline in outlines)
    groups = [[outline for outline in outlines if outline.name == name] for name in names]
    return tuple(replace(group[0], polygons=tuple(p for outline in group for p in outline.polygons)) for group in groups)


def of_classes(outlines: Sequence[Outline], names: Sequence[str]) -> tuple[Outline, ...]:
    """The outlines of these classes, names compared without case. Raises InputError for a class that is not there."""
    known = {outline.name.casefold() for outline in outlines}
    for name in names:
        if name.casefold() not in known:
            there = ", ".join(sorted({outline.name for outline in outlines})) or "none at all"
            raise InputError(f"there is no outline of class {name!r}", fix=f"choose of those there: {there}")
    wanted = {name.casefold() for name in names}
    return tuple(outline for outline in outlines if outline.name.casefold() in wanted)
