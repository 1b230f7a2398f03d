"""A slide laid on MRI by the features of a trained network: mutual nearest neighbours, a robust affine through them, and again.

The view that has most neighbours on one affine wins (training.matching_views). A patch is some 5 mm wide; so in the end each patch of
the MRI is compared with the slide's at quarters of a patch around where it lies, and the affine fitted through the most alike.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np

from . import affine_warps, matching_views, slide_data
from .matching_methods import Found, Method
from .registration_test_set import Case
from .slide_sources import FIELD_MM

SIDE = 256
"""Pixels a side that the network is shown, of the field of FIELD_MM, if not said otherwise."""
PATCH = 16
SCALE = (0.6, 1.7)
"""Affines that stretch or shrink more than this in any direction are not believed."""
FEW = 12
"""With fewer neighbours on the affine than this, a result is flagged; an affine through any three points has three."""
QUARTERS, FINE_ROUNDS = 4, 2


def neighbours(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (k,), (k,) of a (n, d) and b (m, d), of length 1 each, that are each other's nearest."""
    alike = a @ b.T
    forth, back = alike.argmax(1), alike.argmax(0)
    mutual = np.flatnonzero(back[forth] == np.arange(len(a)))
    return mutual, forth[mutual]


def robust(points: np.ndarray, moved: np.ndarray, tolerance_mm: float) -> tuple[np.ndarray, int]:
    """(affine (2, 3), neighbours on it) by RANSAC, then least squares; the identity and 0 where there is none to be believed."""
    nothing = affine_warps.IDENTITY, 0
    if len(points) < 4:
        return nothing
    cv2.setRNGSeed(1)
    affine, on = cv2.estimateAffine2D(points, moved, method=cv2.RANSAC, ransacReprojThreshold=tolerance_mm, maxIters=2000)
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
        made = matching.directions(module.dense(slide_data.as_network(picture, picture.shape[0])[None], kind))
    return made[0].flatten(1).T.numpy()


class Pair:
    """MRI and slide of a case as the network sees them, `side` pixels a side: affines in mm, MRI → slide."""

    def __init__(self, module: Any, case: Case, side: int) -> None:
        self.module, self.slide, self.side = module, case.slide, side
        self.patch_mm = PATCH * FIELD_MM / side
        self.places = affine_warps.positions_mm((side // PATCH,) * 2, self.patch_mm).reshape(-1, 2)
        self.fixed = features(module, matching_views.shown_mri(case, side), "mri")

    def _moving(self, view: np.ndarray) -> np.ndarray:
        return features(self.module, matching_views.shown(self.slide, view, self.side), "slide")

    def matched(self, view: np.ndarray) -> tuple[np.ndarray, int]:
        """(affine, neighbours on it), from the slide shown by `view`."""
        here, there = neighbours(self.fixed, self._moving(view))
        affine, count = robust(self.places[here], self.places[there], self.patch_mm)
        return affine_warps.composed(view, affine), count

    def finer(self, view: np.ndarray) -> np.ndarray:
        """The affine through the most alike places at most a patch from where `view` has them; `view` where none is to be believed."""
        steps = (np.arange(QUARTERS) - (QUARTERS - 1) / 2) * self.patch_mm / QUARTERS
        shifts = [np.array(shift) for shift in itertools.product(steps, steps)]
        shifted = [affine_warps.composed(view, np.column_stack([np.eye(2), shift])) for shift in shifts]
        moving = np.concatenate([self._moving(one) for one in shifted])
        there = np.concatenate([self.places + shift for shift in shifts])
        inside = matching_views.tissue_at(self.slide, view, self.places)
        apart = np.linalg.norm(self.places[inside, None] - there[None], axis=-1)
        nearest = np.where(apart <= self.patch_mm, self.fixed[inside] @ moving.T, -1).argmax(1)
        affine, count = robust(self.places[inside], there[nearest], self.patch_mm / 2)
        return affine_warps.composed(view, affine) if count >= FEW else view


def by_neighbours(module: Any, side: int = SIDE) -> Method:
    """module: a networks.SlideMatcher. side: of the pictures that it learned from."""

    def find(case: Case) -> Found:
        pair = Pair(module, case, side)
        affine, count = matching_views.best(pair.matched)
        for _ in range(FINE_ROUNDS):
            affine = pair.finer(affine)
        return Found(affine, flagged=count < FEW)

    return find
