"""Do bright lesions survive? Their contrast in a generated slice, as a share of what it is in the acquired one.

The rule, applied to the acquired slice that was left out, before any generated one is looked at:
- head: largest region above Otsu's threshold, holes filled; deep: the head without its outer DEEP_MM (skull and scalp);
- lesion: a connected region of `deep` brighter than the median of its tissue by more than BRIGHT robust standard deviations,
  of LEAST_MM2 to MOST_MM2, not touching the rim of `deep`. No reader drew these: choroid plexus may be among them.
- contrast: mean of the region minus the mean of a ring RING_MM wide around it, one pixel away, without other bright pixels.
"""

from __future__ import annotations

import numpy as np

DEEP_MM, BRIGHT, LEAST_MM2, MOST_MM2, RING_MM = 18.0, 3.0, 6.0, 600.0, 3.0
LEAST_DEEP_MM2 = 1500.0
"""A slice with less of the brain than this is passed over: the vertex, the neck."""
NORMAL = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""


def regions(truth: np.ndarray, pixel_mm: tuple[float, float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(lesion, ring) boolean masks of one acquired slice (h, w), pixel_mm in row, column order."""
    from scipy import ndimage

    deep = _deep(truth, pixel_mm)
    area = float(np.prod(pixel_mm))
    if deep.sum() * area < LEAST_DEEP_MM2:
        return []
    middle = np.median(truth[deep])
    spread = NORMAL * np.median(np.abs(truth[deep] - middle))
    bright = deep & (truth > middle + BRIGHT * spread)
    labels, count = ndimage.label(bright)
    rim = deep & ~ndimage.binary_erosion(deep)
    found = []
    for number in range(1, count + 1):
        lesion = labels == number
        if not LEAST_MM2 <= lesion.sum() * area <= MOST_MM2 or np.any(lesion & rim):
            continue
        away = ndimage.distance_transform_edt(~lesion, sampling=pixel_mm)
        ring = (away > 1.5 * max(pixel_mm)) & (away <= RING_MM + 1.5 * max(pixel_mm)) & ~bright
        if ring.any():
            found.append((lesion, ring))
    return found


def _deep(truth: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    from scipy import ndimage

    labels, count = ndimage.label(truth > otsu(truth))
    if not count:
        return np.zeros(truth.shape, bool)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, count + 1))
    head = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes)))
    return ndimage.distance_transform_edt(np.pad(head, 1), sampling=pixel_mm)[1:-1, 1:-1] > DEEP_MM


def otsu(image: np.ndarray) -> float:
    """Otsu 1979: the threshold of the largest variance between both sides."""
    counts, edges = np.histogram(image, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(float)
    above, sums = below[-1] - below, np.cumsum(counts * centres)
    between = (sums * below[-1] - below * sums[-1]) ** 2 / np.maximum(below * above, 1)
    return float(centres[np.argmax(between)])


def contrast(image: np.ndarray, lesion: np.ndarray, ring: np.ndarray) -> float:
    """Mean of the lesion above the mean of its ring, in the image's units."""
    return float(image[lesion].mean() - image[ring].mean())


def shares(truth: np.ndarray, made: dict[str, np.ndarray], pixel_mm: tuple[float, float]) -> list[dict[str, float]]:
    """A row a lesion of one slice: its area in mm², its acquired contrast, and the share of it that each method kept."""
    rows = []
    for lesion, ring in regions(truth, pixel_mm):
        acquired = contrast(truth, lesion, ring)
        kept = {name: contrast(image, lesion, ring) / acquired for name, image in made.items()}
        rows.append({"area_mm2": float(lesion.sum() * np.prod(pixel_mm)), "contrast": acquired} | kept)
    return rows
