"""Losses of slide-to-MRI registration, each by its equation. Positions as in networks/matching.py: halves of the picture."""

from __future__ import annotations

import torch
from MedSRLib.networks import matching
from torch import Tensor


def grid_places(side: int) -> Tensor:
    """(side², 2) places (x, y) of a regular grid from −1 to 1, row by row."""
    return matching.control_points(side)


def carried(theta: Tensor, places: Tensor) -> Tensor:
    """places (p, 2) → where θ (n, 2, 3) takes them, (n, p, 2)."""
    return places @ theta[:, :, :2].transpose(1, 2) + theta[:, None, :, 2]


def grid_distance(made: Tensor, true: Tensor) -> Tensor:
    """Mean squared distance of (n, p, 2) positions: 1 / (n p) Σ |made − true|²; Rocco et al. 2017, eq. 8; ProsRegNet's loss."""
    return (made - true).square().sum(-1).mean()


def squared_differences(fixed: Tensor, moving: Tensor, theta: Tensor) -> Tensor:
    """Eq. 2 of Shi et al. 2023: Σ over pixels of |I_A − I_B ∘ φ_θ|², mean over the batch.

    fixed I_A: (n, c, h, w). moving I_B: the same or with other channels, whose mean is then taken. As printed it compares the
    brightness of MRI and stain, which has no lowest value at the right place: a loss to compare with, not to use.
    """
    warped = matching.warped(moving, matching.affine_positions(theta, (fixed.shape[-2], fixed.shape[-1])))
    if warped.shape[1] != fixed.shape[1]:
        warped, fixed = warped.mean(1, keepdim=True), fixed.mean(1, keepdim=True)
    return (fixed - warped).square().sum((1, 2, 3)).mean()


def errors(made: Tensor, true: Tensor, inside: Tensor, width: Tensor) -> Tensor:
    """(n,): mean distance of (n, p, 2) positions over the places `inside` (n, p), as a share of the tissue's width (n,), in halves."""
    distance = (made - true).norm(dim=-1)
    return (distance * inside).sum(1) / inside.sum(1).clamp_min(1) / width


def mirrored(theta: Tensor) -> Tensor:
    """(n,) bool: whether θ turns the picture over."""
    return torch.det(theta[:, :, :2]) < 0
