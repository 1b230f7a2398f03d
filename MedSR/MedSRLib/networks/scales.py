"""Between clinical CT and micro-CT: eight times per side. Images are (n, c, h, w), (HU + 1000) / 1000, never clamped.

f and g of Zheng et al. 2020 (eqs. 2, 3): average pooling by 8 and nearest-neighbour upsampling by 8. f∘g is the identity,
so g is the pseudo-inverse of f.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

FACTOR = 8
"""625 µm over 52 µm is 12; the paper takes the power of two."""
SMALLEST = 4
"""Pixels a side below which an image is padded: instance normalisation needs more than one."""


def average(image: Tensor) -> Tensor:
    """f: (n, c, 8h, 8w) → (n, c, h, w), mean of each 8×8 block."""
    return F.avg_pool2d(image, FACTOR)


def nearest(image: Tensor) -> Tensor:
    """g: (n, c, h, w) → (n, c, 8h, 8w), each pixel eight times a side."""
    return image.repeat_interleave(FACTOR, -1).repeat_interleave(FACTOR, -2)


def bicubic(image: Tensor) -> Tensor:
    """(n, c, h, w) → (n, c, 8h, 8w), bicubic, pixel areas aligned.

    PyTorch's plain bicubic (a = −0.75) bends a linear ramp; with `antialias` it is Keys' (a = −0.5), as Pillow's.
    """
    return F.interpolate(image, scale_factor=FACTOR, mode="bicubic", align_corners=False, antialias=True)


def centre(image: Tensor) -> Tensor:
    """(n, slices, h, w) → (n, 1, h, w): the slice in the middle of its neighbours."""
    middle = image.shape[1] // 2
    return image[:, middle : middle + 1]


def padded(image: Tensor) -> Tensor:
    """At least SMALLEST pixels a side, edge values repeated below and to the right."""
    h, w = image.shape[-2:]
    return F.pad(image, (0, max(0, SMALLEST - w), 0, max(0, SMALLEST - h)), mode="replicate")


def check_slices(slices: int) -> int:
    """Raises ValueError where the number of neighbouring slices has no middle."""
    if slices < 1 or slices % 2 == 0:
        raise ValueError(f"slices must be odd, not {slices}")
    return slices
