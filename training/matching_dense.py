"""A slide laid on MRI by the features of a trained network: mutual nearest neighbours, a robust affine through them, and again.

The features of a vision transformer change when a picture is turned. So the slide is shown in 24 ways, turned by every 30 degrees and
mirrored or not; the one that has most neighbours on one affine wins, is warped by it, and matched again: what is left is small then.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from . import affine_warps, slide_data, volumes
from .matching_methods import Found, Method
from .registration_test_set import Case
from .slide_sources import FIELD_MM, GLASS

TURN_DEGREES, ROUNDS = 30, 3
SIDE = 256
"""Pixels a side that the network is shown, of the field of FIELD_MM."""
PATCH_MM = 16 * FIELD_MM / SIDE
TOLERANCE_MM = PATCH_MM
"""A neighbour this far from the affine still counts."""
SCALE = (0.6, 1.7)
"""Affines that stretch or shrink more than this in any direction are not believed."""
FEW = 12
"""With fewer neighbours on the affine than this, a result is flagged; an affine through any three points has three."""


def views() -> list[np.ndarray]:
    """(2, 3) affines in mm, turned picture → slide, about the middle."""
    draws = [affine_warps.Parameters(flip, angle, (0.0, 0.0), 0.0, 1.0) for flip in (False, True) for angle in range(0, 360, TURN_DEGREES)]
    return [one.affine() for one in draws]


def shown(rgb: np.ndarray, pixel_mm: float, affine: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, 3) float32, 0 to 1: the slide where `affine` takes the places of a field of FIELD_MM."""
    places = affine_warps.applied(affine, affine_warps.positions_mm((SIDE, SIDE), FIELD_MM / SIDE))
    # Averaged to the size of the pixels that are read, or fine tissue would alias.
    reduced = cv2.resize(rgb, None, fx=pixel_mm * SIDE / FIELD_MM, fy=pixel_mm * SIDE / FIELD_MM, interpolation=cv2.INTER_AREA)
    step = rgb.shape[1] * pixel_mm / reduced.shape[1]
    return slide_data.read(reduced, places, step, (GLASS,) * 3) / np.float32(255)


def neighbours(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (k,), (k,) of a (n, d) and b (m, d), of length 1 each, that are each other's nearest."""
    alike = a @ b.T
    forth, back = alike.argmax(1), alike.argmax(0)
    mutual = np.flatnonzero(back[forth] == np.arange(len(a)))
    return mutual, forth[mutual]


def robust(points: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, int]:
    """(affine (2, 3), neighbours on it) by RANSAC, then least squares; the identity and 0 where there is none to be believed."""
    nothing = affine_warps.IDENTITY, 0
    if len(points) < 4:
        return nothing
    cv2.setRNGSeed(1)
    affine, on = cv2.estimateAffine2D(points, moved, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE_MM, maxIters=2000)
    if affine is None:
        return nothing
    scales = np.linalg.svd(affine[:, :2], compute_uv=False)
    believed = SCALE[0] <= scales.min() and scales.max() <= SCALE[1]
    return (affine, int(on.sum())) if believed else nothing


def features(module: Any, picture: np.ndarray, kind: str) -> np.ndarray:
    """(places, d), row by row, of length 1, the mean over the picture taken away (networks/matching.py says why)."""
    import torch
    from MedSRLib.networks import matching

    with torch.inference_mode():
        made = matching.directions(module.dense(slide_data.as_network(picture, SIDE)[None], kind))
    return made[0].flatten(1).T.numpy()


def by_neighbours(module: Any) -> Method:
    """module: a networks.SlideMatcher."""

    def find(case: Case) -> Found:
        fixed = shown_mri(case)
        fixed_features = features(module, fixed, "mri")
        places = affine_warps.positions_mm((SIDE // 16,) * 2, PATCH_MM).reshape(-1, 2)

        def matched(view: np.ndarray) -> tuple[np.ndarray, int]:
            moving = features(module, shown(case.slide.rgb, case.slide.pixel_mm, view), "slide")
            here, there = neighbours(fixed_features, moving)
            affine, count = robust(places[here], places[there])
            return affine_warps.composed(view, affine), count

        affine, count = max((matched(view) for view in views()), key=lambda one: one[1])
        for _ in range(ROUNDS - 1):
            closer, again = matched(affine)
            if again < count:
                break
            affine, count = closer, again
        return Found(affine, flagged=count < FEW)

    return find


def shown_mri(case: Case) -> np.ndarray:
    """(SIDE, SIDE) float32: the MRI on the same field; FIELD_MM or a little less is what it shows."""
    image = volumes.normalised(case.fixed.astype(np.float32))
    places = affine_warps.positions_mm((SIDE, SIDE), FIELD_MM / SIDE)
    return slide_data.read(image, places, case.fixed_mm)
