"""Pseudo-MRI made of a real H&E picture: what a T2-like slice of the same tissue might look like, with known truth.

Every number is one of `Recipe`. In order: tissue classes of the stains (Ruifrok and Johnston 2001) get T2-like values that do
not follow the picture's brightness (lumen bright, stroma dark, glandular tissue bright, dense nuclei dark); the tissue is
warped smoothly and by the affine; part of it goes missing; other tissue surrounds it; the field of the coil is uneven; noise is
Rician. Pixels are area means over `supersampling`² samples. Nothing is clamped.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from . import affine_warps
from .slide_sources import FIELD_MM, Picture

KNOTS = (0.1, 0.5, 0.9)
"""Ranks of haematoxylin against eosin at which stroma, glandular tissue and dense nuclei have their level."""


@dataclass(frozen=True)
class Recipe:
    """Ranges are uniform. Levels are shares of the brightest lumen, each times 1 ± level_jitter; missing: share of the tissue's area;
    bias: half the range of the coil's field, quadratic in x and y; noise: standard deviation of both channels, on the same scale."""

    pixel_mm: float = 0.4
    supersampling: int = 4
    stroma: float = 0.30
    glandular: float = 0.70
    nuclei: float = 0.18
    lumen: float = 1.00
    level_jitter: float = 0.15
    warp_mm: float = 0.6
    missing: tuple[float, float] = (0.10, 0.20)
    surrounding: float = 0.45
    surrounding_spread: float = 0.15
    surrounding_mm: tuple[float, float] = (1.5, 6.0)
    bias: float = 0.25
    noise: tuple[float, float] = (0.03, 0.06)


@dataclass(frozen=True)
class PseudoMri:
    """image: (h, w) float32, tissue about 0.2 to 1. positions: (h, w, 2) mm, where its pixels lie in the slide.
    tissue: (h, w) bool, what is missing included. present: without it. affine: (2, 3) fixed → moving in mm, the one that fits the
    whole map, warp included, best over the tissue. warp_mm: RMS of what is left.
    """

    image: np.ndarray
    positions: np.ndarray
    tissue: np.ndarray
    present: np.ndarray
    affine: np.ndarray
    warp_mm: float


def values(rank: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """(h, w) float32: the value of each pixel's class, levels jittered once for the whole picture; 0 outside the tissue."""
    stroma, glandular, nuclei, lumen = np.array([recipe.stroma, recipe.glandular, recipe.nuclei, recipe.lumen]) * (
        1 + rng.uniform(-recipe.level_jitter, recipe.level_jitter, 4)
    )
    made = np.where(rank > 1, lumen, np.interp(rank, KNOTS, (stroma, glandular, nuclei)))
    return np.where(rank < 0, 0, made).astype(np.float32)


def random_field(size: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """(h, w): noise smoothed by a Gaussian of sigma pixels, mean 0, standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(size), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def missing_part(tissue: np.ndarray, share: float, pixel_mm: float, rng: np.random.Generator) -> np.ndarray:
    """(h, w) bool: that share of the tissue's pixels, those nearest to one of them drawn at random, the border uneven (2 mm)."""
    places = np.argwhere(tissue)
    centre = places[rng.integers(len(places))]
    rows, columns = np.ogrid[: tissue.shape[0], : tissue.shape[1]]
    distance = np.hypot(rows - centre[0], columns - centre[1]) * pixel_mm + random_field(tissue.shape, 5 / pixel_mm, rng) * 2
    return tissue & (distance <= np.quantile(distance[tissue], share))


def bias_field(size: tuple[int, int], half_range: float, rng: np.random.Generator) -> np.ndarray:
    """(h, w): 1 − half_range to 1 + half_range, a random quadratic polynomial of x and y."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    field = sum(c * t for c, t in zip(rng.normal(size=5), (x, y, x * x, y * y, x * y), strict=True))
    return 1 + half_range * (2 * (field - field.min()) / np.ptp(field) - 1)


def rician(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of the image with normal noise of sigma in its real and imaginary part."""
    real, imaginary = rng.normal(0, sigma, (2, *image.shape))
    return np.hypot(image + real, imaginary)


def _mean(samples: np.ndarray, n: int) -> np.ndarray:
    """Area means over n × n samples."""
    h, w = (side // n for side in samples.shape)
    return samples.reshape(h, n, w, n).mean((1, 3))


def pseudo_mri(picture: Picture, affine: np.ndarray, rng: np.random.Generator, recipe: Recipe = Recipe()) -> PseudoMri:
    """picture: the slide. affine: (2, 3) mm, fixed → moving. → a slice of FIELD_MM at recipe.pixel_mm."""
    r, side = recipe, round(FIELD_MM / recipe.pixel_mm)
    warp = affine_warps.random_thin_plate(rng, FIELD_MM, r.warp_mm)
    places = affine_warps.applied(affine, warp.on_grid(side * r.supersampling))
    columns_rows = affine_warps.to_pixels(places, picture.tissue.shape, picture.pixel_mm).astype(np.float32)
    read = [cv2.remap(a, columns_rows, None, cv2.INTER_LINEAR)
            for a in (values(picture.rank, r, rng), picture.tissue.astype(np.float32))]  # fmt: skip
    inside, cover = (_mean(a, r.supersampling) for a in read)
    tissue = cover > 0.5
    gone = missing_part(tissue, rng.uniform(*r.missing), r.pixel_mm, rng)
    image = np.where(gone, 0, inside) + (1 - cover * ~gone) * surroundings((side, side), r, rng)
    image = rician(image * bias_field((side, side), r.bias, rng), rng.uniform(*r.noise), rng)
    positions = affine_warps.applied(affine, warp.on_grid(side))
    places, moved = affine_warps.positions_mm((side, side), r.pixel_mm)[tissue], positions[tissue]
    best = affine_warps.fitted(places, moved)
    left = np.square(affine_warps.applied(best, places) - moved).sum(1).mean() ** 0.5
    return PseudoMri(image.astype(np.float32), positions, tissue, tissue & ~gone, best, float(left))


def surroundings(size: tuple[int, int], recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """(h, w): what lies around the tissue and where it is missing, two random fields of different coarseness."""
    fields = [random_field(size, mm / recipe.pixel_mm, rng) for mm in recipe.surrounding_mm]
    return np.abs(recipe.surrounding + recipe.surrounding_spread * sum(fields) / np.sqrt(len(fields)))
