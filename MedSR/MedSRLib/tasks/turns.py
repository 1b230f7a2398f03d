"""The turns and mirrorings of an image that a self-ensemble averages over."""

from __future__ import annotations

import numpy as np

TURNS = tuple((quarter, mirrored) for mirrored in (False, True) for quarter in range(4))
"""The eight quarter turns and mirrored quarter turns of a square."""


def turned(image: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    """(..., h, w) turned by quarters counter-clockwise, after mirroring along x where asked."""
    quarters, mirrored = turn
    return np.rot90(image[..., ::-1] if mirrored else image, quarters, (-2, -1))


def turned_back(image: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    """The inverse of `turned`."""
    quarters, mirrored = turn
    back = np.rot90(image, -quarters, (-2, -1))
    return back[..., ::-1] if mirrored else back
