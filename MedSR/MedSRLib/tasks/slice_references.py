"""Methods that serve only to be compared with: flow that is smoothed, and TV-L1 flow. Smoothing buys PSNR and SSIM, not detail."""

from __future__ import annotations

import numpy as np

from ..errors import DependencyError
from ..geometry import bracket
from ..run import Progress
from .slice_methods import flow
from .synthesis import Synthesis

SMOOTH_PIXELS = 0.8
"""Gaussian width that gave smoothed flow its best figures on the heart."""
TVL1_ATTACHMENT = {"tvl1": 10.0, "tvl1-smoothed": 15.0}


def flow_smoothed(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """Flow, then a Gaussian of 0.8 pixels."""
    return _smoothed(flow(slices, positions_mm, targets_mm, progress))


def tvl1(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """TV-L1 optical flow (Zach et al. 2007, of scikit-image) both ways, attachment 10, warped and mixed by distance. Slow."""
    return _tvl1(slices, positions_mm, targets_mm, TVL1_ATTACHMENT["tvl1"], progress)


def tvl1_smoothed(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """TV-L1 with attachment 15, then a Gaussian of 0.8 pixels."""
    return _smoothed(_tvl1(slices, positions_mm, targets_mm, TVL1_ATTACHMENT["tvl1-smoothed"], progress))


REFERENCES = {"flow-smoothed": flow_smoothed, "tvl1": tvl1, "tvl1-smoothed": tvl1_smoothed}


def _smoothed(made: Synthesis) -> Synthesis:
    from scipy.ndimage import gaussian_filter

    return Synthesis(gaussian_filter(made.values, (0, SMOOTH_PIXELS, SMOOTH_PIXELS)), made.expected_error)


def _tvl1(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, attachment: float, progress: Progress) -> Synthesis:
    from ..motion import warps_to

    try:
        from skimage.registration import optical_flow_tvl1
    except ImportError as error:
        raise DependencyError("TV-L1 flow needs scikit-image", fix="install scikit-image") from error
    below, alpha = bracket(np.asarray(positions_mm, float), np.asarray(targets_mm, float))
    values = np.empty((len(below), *slices.shape[1:]), np.float32)
    low, high = np.percentile(slices, (1, 99))
    scaled = (slices - np.float32(low)) / np.float32(high - low)
    pairs = np.unique(below)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), f"TV-L1 between slices {pair + 1} and {pair + 2}")
        there = _xy(optical_flow_tvl1(scaled[pair], scaled[pair + 1], attachment=attachment))
        back = _xy(optical_flow_tvl1(scaled[pair + 1], scaled[pair], attachment=attachment))
        for row in np.flatnonzero(below == pair):
            from_a, from_b = warps_to(slices[pair], slices[pair + 1], there, back, float(alpha[row]))
            values[row] = np.float32(1 - alpha[row]) * from_a + np.float32(alpha[row]) * from_b
    return Synthesis(values, np.zeros_like(values))


def _xy(flow_yx: np.ndarray) -> np.ndarray:
    """scikit-image's (2, h, w), row first, as motion.py has it: (h, w, 2), column first."""
    return np.ascontiguousarray(np.moveaxis(flow_yx[::-1], 0, -1), dtype=np.float32)
