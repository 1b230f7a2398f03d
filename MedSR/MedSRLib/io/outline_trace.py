"""The borders of a mask as polygons along the sides of its pixels: their area is the number of pixels, exactly."""

from __future__ import annotations

import numpy as np

from ..outlines import Polygon, ring_area


def polygons_of(mask: np.ndarray) -> tuple[Polygon, ...]:
    """(h, w) bool → a polygon for each part (pixels joined by their sides), with its holes, in pixels from the outer corner."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        rings = rings_of(parts[box] == number)
        shift = np.array([box[1].start, box[0].start])
        outer = [ring + shift for ring in rings if ring_area(ring) > 0]
        holes = [ring + shift for ring in rings if ring_area(ring) < 0]
        found.append(Polygon(outer[0], tuple(holes)))
    return tuple(found)


def rings_of(mask: np.ndarray) -> list[np.ndarray]:
    """Closed rings of (x, y) corners along the pixel sides that part inside from outside, the inside to the right."""
    start, direction = _sides(mask)
    width = mask.shape[1] + 2
    following = _following(start, direction, width)
    corner = direction[following] != direction
    rings, seen = [], np.zeros(len(start), bool)
    next_, turns = following.tolist(), corner.tolist()
    for first in np.flatnonzero(corner).tolist():
        if seen[first]:
            continue
        ring, side = [], first
        while True:
            if turns[side]:
                seen[side] = True
                ring.append(next_[side])
            side = next_[side]
            if side == first:
                break
        at = start[ring]
        rings.append(np.column_stack([at % width, at // width]).astype(float))
    return rings


_STEP_X, _STEP_Y = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])
"""Directions: right, down, left, up; a turn to the right is the next one."""


def _sides(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(corner number where each side begins, its direction)."""
    padded = np.pad(mask, 1)
    width = mask.shape[1] + 2
    below, above = padded[1:, 1:-1], padded[:-1, 1:-1]
    right, left = padded[1:-1, 1:], padded[1:-1, :-1]
    parts = []
    for sides, direction, (dx, dy) in (
        (below & ~above, 0, (0, 0)), (left & ~right, 1, (0, 0)), (above & ~below, 2, (1, 0)), (right & ~left, 3, (0, 1)),
    ):  # fmt: skip
        y, x = np.nonzero(sides)
        parts.append(((y + dy) * width + x + dx, np.full(len(y), direction)))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _following(start: np.ndarray, direction: np.ndarray, width: int) -> np.ndarray:
    """For each side the one that goes on from its end: a turn to the right before straight on before a turn to the left.

    So where two pixels touch by a corner alone, the ring stays with its own pixel.
    """
    end = start + _STEP_X[direction] + _STEP_Y[direction] * width
    keys = start * 4 + direction
    order = np.argsort(keys)
    ordered = keys[order]
    following = np.full(len(start), -1)
    for turn in (3, 0, 1):  # the last that exists wins
        wanted = end * 4 + (direction + turn) % 4
        place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        there = ordered[place] == wanted
        following[there] = order[place[there]]
    return following
