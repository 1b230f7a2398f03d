"""Features of places, alike where MRI and slide show the same one: two convolutional networks, one for each modality.

The layers are those of prosregnet.py, whose 16 × 16 pixels a place they share; learned by contrast of places
(training/feature_matching.py), for matching by neighbours.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .prosregnet import features
from .slide_matcher import KINDS


class PlaceFeatures(nn.Module):
    """Picture (n, 1 or 3, h, w), sides multiples of 16, intensities about 0 to 1 → features (n, 4 · width, h / 16, w / 16)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.extractors = nn.ModuleDict({kind: features(width) for kind in KINDS})

    def dense(self, picture: Tensor, kind: str) -> Tensor:
        """Length 1 at each place. kind: "mri" or "slide"."""
        return F.normalize(self.extractors[kind](picture.expand(-1, 3, -1, -1)), dim=1)
