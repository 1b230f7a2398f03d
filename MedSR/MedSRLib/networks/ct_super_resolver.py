"""CT super-resolver: clinical CT eight times finer in-plane, learned from simulated pairs, with its expected error.

Made for MedSR from Lim et al., "Enhanced deep residual networks for single image super-resolution", CVPRW 2017 (residual
blocks without normalisation at low resolution), Shi et al., CVPR 2016 (pixel shuffle), Zhang et al., "RCAN", ECCV 2018
(channel attention), and Wang et al., "Zero-shot image restoration using denoising diffusion null-space model", ICLR 2023
(range–null-space decomposition).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import scales

SMALLEST_SCALE = 1e-3
"""Lower limit of the expected error: 1 HU."""
FIRST_SCALE = 3.0
"""softplus(−3) = 0.05: untrained, the expected error is some 50 HU."""


SMOOTH = 2.5
"""Standard deviation in pixels of the Gaussian that separates low frequencies: noise of 22 HU is below 3 HU in its mean."""


class Enlarged(NamedTuple):
    """value and expected_error (mean absolute error, the scale of a Laplace distribution): (n, 1, 8h, 8w), normalised."""

    value: Tensor
    expected_error: Tensor


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


class ChannelAttention(nn.Module):
    """Channels weighed by what they hold on average over the image (n, width, h, w); RCAN."""

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        self.weigh = nn.Sequential(conv(width, width // reduction, 1), nn.ReLU(inplace=True), conv(width // reduction, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.weigh(x.mean((-2, -1), keepdim=True)))


class Block(nn.Module):
    """Residual block of EDSR, of RCAN with attention."""

    def __init__(self, width: int, attention: bool) -> None:
        super().__init__()
        weigh = ChannelAttention(width) if attention else nn.Identity()
        self.body = nn.Sequential(conv(width, width), nn.ReLU(inplace=True), conv(width, width), weigh)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Head(nn.Conv2d):
    """(n, inputs, h, w) → (n, 1, factor·h, factor·w)."""

    def __init__(self, inputs: int, factor: int) -> None:
        super().__init__(inputs, factor * factor, 3, padding=1)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(super().forward(x), self.factor)


def shuffled(inputs: int, outputs: int) -> nn.Sequential:
    """(n, inputs, h, w) → (n, outputs, 2h, 2w)."""
    return nn.Sequential(conv(inputs, 4 * outputs), nn.PixelShuffle(2), nn.LeakyReLU(0.1, inplace=True))


def consistent(made: Tensor, measured: Tensor) -> Tensor:
    """x̂ = A⁺y + (I − A⁺A) D(y): `made` (n, 1, 8h, 8w) with its 8×8 means replaced by `measured` (n, 1, h, w).

    A: mean by 8; A⁺: nearest upsampling by 8.
    """
    return made + scales.nearest(measured - scales.average(made))


def smooth(image: Tensor, sigma: float = SMOOTH) -> Tensor:
    """(n, 1, h, w), Gaussian of `sigma` pixels, edges repeated."""
    reach = math.ceil(3 * sigma)
    x = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    window = torch.exp(-0.5 * (x / sigma) ** 2)
    window = window / window.sum()
    wide = F.pad(image, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))


def held(made: Tensor, measured: Tensor, share: float) -> Tensor:
    """`made` (n, 1, 8h, 8w) pulled towards 8×8 means that are `measured` (n, 1, h, w): low frequencies wholly, the rest by `share`.

    Averaged over some pixels the scan's noise is gone, so that there its values count; of single pixels it is mostly noise.
    """
    lacking = measured - scales.average(made)
    low = smooth(lacking)
    return made + scales.bicubic(low + share * (lacking - low))


class CtSuperResolver(nn.Module):
    """(n, slices, h, w) → (n, 1, 8h, 8w), any size. Untrained it gives the enlarged middle slice itself.

    width, depth: channels and number of the residual blocks. tail: channels after each pixel shuffle by 2, at most three of
    them; the heads shuffle by what is left of 8, which costs far less than convolutions at full size. attention: channel
    attention, which looks at a whole tile, so that tiles then depend on where they are cut. skip: what the network
    corrects, "bicubic" or "nearest". consistency: the 8×8 means of the result are the input exactly, with its noise. hold:
    share by which they are pulled towards the input, and its low frequencies wholly (`held`); 0 leaves them free.
    """

    factor, enlarged_input = scales.FACTOR, False

    def __init__(
        self, slices: int = 1, width: int = 64, depth: int = 16, tail: tuple[int, ...] = (48, 32, 16),
        attention: bool = False, skip: str = "bicubic", consistency: bool = False, hold: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 1 <= len(tail) <= 3:
            raise ValueError(f"tail must name one to three widths, not {len(tail)}")
        if skip not in ("bicubic", "nearest"):
            raise ValueError(f"skip must be 'bicubic' or 'nearest', not {skip!r}")
        if not 0 <= hold <= 1:
            raise ValueError(f"hold must lie in 0 to 1, not {hold}")
        self.slices, self.skip, self.consistency, self.hold = scales.check_slices(slices), skip, consistency, hold
        self.head = conv(slices, width)
        self.body = nn.Sequential(*(Block(width, attention) for _ in range(depth)), conv(width, width))
        self.tail = nn.Sequential(*(shuffled(i, o) for i, o in zip((width, *tail), tail, strict=False)))
        left = self.factor // 2 ** len(tail)
        self.value_head = Head(tail[-1], left)
        self.error_head = nn.Sequential(conv(tail[-1], 16, 1), nn.LeakyReLU(0.1, inplace=True), Head(16, left))
        for parameter in self.value_head.parameters():
            nn.init.zeros_(parameter)

    def with_error(self, clinical: Tensor) -> Enlarged:
        """The result and its expected error, which learns without pulling at the result."""
        entered = self.head(clinical)
        hidden = self.tail(entered + self.body(entered))
        middle = scales.centre(clinical)
        enlarge = scales.bicubic if self.skip == "bicubic" else scales.nearest
        value = enlarge(middle) + self.value_head(hidden)
        scale = F.softplus(self.error_head(hidden.detach()) - FIRST_SCALE) + SMALLEST_SCALE
        if self.hold:
            value = held(value, middle, self.hold)
        return Enlarged(consistent(value, middle) if self.consistency else value, scale)

    def forward(self, clinical: Tensor) -> Tensor:
        return self.with_error(clinical).value
