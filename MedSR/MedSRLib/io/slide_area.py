"""Pixels of a pyramid level to the pixels of a picture: which are read, and with what weights, along each axis."""

from __future__ import annotations

import numpy as np

from ..geometry_plane import area_weights


class Axis:
    """One direction of a block: which level pixels it reads (start, count), their weights, the share of each pixel inside."""

    def __init__(self, edges: np.ndarray, step: float, length: int, full: int) -> None:
        scaled = edges / step
        self.start = int(np.clip(np.floor(scaled[0]), 0, length))
        self.count = int(np.clip(np.ceil(scaled[-1]), 0, length)) - self.start
        inside = np.clip(edges, 0, full)
        self.inside = (np.diff(inside) / np.diff(edges)).astype(np.float32)
        # A level that drops the last, incomplete pixel is carried on to the slide's edge by the pixel before it.
        shown = np.minimum(np.clip(scaled, 0, None), max(length, 0))
        self.weights = area_weights(_widened(shown, length), self.start, self.start + self.count)


def _widened(edges: np.ndarray, length: int) -> np.ndarray:
    """Edges that keep increasing where the level ended before the picture: those pixels show the level's last one."""
    flat = np.flatnonzero(np.diff(edges) <= 0)
    if not flat.size:
        return edges
    edges = edges.copy()
    for i in flat[flat > 0]:
        edges[i + 1] = edges[i] + 1e-6
    return np.minimum(edges, length)


def weighted(pixels: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    """(h, w, 3) float32: the area means of (H, W, 3)."""
    height, width, channels = pixels.shape
    rows = down.weights @ pixels.reshape(height, -1).astype(np.float32)
    turned = rows.reshape(-1, width, channels).transpose(1, 0, 2).reshape(width, -1)
    return (across.weights @ turned).reshape(across.weights.shape[0], -1, channels).transpose(1, 0, 2)
