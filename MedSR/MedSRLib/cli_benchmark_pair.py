"""A slide and its MRI, made up for a benchmark: tissue-like texture, a pyramid of any size on disk, the affine between them known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .volume import Volume

COARSE, SIDE_MM = 625, 40.0
"""Pixels and mm on a side of the picture that the slide is enlarged from; nothing smaller shows on MRI."""
MRI_PIXELS, MRI_MM, SLICE_MM = 160, 0.4, 3.0
ANGLE_DEG, SCALE, SHIFT_MM = 20.0, 0.93, (1.5, -2.0)
"""How the slide lies on the MRI: turned clockwise and scaled about its middle, which lies so far from the slice's."""
STARTS_DEG, STARTS_MM = 4.0, (1.5, -1.0)
"""What the common start is off by."""
CELLS = 256
"""Pixels on a side of the fine texture, which repeats."""


@cache
def stained() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(haematoxylin against eosin (COARSE, COARSE) of 0 to 1, lumen bool, tissue bool); seeded."""
    from scipy.ndimage import gaussian_filter

    random, mm = np.random.default_rng(0), SIDE_MM / COARSE
    fields = []
    for sigma in (0.3, 0.8, 2.0, 0.35, 2.0):
        field = gaussian_filter(random.standard_normal((COARSE, COARSE)), sigma / mm)
        fields.append(field / field.std())
    y, x = (np.mgrid[:COARSE, :COARSE] + 0.5) * mm - SIDE_MM / 2
    tissue = np.hypot(x / 16, y / 13) + 0.04 * fields[4] < 1
    share = 1 / (1 + np.exp(-(fields[0] + fields[1] + fields[2])))
    return share, tissue & (fields[3] > 1.6), tissue


def coarse_picture() -> np.ndarray:
    """(COARSE, COARSE, 3) uint8: the slide, stained by optical density, on glass of 244."""
    from .registration_stains import STAINS

    share, lumen, tissue = stained()
    amounts = np.stack([0.9 * share, 0.8 * (1 - share) + 0.1], -1) * (tissue & ~lumen)[..., None]
    return np.rint(244 * 10 ** -(amounts @ STAINS[:2])).astype(np.uint8)


def write_slide(path: Path, side: int) -> None:
    """The slide as a tiled JPEG pyramid of side × side pixels, SIDE_MM wide. side: a multiple of COARSE."""
    from .io.slide_write import write_pyramid

    mpp = SIDE_MM * 1000 / side
    write_pyramid(path, bands(side // COARSE), (side, side), (mpp, mpp), compression="jpeg")


def bands(factor: int) -> Iterator[np.ndarray]:
    """The coarse picture enlarged, some rows at a time, darkened by cells where there is tissue: (rows, COARSE · factor, 3) uint8."""
    from .registration_pictures import opencv

    cv2, picture, cells = opencv(), coarse_picture(), _cells()
    share, lumen, tissue = stained()
    inside = (tissue & ~lumen).astype(np.uint8)
    wide, step = COARSE * factor, max(1, CELLS // factor)
    for first in range(0, COARSE, step):
        low, high = max(first - 1, 0), min(first + step + 1, COARSE)
        size = wide, (high - low) * factor
        kept = slice((first - low) * factor, (first - low + min(step, COARSE - first)) * factor)
        band = cv2.resize(picture[low:high], size, interpolation=cv2.INTER_LINEAR)[kept].copy()
        where = cv2.resize(inside[low:high], size, interpolation=cv2.INTER_NEAREST)[kept]
        texture = np.tile(cells, (-(-len(band) // CELLS), -(-wide // CELLS), 1))[: len(band), :wide]
        cv2.copyTo(cv2.multiply(band, texture, scale=1 / 255), where, band)
        yield band


def _cells() -> np.ndarray:
    """(CELLS, CELLS, 3) uint8: what is left of the light between nuclei of about ten pixels, without a seam."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(1).standard_normal((CELLS, CELLS)), 3, mode="wrap")
    return np.repeat(np.where(noise > noise.std(), 190, 250).astype(np.uint8)[..., None], 3, axis=2)


def truth(angle_deg: float = 0.0, shift_mm: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """3×3, slide mm to plane mm (geometry_slice.py). angle_deg, shift_mm: how far off the truth, about the slide's middle."""
    angle, middle = np.radians(ANGLE_DEG + angle_deg), (MRI_PIXELS - 1) / 2 * MRI_MM
    found = np.eye(3)
    found[:2, :2] = SCALE * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found[:2, 2] = np.add(SHIFT_MM, shift_mm) + middle - found[:2, :2] @ (SIDE_MM / 2, SIDE_MM / 2)
    return found


def start() -> np.ndarray:
    """3×3 as `truth`, from where two methods begin alike."""
    return truth(STARTS_DEG, STARTS_MM)


def mri() -> Volume:
    """One slice (1, MRI_PIXELS, MRI_PIXELS) float32: dark stroma, bright glands, dark nuclei, bright lumen; coil's field, Rician noise."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    from .volume import Volume

    random, mm = np.random.default_rng(2), SIDE_MM / COARSE
    share, lumen, tissue = stained()
    values = np.where(lumen, 1.0, np.interp(share, (0.1, 0.5, 0.9), (0.3, 0.7, 0.2)))
    around = gaussian_filter(random.standard_normal((MRI_PIXELS, MRI_PIXELS)), 5)
    pixels = np.stack(np.meshgrid(*[np.arange(MRI_PIXELS) * MRI_MM] * 2), -1)
    places = ((pixels - truth()[:2, 2]) @ np.linalg.inv(truth()[:2, :2]).T / mm - 0.5).transpose(2, 0, 1)[::-1]
    cover, shown = (map_coordinates(gaussian_filter(a * tissue, 0.17 / mm), places, order=1) for a in (1.0, values))
    image = shown + (1 - cover) * np.abs(0.45 + 0.15 * around / around.std())
    image *= 1 + 0.2 * np.linspace(-1, 1, MRI_PIXELS)
    noisy = np.hypot(*(image[None] * [[[1]], [[0]]] + random.normal(0, 0.04, (2, *image.shape))))
    return Volume(700 * noisy.astype(np.float32)[None], (MRI_MM, MRI_MM, SLICE_MM), meta={"name": "MRI made up", "modality": "MR"})


def error_mm(in_plane: np.ndarray) -> float:
    """Mean distance over the tissue between where a 3×3 (as `truth`) lays it and where it lies."""
    at = (np.argwhere(stained()[2])[::7, ::-1] + 0.5) * SIDE_MM / COARSE
    off = in_plane - truth()
    return float(np.linalg.norm(at @ off[:2, :2].T + off[:2, 2], axis=1).mean())
