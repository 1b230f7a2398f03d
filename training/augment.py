"""Random changes of pictures that leave their geometry alone, and random windows: for registration's training and for DINO.

Slides: (h, w, 3) uint8 in, float32 of 0 to 1 out. MRI: (h, w) float32, about 0 to 1, in and out. Nothing is cut off.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

STAIN = 0.2
"""Optical density by colour: times 1 ± that."""
GAMMA, GAIN, OFFSET = (0.7, 1.4), (0.8, 1.2), (-0.1, 0.1)
BLUR_PIXELS = (0.1, 1.5)


def stain(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As if stained more or less strongly: the light let through to a random power, by colour."""
    return (rgb.astype(np.float32) / 255) ** (1 + rng.uniform(-STAIN, STAIN, 3).astype(np.float32))


def contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random power of what is positive, times a random gain, plus a random offset, plus noise of up to 0.05."""
    changed = np.sign(image) * np.abs(image) ** rng.uniform(*GAMMA)
    noise = rng.normal(0, rng.uniform(0, 0.05), image.shape)
    return (changed * rng.uniform(*GAIN) + rng.uniform(*OFFSET) + noise).astype(np.float32)


def blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By a Gaussian of a random width."""
    sigma = rng.uniform(*BLUR_PIXELS)
    return ndimage.gaussian_filter(image, (sigma, sigma) + (0,) * (image.ndim - 2))


def place_mm(size: tuple[int, ...], field_mm: float, pixel_mm: float, rng: np.random.Generator) -> np.ndarray:
    """(2,) x, y in mm: a random middle of a field that fits into a picture of `size`; 0 where it does not fit."""
    room = np.maximum((np.array(size[1::-1]) * pixel_mm - field_mm) / 2, 0)
    return rng.uniform(-1, 1, 2) * room


def window(image: np.ndarray, middle: np.ndarray, side: float, out: int, turn: int) -> np.ndarray:
    """(out, out, …) float32: the square of `side` pixels around middle (column, row), mirrored and turned by quarters (turn 0 to 7)."""
    step = side / out
    at = (np.arange(out) - (out - 1) / 2) * step
    columns, rows = np.meshgrid((middle[0] + at).astype(np.float32), (middle[1] + at).astype(np.float32))
    # Averaged first where pixels are skipped: a crop must not alias.
    smooth = ndimage.gaussian_filter(image, (0.4 * (step - 1),) * 2 + (0,) * (image.ndim - 2)) if step > 1.2 else image
    made = cv2.remap(smooth, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    made = np.rot90(made, turn % 4)
    return made[:, ::-1] if turn >= 4 else made
