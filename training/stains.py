"""What is stained how: optical density, and haematoxylin against eosin, of a picture of a slide."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
"""Optical densities (red, green, blue) of haematoxylin, eosin and a third direction; Ruifrok and Johnston 2001."""
LIGHT_OD = 0.15
"""Mean optical density (log10) below which there is no tissue: glass, lumen."""
STEPS = 101
"""Quantiles that ranks are interpolated between."""


def optical_density(rgb: np.ndarray) -> np.ndarray:
    """(…, 3) float32: −log10 of the share of light let through, of 8-bit values; 0 and 255 stay finite."""
    return -np.log10((rgb.astype(np.float32) + 1) / 256)


def coloured(density: np.ndarray) -> np.ndarray:
    """(…, 3) uint8: what `optical_density` was given, rounded; beyond 8 bits it is cut off, as a scanner's picture is."""
    return np.rint(np.clip(256 * 10**-density - 1, 0, 255)).astype(np.uint8)


def haematoxylin_rank(rgb: np.ndarray, tissue: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    """(h, w) float32, of densities smoothed by a Gaussian of `smooth` pixels, so that nuclei and what is between them count as
    the tissue that they make: in tissue 0 to 1, the rank of haematoxylin less eosin among its stained pixels; 2 in lumens; −1 outside.

    Ranks do not depend on how strongly, or with which scanner, the slide was stained. Raises ValueError where nothing is.
    """
    density = ndimage.gaussian_filter(optical_density(rgb), (smooth, smooth, 0))
    light = density.mean(-1) < LIGHT_OD
    if not (tissue & ~light).any():
        raise ValueError("no stained tissue in this picture")
    rows = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    amounts = density @ np.linalg.inv(rows).astype(np.float32)
    difference = amounts[..., 0] - amounts[..., 1]
    edges = np.quantile(difference[tissue & ~light], np.linspace(0, 1, STEPS))
    rank = np.interp(difference, edges, np.linspace(0, 1, STEPS))
    return np.where(tissue, np.where(light, 2.0, rank), -1.0).astype(np.float32)
