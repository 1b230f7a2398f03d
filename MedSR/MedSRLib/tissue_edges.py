"""The two straight cut edges of a quarter of a whole mount, and the corner where they meet, to a fraction of a pixel.

A quarter is looked at as the upper left one: its cut edges are on its right and below. Coordinates are continuous (x, y) pixels
from the outer corner of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError

STEEPEST = 0.36
"""Largest slope of a cut edge against the picture: 20 degrees."""
NEAR_PX = 1.5
"""How near to a line an edge point lies that counts for it."""
LEAST_SUPPORT = 0.3
"""A cut edge explains at least this share of the rows (or columns) that hold tissue."""
_REACH_PX = 8
_TRIALS = 1500


@dataclass(frozen=True)
class Line:
    """x = offset + slope * y (a right edge); the points that lie on it run from `first` to `last` along y. support: their share."""

    offset: float
    slope: float
    first: float
    last: float
    support: float


@dataclass(frozen=True)
class Corner:
    """point: (x, y) where the cut edges meet. angle_deg: by how much the quarter is turned clockwise on the screen.

    square_deg: how far the angle between the edges is from a right one. support: the lesser share of both edges.
    """

    point: tuple[float, float]
    angle_deg: float
    square_deg: float
    support: float


def corner_of(mask: np.ndarray, dark: np.ndarray, name: str = "quadrant") -> Corner:
    """The cut corner of a quarter whose cut edges are on the right and below.

    mask: (h, w) bool tissue. dark: (h, w), larger in tissue than on glass, not smoothed: places the edge where it is half way.
    Raises InputError where no straight edge is found.
    """
    right = _edge(mask, dark, name, "right-hand")
    below = _edge(mask.T, dark.T, name, "lower")
    # x = a + b y, y = c + d x
    y = (below.offset + below.slope * right.offset) / (1 - below.slope * right.slope)
    x = right.offset + right.slope * y
    turned = -np.degrees(np.arctan(right.slope)), np.degrees(np.arctan(below.slope))
    weights = np.array([right.last - right.first, below.last - below.first])
    angle = float(np.average(turned, weights=weights))
    return Corner((float(x), float(y)), angle, float(abs(turned[0] - turned[1])), min(right.support, below.support))


def _edge(mask: np.ndarray, dark: np.ndarray, name: str, which: str) -> Line:
    """The right edge: through the last tissue pixel of as many rows as one line can explain, then moved to half the step."""
    rows = np.flatnonzero(mask.any(1))
    if len(rows) < 20:
        raise InputError("holds too little tissue to find its cut edges", where=name, fix="give the layout without refinement")
    ends = mask.shape[1] - np.argmax(mask[rows][:, ::-1], axis=1).astype(float)
    at = rows + 0.5
    line = _most_supported(at, ends)
    on = np.abs(ends - line[0] - line[1] * at) < NEAR_PX
    if on.mean() < LEAST_SUPPORT:
        raise InputError(f"its {which} cut edge is not straight enough to be found", where=name, fix="give the layout without refinement")
    slope, offset = np.polyfit(at[on], ends[on], 1)
    shift, tilt = _half_way(dark, at[on], offset + slope * at[on])
    return Line(
        float(offset + shift - tilt * at[on].mean()), float(slope + tilt), float(at[on].min()), float(at[on].max()), float(on.mean())
    )


def _most_supported(at: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """(offset, slope) of the line through two edge points that most others lie near; points further out break ties."""
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(at), (_TRIALS, 2))
    apart = np.abs(at[pairs[:, 0]] - at[pairs[:, 1]]) >= max(5, 0.15 * len(at))
    first, second = pairs[apart].T
    slope = (ends[second] - ends[first]) / (at[second] - at[first])
    gentle = np.abs(slope) <= STEEPEST
    first, slope = first[gentle], slope[gentle]
    if not len(first):
        return float(np.median(ends)), 0.0
    offset = ends[first] - slope * at[first]
    away = np.abs(ends[None] - offset[:, None] - slope[:, None] * at[None])
    best = int((away < NEAR_PX).sum(1).argmax())
    return float(offset[best]), float(slope[best])


def _half_way(dark: np.ndarray, at: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """(shift of the line at its middle, change of its slope): where `dark` falls to half between tissue and glass.

    The rows are averaged in six groups, so that glands that open at the cut do not count as edges of their own.
    """
    from scipy.ndimage import map_coordinates

    steps = np.arange(-_REACH_PX, _REACH_PX + 0.01, 0.25)
    groups = np.array_split(np.argsort(at), 6)
    found = []
    for group in groups:
        xs = ends[group][:, None] + steps
        profile = map_coordinates(dark, [np.broadcast_to(at[group][:, None] - 0.5, xs.shape), xs - 0.5], order=1, mode="nearest").mean(0)
        inside, outside = profile[:8].mean(), profile[-8:].mean()
        below = np.flatnonzero(profile < (inside + outside) / 2)
        if inside > outside and below.size and below[0] > 0:
            i = below[0]
            share = (profile[i - 1] - (inside + outside) / 2) / (profile[i - 1] - profile[i])
            found.append((float(at[group].mean()), float(steps[i - 1] + share * 0.25)))
    if len(found) < 3:
        return 0.0, 0.0
    middle = at.mean()
    place, shift = np.array(found).T
    kept = np.abs(shift - np.median(shift)) < 1.5
    if kept.sum() < 3:
        return float(np.median(shift)), 0.0
    tilt, level = np.polyfit(place[kept] - middle, shift[kept], 1)
    return float(level), float(tilt)


def shift_along(first: np.ndarray, second: np.ndarray, most: int) -> tuple[float, float]:
    """(shift, correlation): `second`[i + shift] continues `first`[i] best. Both (n, channels), same length, NaN where no tissue.

    Structures wider than 30 samples are taken off first; shifts up to `most` samples are tried.
    """
    from scipy.ndimage import gaussian_filter1d

    usable = ~(np.isnan(first).any(1) | np.isnan(second).any(1))
    if usable.sum() < 8 * most:
        return 0.0, 0.0
    sharp = []
    for values in (first, second):
        filled = np.where(usable[:, None], values, np.nanmean(values[usable], axis=0))
        sharp.append((filled - gaussian_filter1d(filled, 15, axis=0)) * usable[:, None])
    n = len(first)
    scores = []
    for shift in range(-most, most + 1):
        a, b = sharp[0][max(0, -shift) : n - max(0, shift)], sharp[1][max(0, shift) : n - max(0, -shift)]
        scores.append(float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum() + 1e-9)))
    best = int(np.argmax(scores))
    if best in (0, 2 * most):
        return 0.0, 0.0
    low, top, high = scores[best - 1 : best + 2]
    return best - most + 0.5 * (low - high) / (low - 2 * top + high), top
