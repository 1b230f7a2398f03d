"""Pixels of a pyramid level to the pixels of a picture: which are read, and with what weights, along each axis."""

from __future__ import annotations

import numpy as np

from ..geometry_plane import area_weights

_THIN = 1e-3
"""Level pixels: what a picture's pixel still covers where the level ended before it."""


class Axis:
    """One direction of a block: which level pixels it reads (start, count), their weights, the share of each pixel inside.

    edges: (n + 1,) borders of the picture's pixels, level-0 pixels. step, length: the level's pixel size and number of pixels.
    full: the slide's length, level-0 pixels. A level that drops the last, incomplete pixel is carried on by the one before it.
    """

    def __init__(self, edges: np.ndarray, step: float, length: int, full: int) -> None:
        scaled = edges / step
        self.start = int(np.clip(np.floor(scaled[0]), 0, length - 1))
        stop = int(np.clip(np.ceil(scaled[-1]), self.start + 1, length))
        self.count = stop - self.start
        self.inside = (np.diff(np.clip(edges, 0, full)) / np.diff(edges)).astype(np.float32)
        low = np.clip(scaled[:-1], self.start, stop - _THIN)
        high = np.maximum(np.clip(scaled[1:], self.start, stop), low + _THIN / 2)
        self.weights = area_weights(low, high, self.start, stop)

    @property
    def is_inside(self) -> bool:
        """Whether every pixel lies wholly on the slide."""
        return bool((self.inside > 1 - 1e-6).all())


def weighted(pixels: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    """(h, w, 3) float32: the area means of (H, W, 3)."""
    height, width, channels = pixels.shape
    rows = down.weights @ pixels.reshape(height, -1).astype(np.float32)
    turned = rows.reshape(-1, width, channels).transpose(1, 0, 2).reshape(width, -1)
    return (across.weights @ turned).reshape(across.weights.shape[0], -1, channels).transpose(1, 0, 2)
