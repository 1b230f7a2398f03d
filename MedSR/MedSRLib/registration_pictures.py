"""Pictures in millimetres for registration: smoothed, resampled about their middle, read at places, freed of slow changes.

Positions are (x, y) in mm from the picture's middle, x to the right, y down. An affine is (2, 3) and maps a position on the MRI to
one on the slide, as a SimpleITK transform does with the MRI as fixed image. OpenCV inside functions.
"""

from __future__ import annotations

import numpy as np

from .errors import DependencyError

SLOW_MM = 5.0
"""Standard deviation in mm of what counts as slow: the coil's field, and the mean brightness of a neighbourhood, say nothing."""
QUIET = 0.1
"""Share of the usual local contrast that is added to each, so that noise in an empty part does not grow."""
MARGIN_MM = 15.0
"""Of the MRI around a given gland that is searched."""
CHANNELS = 4
"""OpenCV reads at most so many at once."""


def opencv():
    """The module cv2. Raises DependencyError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise DependencyError("registration by pictures needs OpenCV", fix="install opencv-python-headless") from error
    return cv2


def around(mri: np.ndarray, gland: np.ndarray, mri_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both cut to the gland and a margin, and where the cut's middle lies in mm."""
    boxes = []
    for axis, mm in ((1, mri_mm[1]), (0, mri_mm[0])):
        found, margin = np.flatnonzero(gland.any(axis)), round(MARGIN_MM / mm)
        boxes.append((max(found[0] - margin, 0), min(found[-1] + 1 + margin, gland.shape[1 - axis])))
    (y0, y1), (x0, x1) = boxes
    middle = [(a + b - n) / 2 * mm for (a, b), n, mm in ((boxes[1], mri.shape[1], mri_mm[0]), (boxes[0], mri.shape[0], mri_mm[1]))]
    return np.ascontiguousarray(mri[y0:y1, x0:x1]), gland[y0:y1, x0:x1], np.array(middle)


def places(shape: tuple[int, int], pixel_mm: tuple[float, float]) -> np.ndarray:
    """(h, w, 2) float32: where the pixel centres of a picture of `shape` (h, w) lie. pixel_mm: (x, y)."""
    x, y = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape[::-1], pixel_mm, strict=True))
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)


def applied(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(…, 2) points → where the affine takes them."""
    return points @ affine[:, :2].T.astype(points.dtype) + affine[:, 2].astype(points.dtype)


def parts(picture: np.ndarray) -> tuple[np.ndarray, ...]:
    """(h, w, c) cut into what OpenCV reads at once; made once for a picture that is read often."""
    return tuple(np.ascontiguousarray(picture[..., k : k + CHANNELS]) for k in range(0, picture.shape[2], CHANNELS))


def read(picture: np.ndarray | tuple[np.ndarray, ...], pixel_mm: tuple[float, float], points: np.ndarray) -> np.ndarray:
    """(rows, columns[, c]) float32: the picture (h, w[, c]), or its `parts`, at points (rows, columns, 2) in mm, bilinear, 0 outside."""
    cv2 = opencv()
    if isinstance(picture, np.ndarray):
        picture = (picture,) if picture.ndim == 2 else parts(picture)
    middle = (np.array(picture[0].shape[1::-1]) - 1) / 2
    at = (points / pixel_mm + middle).astype(np.float32)
    made = [cv2.remap(part, at, None, cv2.INTER_LINEAR) for part in picture]
    return made[0] if len(made) == 1 else np.dstack(made)


def blurred(picture: np.ndarray, sigma: float | tuple[float, float]) -> np.ndarray:
    """Gaussian of sigma pixels, or (x, y); 0 outside. As it is where sigma is next to nothing."""
    x, y = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    if max(x, y) < 0.2:
        return picture
    cv2 = opencv()
    made = cv2.GaussianBlur(picture, (0, 0), max(x, 0.01), sigmaY=max(y, 0.01), borderType=cv2.BORDER_CONSTANT)
    return made.reshape(picture.shape)


def resampled(picture: np.ndarray, pixel_mm: tuple[float, float], wanted_mm: float) -> np.ndarray:
    """The same field about the same middle at square pixels of wanted_mm, smoothed first where that is coarser."""
    size = tuple(int(np.ceil(n * mm / wanted_mm - 1e-6)) for n, mm in zip(picture.shape, pixel_mm[::-1], strict=False))
    x, y = (0.5 * np.sqrt(max((wanted_mm / mm) ** 2 - 1, 0)) for mm in pixel_mm)
    return read(blurred(picture, (float(x), float(y))), pixel_mm, places(size[:2], (wanted_mm, wanted_mm)))  # type: ignore[arg-type]


def without_slow(maps: np.ndarray, tissue: np.ndarray, pixel_mm: float) -> np.ndarray:
    """(h, w, c) maps less their slow part within the tissue (h, w) of 0 to 1."""
    share = blurred(tissue, SLOW_MM / pixel_mm) + 1e-3
    slow = np.dstack([blurred(maps[..., k], SLOW_MM / pixel_mm) / share for k in range(maps.shape[2])])
    return maps - slow * tissue[..., None]


def even(picture: np.ndarray, pixel_mm: float) -> np.ndarray:
    """(h, w) without its slow part, over its local contrast: about −2 to 2, whatever its units. All 0 where it is constant."""
    sigma = SLOW_MM / pixel_mm
    share = blurred(np.ones_like(picture), sigma) + 1e-3
    fast = picture - blurred(picture, sigma) / share
    contrast = np.sqrt(blurred(fast * fast, sigma) / share)
    usual = float(np.median(contrast[contrast > 0])) if (contrast > 0).any() else 1.0
    return fast / (contrast + QUIET * usual)
