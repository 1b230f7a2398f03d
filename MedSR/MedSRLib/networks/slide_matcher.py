"""Slide to MRI as published: Shi et al., "Upscaling prostate cancer MRI images to cell-level resolution", 2023.

Two extractors (dino_vit.py), one for each modality; both feature maps downsampled; correlation, eq. 1, normalised
(matching.py); a regression network of two convolutions that gives six numbers, the affine transform θ.

What the paper leaves open, and how it is settled here:
- the downsampled size: 12 × 12, from the 16 × 16 tokens of 256 × 256 pixels;
- "normalization": as ProsRegNet, features to length 1 (less their mean first: matching.py), then ReLU and L2 norm over the
  candidates;
- kernels and widths of the convolutions: 7 and 5, 128 and 64 channels, as ProsRegNet;
- what θ maps: positions in the MRI to positions in the slide (matching.py), so that eq. 2 can be written;
- where θ starts: at the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import matching
from .dino_vit import DinoVit

KINDS = ("mri", "slide")


class SlideMatcher(nn.Module):
    """Fixed (n, 1 or 3, side, side) and moving picture (n, 1 or 3, side, side) → θ (n, 2, 3).

    size: of dino_vit.SIZES, "small" as published. grid: places a side of both downsampled feature maps. Pictures may have any
    sides that are multiples of 16. Intensities go in linearly normalised, about 0 to 1.
    """

    def __init__(self, size: str = "compact", side: int = 224, grid: int = 12) -> None:
        super().__init__()
        self.grid = grid
        self.extractors = nn.ModuleDict({kind: DinoVit(size, side=side) for kind in KINDS})
        self.regression = matching.Regression(grid, torch.tensor(matching.IDENTITY))

    def dense(self, picture: Tensor, kind: str) -> Tensor:
        """(n, width, h / 16, w / 16), length 1 at each place. kind: "mri" or "slide"."""
        return F.normalize(self.extractors[kind].dense(picture), dim=1)  # type: ignore[operator]

    def correlations(self, fixed: Tensor, moving: Tensor, kinds: tuple[str, str] = KINDS) -> Tensor:
        """(n, grid², grid, grid): eq. 1 of the downsampled maps, normalised."""
        maps = [matching.resized(self.dense(*given), self.grid) for given in zip((fixed, moving), kinds, strict=True)]
        b, a = (matching.directions(features) for features in maps)
        return matching.normalised(matching.correlation(a, b))

    def forward(self, fixed: Tensor, moving: Tensor, kinds: tuple[str, str] = KINDS) -> Tensor:
        """kinds: of fixed and moving; pairs inside one modality, in training, go through the same extractor."""
        return self.regression(self.correlations(fixed, moving, kinds)).view(-1, 2, 3)
