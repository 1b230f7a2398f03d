"""Baseline in the manner of ProsRegNet: Shao et al., Med. Image Anal. 68, 2021, after Rocco et al., CVPR 2017.

Features of a convolutional network, correlation, regression of an affine transform; the moving picture is warped by it, then
the same again regresses a thin-plate spline of 6 × 6 control points. Theirs takes the features of a ResNet-101 trained on
photographs (256 × 15 × 15 of 240 × 240 pixels); here a small network, one for each modality, is trained from nothing along
with the rest, and each of the two steps has its own regression on the same features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import matching
from .slide_matcher import KINDS

STRIDE = 16
CONTROL = 6
"""Control points a side of the thin-plate spline."""


def features(width: int, channels: int = 3) -> nn.Sequential:
    """(n, channels, h, w) → (n, 4 · width, h / 16, w / 16): four convolutions of stride 2, each with another behind it."""
    widths = [channels, width, 2 * width, 4 * width, 4 * width]
    layers: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        for stride, given in ((2, inputs), (1, outputs)):
            last = k == 3 and stride == 1
            layers += [nn.Conv2d(given, outputs, 3, stride, 1)] + ([] if last else [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)])
    return nn.Sequential(*layers)


class Prosregnet(nn.Module):
    """Fixed and moving picture (n, 1 or 3, 16 · grid, 16 · grid) → θ (n, 2, 3); `both` also gives the thin-plate spline.

    width: channels of the first convolution, a quarter of the features. grid: places a side of the feature maps; 15, of
    240 × 240 pixels, as published. Raises ValueError for pictures of another size.
    """

    points: Tensor

    def __init__(self, width: int = 32, grid: int = 15) -> None:
        super().__init__()
        self.grid = grid
        self.extractors = nn.ModuleDict({kind: features(width) for kind in KINDS})
        self.affine = matching.Regression(grid, torch.tensor(matching.IDENTITY))
        self.register_buffer("points", matching.control_points(CONTROL))
        self.spline = matching.Regression(grid, torch.zeros(CONTROL**2 * 2))

    def dense(self, picture: Tensor, kind: str) -> Tensor:
        """(n, 4 · width, grid, grid), length 1 at each place."""
        if tuple(picture.shape[-2:]) != (STRIDE * self.grid,) * 2:
            raise ValueError(f"pictures of {STRIDE * self.grid} × {STRIDE * self.grid} pixels, not {tuple(picture.shape[-2:])}")
        return F.normalize(self.extractors[kind](picture.expand(-1, 3, -1, -1)), dim=1)

    def correlations(self, fixed: Tensor, moving: Tensor, kinds: tuple[str, str] = KINDS) -> Tensor:
        """(n, grid², grid, grid): eq. 1 of Shi et al. 2023, normalised."""
        b, a = (matching.directions(self.dense(*given)) for given in zip((fixed, moving), kinds, strict=True))
        return matching.normalised(matching.correlation(a, b))

    def forward(self, fixed: Tensor, moving: Tensor, kinds: tuple[str, str] = KINDS) -> Tensor:
        return self.affine(self.correlations(fixed, moving, kinds)).view(-1, 2, 3)

    def both(self, fixed: Tensor, moving: Tensor, kinds: tuple[str, str] = KINDS) -> tuple[Tensor, Tensor]:
        """θ, and where the control points (matching.control_points) lie in the moving picture warped by θ: (n, 36, 2).

        The second step does not move the first: the warped picture carries no gradient to θ.
        """
        theta = self(fixed, moving, kinds)
        size = (moving.shape[-2], moving.shape[-1])
        closer = matching.warped(moving, matching.affine_positions(theta.detach(), size))
        return theta, self.points + self.spline(self.correlations(fixed, closer, kinds)).view(-1, CONTROL**2, 2)

    def positions(self, theta: Tensor, moved: Tensor, places: Tensor) -> Tensor:
        """places (p, 2) in the fixed picture → (n, p, 2) in the moving one: the spline, then θ."""
        first = matching.thin_plate(self.points, moved, places)
        return first @ theta[:, :, :2].transpose(1, 2) + theta[:, None, :, 2]
