"""A slide laid on MRI by the affine that a trained network gives, of the view whose features then agree best."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import affine_warps, matching_losses, matching_views, slide_data
from .feature_matching import at_places, patch_places
from .matching_methods import Found, Method
from .registration_test_set import Case
from .slide_sources import FIELD_MM

FEW = 12
"""Patches of tissue that both pictures must show for an affine to be believed at all."""


def by_regression(module: Any, side: int) -> Method:
    """module: a network of networks.MATCHER_NAMES. side: pixels a side, as it learned from."""
    field = FIELD_MM, FIELD_MM

    def find(case: Case) -> Found:
        fixed = slide_data.as_network(matching_views.shown_mri(case, side), side)[None]

        def matched(view: np.ndarray) -> tuple[np.ndarray, float]:
            moving = slide_data.as_network(matching_views.shown(case.slide, view, side), side)[None]
            theta, alike, places = agreement(module, fixed, moving)
            affine = affine_warps.composed(view, affine_warps.from_theta(theta, field, field))
            inside = matching_views.tissue_at(case.slide, affine, places * FIELD_MM / 2)
            return affine, float(alike[inside].mean()) if inside.sum() >= FEW else -1.0

        return Found(matching_views.best(matched)[0])

    return find


def agreement(module: Any, fixed: Any, moving: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(θ (2, 3), cosine (p,) of the features of each fixed patch with those where θ takes it, patches' places (p, 2) in halves)."""
    import torch
    from MedSRLib.networks import matching
    from torch.nn import functional as F

    with torch.inference_mode():
        theta = module(fixed, moving)
        here, there = (matching.directions(module.dense(*given)) for given in ((fixed, "mri"), (moving, "slide")))
        places = patch_places(here.shape[-1])
        found = F.normalize(at_places(there, matching_losses.carried(theta, places)), dim=-1)
        alike = (here.flatten(2).transpose(1, 2) * found).sum(-1)
    return theta[0].double().numpy(), alike[0].numpy(), places.double().numpy()
