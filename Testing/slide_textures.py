"""Textures without any slide: what training.slide_pieces fills pieces with, from noise, for tests that need no data."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from training import slide_pieces, stains


class NoiseTextures(slide_pieces.Textures):
    """Mixtures of haematoxylin and eosin that vary over some ten pixels."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        amounts = np.abs(ndimage.gaussian_filter(rng.standard_normal((200, 200, 2)), (4, 4, 0)) * 8)
        self.densities = [(amounts @ stains.STAINS[:2]).astype(np.float32)]


def a_piece(seed: int = 0):
    """One slide with one piece of tissue on it."""
    return slide_pieces.piece(NoiseTextures(), np.random.default_rng(seed))
