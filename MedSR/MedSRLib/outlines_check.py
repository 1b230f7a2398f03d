"""What is wrong with outlines, said in sentences: empty, crossing themselves, beyond the slide, without a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .errors import InputError
from .outlines import UNCLASSIFIED, Outline, Polygon

_PAIRS = 2**22
"""Pairs of edges compared at a time."""


def checked(
    outlines: Sequence[Outline], size: tuple[int, int] | None = None, where: str = ""
) -> tuple[tuple[Outline, ...], tuple[str, ...]]:
    """The outlines that can be used, and a warning for whatever is odd; nothing is moved or mended.

    size: (width, height) of the slide in level-0 pixels. Left out are polygons without area and outlines wholly outside.
    Raises InputError where nothing is left.
    """
    kept, said = [], []
    for outline in outlines:
        usable, warnings = _usable(outline, size)
        said += warnings
        kept += [usable] if usable.polygons else []
    if not kept:
        reason = f": {said[0]}" if said else ""
        raise InputError(
            f"there is no outline with an area on the slide{reason}", where=where, fix="check that the outlines are this slide's"
        )
    if any(outline.name == UNCLASSIFIED for outline in kept):
        said.append(f"some outlines have no class; they are called {UNCLASSIFIED!r}")
    return tuple(kept), tuple(dict.fromkeys(said))


def _usable(outline: Outline, size: tuple[int, int] | None) -> tuple[Outline, list[str]]:
    name, said, kept = outline.name, [], []
    for polygon in outline.polygons:
        if len(polygon.exterior) < 3 or not np.ptp(polygon.exterior, axis=0).all() or not _has_area(polygon):
            said.append(f"an outline of {name!r} has no area and is left out")
            continue
        beyond = _beyond(polygon, size)
        if beyond == 1:
            said.append(f"an outline of {name!r} lies outside of the slide and is left out")
            continue
        if beyond:
            said.append(f"an outline of {name!r} reaches beyond the slide")
        if crosses_itself(polygon):
            said.append(f"an outline of {name!r} crosses itself; whatever it winds around counts as inside")
        kept.append(polygon)
    return replace(outline, polygons=tuple(kept)), said


def _has_area(polygon: Polygon) -> bool:
    """Whether the points do not all lie on one line: the area of a figure of eight may well be zero."""
    offsets = polygon.exterior - polygon.exterior[0]
    return bool(np.linalg.matrix_rank(offsets, tol=1e-9 * max(1.0, float(np.abs(offsets).max()))) == 2)


def _beyond(polygon: Polygon, size: tuple[int, int] | None) -> float:
    """0 where the polygon lies on the slide, 1 where it lies wholly outside, one half in between. Half a pixel is forgiven."""
    if size is None:
        return 0
    low, high = polygon.exterior.min(0), polygon.exterior.max(0)
    if (high <= 0).any() or (low >= size).any():
        return 1
    return 0.5 if (low < -0.5).any() or (high > np.array(size) + 0.5).any() else 0


def crosses_itself(polygon: Polygon) -> bool:
    """Whether two edges of one ring cross in a point inside both."""
    return any(_crosses(ring) for ring in polygon.rings)


def _crosses(ring: np.ndarray) -> bool:
    """Edges sorted by their left end: only those that begin before another ends can meet it."""
    start, end = ring, np.roll(ring, -1, axis=0)
    left, right = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    order = np.argsort(left, kind="stable")
    start, end, left, right = start[order], end[order], left[order], right[order]
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    last = np.searchsorted(left, right, side="right")
    count = np.maximum(last - np.arange(len(ring)) - 1, 0)
    first = 0
    total = np.cumsum(count)
    while first < len(ring):
        stop = max(first + 1, int(np.searchsorted(total, (total[first - 1] if first else 0) + _PAIRS)))
        a = np.repeat(np.arange(first, stop), count[first:stop])
        b = a + 1 + np.arange(len(a)) - np.repeat(np.cumsum(count[first:stop]) - count[first:stop], count[first:stop])
        near = (low[a] <= high[b]) & (low[b] <= high[a])
        if _meet(start, end, a[near], b[near]).any():
            return True
        first = stop
    return False


def _meet(start: np.ndarray, end: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether edges a and b cross properly: the ends of each lie strictly on both sides of the other."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.sign((q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0]))

    return (side(start[a], end[a], start[b]) * side(start[a], end[a], end[b]) < 0) & (
        side(start[b], end[b], start[a]) * side(start[b], end[b], end[a]) < 0
    )
