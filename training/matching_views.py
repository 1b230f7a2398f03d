"""A slide shown to a network in 24 ways, turned by every 30 degrees and mirrored or not: what networks learned of is less than a turn.

The way that a method scores highest wins, the slide is warped by what was found, shown again, and matched again: what is left is small
then.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from MedSRLib import registration_features

from . import affine_warps, slide_data, volumes
from .registration_test_set import Case
from .slide_sources import FIELD_MM, GLASS, Picture

ROUNDS = 3

Matched = Callable[[np.ndarray], tuple[np.ndarray, float]]
"""(2, 3) affine in mm, view → slide, that the slide is shown by → (a better one, its score)."""


def best(matched: Matched) -> tuple[np.ndarray, float]:
    """(affine, score) of the view that scores highest, matched again from there as long as that does not score less."""
    affine, score = max((matched(view) for view in registration_features.views(np.zeros(2))), key=lambda one: one[1])
    for _ in range(ROUNDS - 1):
        closer, again = matched(affine)
        if again < score:
            break
        affine, score = closer, again
    return affine, score


def shown(slide: Picture, affine: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) float32, 0 to 1: the slide where `affine` takes the places of a field of FIELD_MM."""
    pixel_mm, reduction = FIELD_MM / side, slide.pixel_mm * side / FIELD_MM
    # Averaged to the size of the pixels that are read, or fine tissue would alias.
    reduced = cv2.resize(slide.rgb, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    step = slide.rgb.shape[1] * slide.pixel_mm / reduced.shape[1]
    places = affine_warps.applied(affine, affine_warps.positions_mm((side, side), pixel_mm))
    return slide_data.read(reduced, places, step, (GLASS,) * 3) / np.float32(255)


def tissue_at(slide: Picture, affine: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(…,) bool: whether `affine` takes places (…, 2), in mm, into the slide's tissue."""
    flat = affine_warps.applied(affine, places.reshape(1, -1, 2))
    return (slide_data.read(slide.tissue, flat, slide.pixel_mm) > 0.5).reshape(places.shape[:-1])


def shown_mri(case: Case, side: int) -> np.ndarray:
    """(side, side) float32: the MRI on the same field; FIELD_MM or a little less is what it shows."""
    image = volumes.normalised(case.fixed.astype(np.float32))
    return slide_data.read(image, affine_warps.positions_mm((side, side), FIELD_MM / side), case.fixed_mm)
