"""Slice methods without training, for the table of the published protocol (positions half-way between kept slices)."""

from __future__ import annotations

from functools import partial

import numpy as np
from MedSRLib import motion
from scipy.ndimage import gaussian_filter

from .protocol import Rebuild


def halfway(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray):
    for t in targets:
        i = int(np.searchsorted(positions, t)) - 1
        yield kept[i], kept[i + 1]


def linear(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.stack([(a + b) / 2 for a, b in halfway(kept, positions, targets)])


def simpleitk(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray, interpolator: str) -> np.ndarray:
    """SimpleITK's own resampling of the kept slices (as in the paper), 3-D kernels included."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(kept)
    image.SetSpacing((1.0, 1.0, float(positions[1] - positions[0])))
    image.SetOrigin((0.0, 0.0, float(positions[0])))
    size, step = (*kept.shape[:0:-1], len(targets)), float(targets[1] - targets[0]) if len(targets) > 1 else 1.0
    made = sitk.Resample(
        image,
        size,
        sitk.Transform(),
        getattr(sitk, interpolator),
        (0.0, 0.0, float(targets[0])),
        (1.0, 1.0, step),
        np.eye(3).ravel().tolist(),
    )
    return sitk.GetArrayFromImage(made)


def dis(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.stack([motion.between(a, b, 0.5) for a, b in halfway(kept, positions, targets)])


def tvl1(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray, attachment: float) -> np.ndarray:
    """scikit-image's TV-L1 optical flow, both ways, half warps, averaged."""
    from skimage.registration import optical_flow_tvl1

    def flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        v, u = optical_flow_tvl1(a, b, attachment=attachment)
        return np.stack([u, v], -1).astype(np.float32)

    made = []
    for a, b in halfway(kept, positions, targets):
        from_a, from_b = motion.warps_to(a, b, flow(a, b), flow(b, a), 0.5)
        made.append((from_a + from_b) / 2)
    return np.stack(made)


def smoothed(method: Rebuild, sigma: float, kept: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.stack([gaussian_filter(s, sigma) for s in method(kept, positions, targets)])


METHODS: dict[str, Rebuild] = {
    "Lanczos": partial(simpleitk, interpolator="sitkLanczosWindowedSinc"),
    "B-spline": partial(simpleitk, interpolator="sitkBSpline"),
    "linear": linear,
    "linear, smoothed 1 px": partial(smoothed, linear, 1.0),
    "TV-L1 (5)": partial(tvl1, attachment=5),
    "TV-L1 (10)": partial(tvl1, attachment=10),
    "TV-L1 (15), smoothed 0.8 px": partial(smoothed, partial(tvl1, attachment=15), 0.8),
    "DIS": dis,
    "DIS, smoothed 0.8 px": partial(smoothed, dis, 0.8),
}
