"""Grids on a slide: which physical box a picture covers, and the area weights that carry one pixel grid to another.

Convention, everywhere in MedSR: slide coordinates are (x, y) in pixels of the finest level, continuous, from the outer corner of
the first pixel. Pixel (i, j) covers [i, i + 1) x [j, j + 1), its centre is (i + 0.5, j + 0.5); so do QuPath and ImageScope count.
A pixel's value is the mean over the area that it covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import OptionError


@dataclass(frozen=True)
class Window:
    """The grid of a picture of a part of a slide.

    box: (x0, y0, x1, y1) in level-0 pixels; it is kept exactly. shape: (rows, columns) into which it is cut.
    Raises OptionError where nothing lies between the sides.
    """

    box: tuple[float, float, float, float]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (np.isfinite(self.box).all() and x1 > x0 and y1 > y0 and min(self.shape) > 0):
            raise OptionError(f"the region {tuple(float(f'{v:g}') for v in self.box)} is empty", fix="give x0 < x1 and y0 < y1")

    @property
    def step(self) -> tuple[float, float]:
        """(x, y) size of a pixel of the picture, in level-0 pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) / self.shape[1], (y1 - y0) / self.shape[0]

    @property
    def matrix(self) -> np.ndarray:
        """3x3: continuous picture coordinates (x, y, 1), corners counted as on the slide, to level-0 pixels."""
        (sx, sy), (x0, y0) = self.step, self.box[:2]
        return np.array([[sx, 0, x0], [0, sy, y0], [0, 0, 1.0]])

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) level-0 points to continuous picture coordinates."""
        return (np.asarray(points, float) - self.box[:2]) / self.step

    def to_slide(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) continuous picture coordinates to level-0 points."""
        return np.asarray(points, float) * self.step + self.box[:2]

    def rows(self, start: int, stop: int) -> Window:
        """The part of this grid from row `start` to before row `stop`."""
        x0, y0, x1, _ = self.box
        return Window((x0, y0 + start * self.step[1], x1, y0 + stop * self.step[1]), (stop - start, self.shape[1]))


def window(box: tuple[float, float, float, float], step: tuple[float, float]) -> Window:
    """`box` cut into pixels as near to `step` (level-0 pixels, x and y) as whole numbers allow."""
    x0, y0, x1, y1 = box
    if not (np.isfinite(step).all() and min(step) > 0):
        raise OptionError(f"a pixel size of {step[0]:g} x {step[1]:g} level-0 pixels is not positive")
    count = [max(1, int(np.floor(length / s + 0.5))) if length > 0 else 0 for length, s in ((x1 - x0, step[0]), (y1 - y0, step[1]))]
    return Window(box, (count[1], count[0]))


def area_weights(low: np.ndarray, high: np.ndarray, start: int, stop: int) -> Any:
    """Sparse (n, stop - start): what share of target pixel [low[i], high[i]] each source pixel of [start, stop) covers.

    low, high: (n,) in source pixels, within [start, stop]. Each row sums to one.
    """
    from scipy.sparse import csr_matrix

    first = np.clip(np.floor(low).astype(int), start, stop)
    count = np.maximum(np.clip(np.ceil(high).astype(int), start, stop) - first, 0)
    rows = np.repeat(np.arange(len(low)), count)
    source = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
    covered = np.minimum(high[rows], source + 1) - np.maximum(low[rows], source)
    share = (covered / (high - low)[rows]).astype(np.float32)
    return csr_matrix((share, (rows, source - start)), shape=(len(low), stop - start))
