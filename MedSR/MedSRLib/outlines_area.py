"""Outlines to pixels: what share of each pixel lies inside, exactly."""

from __future__ import annotations

import numpy as np

from .geometry_plane import Window
from .outlines import Outline, Polygon


def coverage(outline: Outline, grid: Window) -> np.ndarray:
    """(h, w) float32 in [0, 1]: the share of each pixel's area that lies inside of the outline.

    Exact for rings that do not cross themselves; where one does, what it winds around at all is inside. Polygons of one
    outline that overlap within one pixel count together, up to one.
    """
    out = np.zeros(grid.shape, np.float32)
    for polygon in outline.polygons:
        _add_polygon(out, polygon, grid)
    return np.minimum(out, 1, out=out)


def mask(outline: Outline, grid: Window) -> np.ndarray:
    """(h, w) bool: pixels of which at least half lies inside."""
    return coverage(outline, grid) >= 0.5


def _add_polygon(out: np.ndarray, polygon: Polygon, grid: Window) -> None:
    ring = grid.to_picture(polygon.exterior)
    if len(ring) < 3:
        return
    x0, y0 = np.clip(np.floor(ring.min(0)).astype(int), 0, out.shape[::-1])
    x1, y1 = np.clip(np.ceil(ring.max(0)).astype(int), 0, out.shape[::-1])
    if x1 <= x0 or y1 <= y0:
        return
    shape, corner = (y1 - y0, x1 - x0), (x0, y0)
    inside = _ring_coverage(ring - corner, shape)
    for hole in polygon.holes:
        inside -= _ring_coverage(grid.to_picture(hole) - corner, shape)
    out[y0:y1, x0:x1] += np.maximum(inside, 0)


def _ring_coverage(ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) share of each pixel inside a closed ring in picture coordinates.

    Each piece of the ring between two pixel borders covers, in its row, everything to its right by its height; summed along the
    row with the signs of rising and falling pieces this is the exact area inside.
    """
    height, width = shape
    start, end = _pieces(ring, height, width)
    middle, rise = (start + end) / 2, end[:, 1] - start[:, 1]
    row = np.floor(middle[:, 1]).astype(int)
    kept = (row >= 0) & (row < height) & (middle[:, 0] < width) & (rise != 0)
    row, rise, x = row[kept], rise[kept], np.maximum(middle[kept, 0], 0)
    column = np.floor(x).astype(int)
    right = x - column
    index = row * (width + 1) + column
    size = height * (width + 1)
    cover = np.bincount(index, rise * (1 - right), size) + np.bincount(index + 1, rise * right, size + 1)[:size]
    return np.minimum(np.abs(np.cumsum(cover.reshape(height, width + 1), axis=1)[:, :width]), 1).astype(np.float32)


def _pieces(ring: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The ring's edges cut at every pixel border of the picture: (starts, ends), each (m, 2)."""
    start, end = ring, np.roll(ring, -1, axis=0)
    edges = np.arange(len(ring))
    parts = [(edges, np.zeros(len(ring))), (edges, np.ones(len(ring)))]
    for axis, limit in ((0, width), (1, height)):
        parts.append(_crossings(start[:, axis], end[:, axis], limit))
    edge = np.concatenate([part[0] for part in parts])
    along = np.concatenate([part[1] for part in parts])
    order = np.lexsort((along, edge))
    edge, along = edge[order], along[order]
    points = start[edge] + along[:, None] * (end - start)[edge]
    same = edge[1:] == edge[:-1]
    return points[:-1][same], points[1:][same]


def _crossings(start: np.ndarray, end: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """(edge, how far along it) of every whole number from 0 to `limit` strictly between the ends."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.clip(np.floor(low) + 1, 0, limit + 1).astype(int)
    count = np.maximum(np.clip(np.ceil(high), 0, limit + 1).astype(int) - first, 0)
    edge = np.repeat(np.arange(len(start)), count)
    line = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
    return edge, (line - start[edge]) / (end - start)[edge]
