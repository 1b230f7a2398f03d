"""What every slice network speaks: encode (once a slice) → pair (once a pair) → at (once an alpha)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Pair(NamedTuple):
    """What two slices have in common, batch size 1 or more: images, features, flows in pixels, the size before padding."""

    images: tuple[Tensor, Tensor]
    features: tuple[Tensor, Tensor]
    a_to_b: Tensor
    b_to_a: Tensor
    size: tuple[int, int]


class Made(NamedTuple):
    """value and expected_error: (n, 1, h, w), normalised units. blend: the value before any residual, for training."""

    value: Tensor
    expected_error: Tensor
    blend: Tensor
