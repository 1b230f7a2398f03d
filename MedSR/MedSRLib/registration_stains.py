"""What a slide is made of, place by place: the shares of lumen and of tissue with much or little haematoxylin against eosin.

The signal of T2-weighted MRI follows from such shares, but nobody knows how in a given scan: so maps of them are given, and the
registration finds the weights. Ranks make them independent of how strongly, or with which scanner, the slide was stained.
"""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .registration_pictures import blurred

STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
"""Optical densities (red, green, blue) of haematoxylin, eosin and a third direction; Ruifrok and Johnston 2001."""
LIGHT = 0.15
"""Mean optical density below which a place is lumen or glass."""
NUCLEI_MM = 0.15
"""Standard deviation of the smoothing: nuclei and what lies between them count as the tissue that they make."""
KNOTS = (0.1, 0.35, 0.6, 0.9)
"""Ranks at which each kind of stained tissue has its full share; between two knots a place is part one, part the other."""


def maps(rgb: np.ndarray, tissue: np.ndarray, pixel_mm: float) -> np.ndarray:
    """(h, w, 5) float32 of 0 to 1: lumen, then four kinds of stained tissue from eosin to haematoxylin; they add up to the tissue.

    rgb: (h, w, 3) uint8, or grey (h, w), whose darkness then stands for the stain. Raises InputError where no tissue is stained.
    """
    density = blurred(-np.log10((rgb.astype(np.float32) + 1) / 256), NUCLEI_MM / pixel_mm)
    light = (density.mean(-1) if density.ndim == 3 else density) < LIGHT
    stained = tissue & ~light
    if not stained.any():
        raise InputError("no stained tissue was found on the slide", fix="check the slide, or give another mask")
    rank = _rank(_balance(density), stained)
    kinds = [np.interp(rank, KNOTS, np.eye(len(KNOTS))[k]) * stained for k in range(len(KNOTS))]
    return np.dstack([tissue & light, *kinds]).astype(np.float32)


def darkness(rgb: np.ndarray, smooth_px: float) -> np.ndarray:
    """(h, w) float32, rank of 0 to 1 over the picture: how much of any stain is here, whatever stain it is and however strong.

    rgb: (h, w, 3) uint8. smooth_px: standard deviation of the smoothing, in pixels.
    """
    density = blurred(-np.log10((rgb.astype(np.float32) + 1) / 256).mean(-1), smooth_px)
    return _rank(density, np.ones(density.shape, bool)).astype(np.float32)


def shades(rank: np.ndarray) -> np.ndarray:
    """(h, w, 4) float32 shares of four kinds from light to dark, of a rank as of `darkness`; they add up to 1."""
    return np.dstack([np.interp(rank, KNOTS, kind) for kind in np.eye(len(KNOTS))]).astype(np.float32)


def _balance(density: np.ndarray) -> np.ndarray:
    """(h, w): haematoxylin less eosin, of optical densities."""
    if density.ndim == 2:
        return density
    rows = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    amounts = density @ np.linalg.inv(rows)[:, :2].astype(np.float32)
    return amounts[..., 0] - amounts[..., 1]


def _rank(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(h, w) of 0 to 1: the share of the places `among` that have less."""
    steps = np.linspace(0, 1, 101)
    return np.interp(values, np.quantile(values[among], steps), steps)
