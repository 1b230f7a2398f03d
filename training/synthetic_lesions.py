"""Synthetic lesions for training: soft ellipsoids through several slices of a real volume, so that a network learns what a small
structure does between slices. Only training sees them; every figure is measured on real slices.

Sizes are in pixels and slices. A slice shows the mean of an ellipsoid over its thickness, as a thick slice does.
"""

from __future__ import annotations

import numpy as np

RADII_PX = (1.5, 8.0)
"""Semi-axes in the plane, drawn logarithmically: small lesions are the many."""
RADIUS_SLICES = (0.5, 1.8)
"""Semi-axis through the plane, as a share of half the gap between the kept slices: 1 reaches from one to the other."""
DRIFT_PX = 1.0
"""Largest sideways step of the axis from slice to slice."""
CONTRAST = (0.15, 0.6)
"""Share of the normalised grey range."""
BRIGHT = 0.8
"""Share of lesions brighter than what is around them."""
PIXELS_A_LESION = 900.0
"""Pixels of tissue to one lesion centre, over all slices within its reach."""
TISSUE = 0.25
"""Normalised grey value from which a pixel counts as tissue."""
EDGE = 0.35
"""Share of the radius over which a lesion fades out."""
SUBSLICES = 5


def add(slices: np.ndarray, gap: int, rng: np.random.Generator) -> np.ndarray:
    """A copy of normalised slices (n, h, w) float32 with lesions in their tissue; `gap`: slices from one kept slice to the next."""
    out = slices.copy()
    tissue = np.argwhere(slices > TISSUE)
    reach = 0.5 * gap * float(np.mean(RADIUS_SLICES))
    count = int(len(tissue) / PIXELS_A_LESION / max(1.0, reach))
    for z, y, x in tissue[rng.integers(len(tissue), size=count)] if len(tissue) else ():
        _add_one(out, (float(z) + rng.uniform(-0.5, 0.5), float(y), float(x)), gap, rng)
    return out


def _add_one(out: np.ndarray, centre: tuple[float, float, float], gap: int, rng: np.random.Generator) -> None:
    z, y, x = centre
    radii = np.exp(rng.uniform(*np.log(RADII_PX), size=2))
    depth = 0.5 * gap * rng.uniform(*RADIUS_SLICES)
    angle, drift = rng.uniform(0, np.pi), rng.uniform(-DRIFT_PX, DRIFT_PX, size=2)
    height = rng.uniform(*CONTRAST) * (1 if rng.random() < BRIGHT else -1)
    margin = int(np.ceil(radii.max() + DRIFT_PX * (depth + 1))) + 1
    rows = slice(max(0, int(y) - margin), min(out.shape[1], int(y) + margin + 1))
    columns = slice(max(0, int(x) - margin), min(out.shape[2], int(x) + margin + 1))
    for k in range(max(0, int(np.floor(z - depth - 0.5))), min(len(out), int(np.ceil(z + depth + 0.5)) + 1)):
        v, u = np.mgrid[rows, columns].astype(np.float32)
        v, u = v - (y + drift[0] * (k - z)), u - (x + drift[1] * (k - z))
        across = ((u * np.cos(angle) + v * np.sin(angle)) / radii[0]) ** 2 + ((v * np.cos(angle) - u * np.sin(angle)) / radii[1]) ** 2
        shown = [_profile(across + ((k + s - z) / depth) ** 2) for s in (np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5]
        out[k, rows, columns] += np.float32(height) * np.mean(shown, axis=0).astype(np.float32)


def _profile(squared: np.ndarray) -> np.ndarray:
    """1 inside, 0 outside of the unit ellipsoid, falling linearly over EDGE of the radius."""
    return np.clip((1 - np.sqrt(squared)) / EDGE, 0, 1)
