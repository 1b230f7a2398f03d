"""Degrader of DSGAN: from what micro-CT would be with clinical pixels to what a clinical scanner makes of it, learned without pairs.

Fritsche, Gu, Timofte, "Frequency separation for real-world super-resolution", ICCV Workshops 2019: residual blocks at the low
resolution on the downsampled image. Here noise enters as a second channel, since a scanner's differs each time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import scales
from .gan_blocks import convolution, residuals


class Degrader(nn.Module):
    """(n, 1, 8h, 8w) micro-CT → (n, 1, h, w) clinical, both (HU + 1000) / 1000. Untrained it is the mean by 8."""

    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.head = nn.Sequential(convolution(2, width), nn.ReLU(inplace=True))
        self.body = nn.Sequential(*residuals(width, depth, "none"))
        self.tail = convolution(width, 1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, micro: Tensor) -> Tensor:
        mean = scales.average(micro)
        noise = torch.randn_like(mean)
        return mean + self.tail(self.body(self.head(torch.cat([mean, noise], 1))))
