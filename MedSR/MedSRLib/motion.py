"""Motion between neighbouring slices: dense optical flow, warping, and the slice in between. OpenCV inside functions.

A flow is (h, w, 2) float32 in pixels, components (x, y). Dense inverse search: Kroeger et al., "Fast optical flow using
dense inverse search", ECCV 2016, as OpenCV has it.
"""

from __future__ import annotations

import numpy as np

from .errors import DependencyError

SMALLEST_SIDE = 64
"""Slices are padded to at least this many pixels a side before dense inverse search, which fails on small images."""
PERCENTILES = (0.5, 99.5)
"""The shared grey range of both slices that is mapped to the 8 bits dense inverse search works on."""


def _cv2():
    try:
        import cv2
    except ImportError as error:
        raise DependencyError("optical flow needs OpenCV", fix="install opencv-python-headless") from error
    return cv2


def flow_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The flow f (h, w, 2) with a(x) ≈ b(x + f(x)), by dense inverse search.

    a, b: (h, w), any units, the same size (at least 1 pixel). Zero where both slices are constant or hold no finite range.
    """
    h, w = a.shape
    low, high = np.percentile(np.stack([a, b]), PERCENTILES)
    if min(h, w) < 2 or not np.isfinite(high - low) or high <= low:
        return np.zeros((h, w, 2), np.float32)
    pad = ((0, max(0, SMALLEST_SIDE - h)), (0, max(0, SMALLEST_SIDE - w)))
    first, second = (np.pad(_eight_bit(image, low, high), pad, mode="edge") for image in (a, b))
    cv2 = _cv2()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setVariationalRefinementIterations(20)
    flow = search.calc(first, second, None)[:h, :w]
    return np.ascontiguousarray(np.nan_to_num(flow), dtype=np.float32)


def _eight_bit(image: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (image.astype(np.float32) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The image (h, w) read at x + flow(x), bilinear, edge values outside. Float32; equal to the image at zero flow."""
    h, w = image.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    cv2 = _cv2()
    source = np.ascontiguousarray(image, dtype=np.float32)
    return cv2.remap(source, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def warps_to(a: np.ndarray, b: np.ndarray, a_to_b: np.ndarray, b_to_a: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Both slices carried to `alpha` of the way from a (0) to b (1), each along its share of the flow."""
    return warp(a, np.float32(alpha) * b_to_a), warp(b, np.float32(1 - alpha) * a_to_b)


def between(a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """The slice (h, w) float32 at `alpha` in [0, 1] of the way from a to b: both warped there and mixed; a and b themselves at the ends."""
    if alpha <= 0 or alpha >= 1:
        return np.array(a if alpha <= 0 else b, dtype=np.float32)
    from_a, from_b = warps_to(a, b, flow_between(a, b), flow_between(b, a), alpha)
    return np.float32(1 - alpha) * from_a + np.float32(alpha) * from_b
