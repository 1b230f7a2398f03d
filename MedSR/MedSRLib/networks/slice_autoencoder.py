"""Slice autoencoder: slices are compressed one by one, two codes are mixed, the mixture is decoded.

Sander, de Vos, Išgum, "Unsupervised super-resolution: creating high-resolution medical images from low-resolution
anisotropic examples", arXiv:2010.13172 (2020): 32, 64, 128, 256 kernels, four poolings, 16 latent channels, and their
2022 form in Comput. Biol. Med. (two poolings, 128 latent channels) by its arguments. Where the paper is silent: the
slope of the leaky ReLU is PyTorch's 0.01; the decoder's blocks begin at the latent code; its last two convolutions are
32 → 32 with and 32 → 1 without a nonlinearity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pairs import Made, Pair


def conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.LeakyReLU(inplace=True))


def block(inputs: int, outputs: int, after: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs), conv(outputs, outputs), nn.BatchNorm2d(outputs), after)


class SliceAutoencoder(nn.Module):
    """kernels: of the first block; doubled in each later one. poolings: number of blocks. latent: channels of the code."""

    uses_flow = False

    def __init__(self, kernels: int = 32, poolings: int = 4, latent: int = 16) -> None:
        super().__init__()
        self.multiple = 2**poolings
        widths = [kernels * 2**i for i in range(poolings)]
        down = [block(i, o, nn.AvgPool2d(2)) for i, o in zip([1, *widths], widths, strict=False)]
        self.encoder = nn.Sequential(*down, conv(widths[-1], widths[-1]), nn.Conv2d(widths[-1], latent, 3, 1, 1))
        back = widths[::-1]
        up = [block(i, o, nn.Upsample(scale_factor=2, mode="nearest")) for i, o in zip([latent, *back], back, strict=False)]
        self.decoder = nn.Sequential(*up, conv(kernels, kernels), nn.Conv2d(kernels, 1, 3, 1, 1))

    def encode(self, slices: Tensor) -> Tensor:
        """(n, 1, h, w) normalised slices → (n, latent, h / multiple, w / multiple), sizes rounded up."""
        h, w = slices.shape[-2:]
        return self.encoder(F.pad(slices, (0, -w % self.multiple, 0, -h % self.multiple), mode="replicate"))

    def pair(self, a: Tensor, b: Tensor, features_a: Tensor, features_b: Tensor, a_to_b: Tensor, b_to_a: Tensor) -> Pair:
        """The two codes side by side; the flows are not used."""
        return Pair((a, b), (features_a, features_b), a_to_b, b_to_a, (a.shape[-2], a.shape[-1]))

    def at(self, pair: Pair, alpha: Tensor) -> Made:
        """Decode (1 − alpha)·code of a + alpha·code of b. Expected error: the part of |a − b| that mixing leaves open."""
        share = alpha.view(-1, 1, 1, 1).to(pair.images[0])
        code = (1 - share) * pair.features[0] + share * pair.features[1]
        h, w = pair.size
        value = self.decoder(code)[..., :h, :w]
        error = 2 * share * (1 - share) * (pair.images[0] - pair.images[1]).abs()
        return Made(value, error, value)

    def forward(self, a: Tensor, b: Tensor, a_to_b: Tensor, b_to_a: Tensor, alpha: Tensor) -> Made:
        code_a, code_b = self.encode(torch.cat([a, b])).chunk(2)
        return self.at(self.pair(a, b, code_a, code_b, a_to_b, b_to_a), alpha)
