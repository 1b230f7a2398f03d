"""Which grey values are drawn as black and white at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PERCENTILES = (0.5, 99.8)
"""Robust against a few bright vessels."""
SAMPLE_VOXELS = 2_000_000
"""Enough for percentiles; a whole CT would hold the page up for seconds."""


@dataclass(frozen=True)
class Window:
    """lowest, highest: of the image, and of the window where it goes beyond. low, high: what is black and what is white.

    All in input units, highest > lowest.
    """

    lowest: float
    highest: float
    low: float
    high: float


def window_of(array: np.ndarray, asked: tuple[float, float] | None = None) -> Window:
    """The window for an image of any real type; voxels that are not finite are left out.

    asked: (black, white) of the file itself; taken where it shows some of the image's grey values apart.
    """
    window = _automatic(array)
    if asked is None or not asked[0] < asked[1] or asked[1] <= window.lowest or asked[0] >= window.highest:
        return window
    return Window(min(window.lowest, asked[0]), max(window.highest, asked[1]), *asked)


def _automatic(array: np.ndarray) -> Window:
    values = array.reshape(-1)[:: max(1, array.size // SAMPLE_VOXELS)]
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if values.size == 0:
        return Window(0.0, 1.0, 0.0, 1.0)
    lowest, highest = float(values.min()), float(values.max())
    if highest <= lowest:
        return Window(lowest, lowest + 1.0, lowest, lowest + 1.0)
    low, high = (float(v) for v in np.percentile(values, PERCENTILES))
    return Window(lowest, highest, low, high) if high > low else Window(lowest, highest, lowest, highest)
