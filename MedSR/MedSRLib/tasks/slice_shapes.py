"""Labels between slices, by shape: signed distances of each label are mixed, and the deepest label wins."""

from __future__ import annotations

import numpy as np

from ..geometry import bracket
from ..run import Progress


def interpolate_labels(
    labels: np.ndarray,
    positions_mm: np.ndarray,
    targets_mm: np.ndarray,
    pixel_mm: tuple[float, float],
    progress: Progress = Progress(),
) -> np.ndarray:
    """Shape-based interpolation of a label stack (Raya and Udupa, IEEE TMI 1990), all labels at once.

    labels: (n, h, w) integers, 0 is background. pixel_mm: (row, column) spacing. Returns (m, h, w) of the same type. A
    label that ends between two slices shrinks to its core half-way. Background is only where every label is left and the
    background lies deeper: labels that touch leave no gap.
    """
    below, alpha = bracket(np.asarray(positions_mm, float), np.asarray(targets_mm, float))
    out = np.empty((len(below), *labels.shape[1:]), labels.dtype)
    pairs = np.unique(below)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), "carrying labels along")
        a, b = labels[pair], labels[min(pair + 1, len(labels) - 1)]
        rows = np.flatnonzero(below == pair)
        deepest = np.full((len(rows), *a.shape), -np.inf, np.float32)
        for label in sorted(np.union1d(np.unique(a), np.unique(b)), key=lambda value: value == 0):
            inside_a, inside_b = _depths(a == label, b == label, pixel_mm)
            for at, row in enumerate(rows):
                mixed = (1 - alpha[row]) * inside_a + alpha[row] * inside_b
                wins = (mixed > deepest[at]) & ((label != 0) | (deepest[at] < 0))
                deepest[at][wins] = mixed[wins]
                out[row][wins] = label
    progress(1.0)
    return out


def _depths(a: np.ndarray, b: np.ndarray, pixel_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance in mm to the border of a label in both slices, positive inside; where it is absent, minus its depth in the other."""
    if not a.any():
        depth = _signed_distance(b, pixel_mm)
        return np.full_like(depth, -depth.max()), depth
    if not b.any():
        depth = _signed_distance(a, pixel_mm)
        return depth, np.full_like(depth, -depth.max())
    return _signed_distance(a, pixel_mm), _signed_distance(b, pixel_mm)


def _signed_distance(mask: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    if mask.all():
        return np.full(mask.shape, float(np.hypot(mask.shape[0] * pixel_mm[0], mask.shape[1] * pixel_mm[1])), np.float32)
    inside = distance_transform_edt(mask, sampling=pixel_mm)
    outside = distance_transform_edt(~mask, sampling=pixel_mm)
    return (inside - outside).astype(np.float32)
