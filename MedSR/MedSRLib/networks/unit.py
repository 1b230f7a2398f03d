"""UNIT as it was before Zheng et al. 2020 changed it, for comparison: two variational autoencoders with one latent space.

Liu, Breuel, Kautz, "Unsupervised image-to-image translation networks", NeurIPS 2017: an encoder of three convolutions
(7×7, then two of stride 2, widths doubled) and three residual blocks of its own, one residual block that both domains
share, the mean of the code; the code has unit variance. Decoders mirror it, their first block shared. Leaky ReLU after
the outer convolutions, instance normalisation in the residual blocks. Both domains have images of 256×256: a clinical
patch is enlarged bicubically first. The published size is width=256, depth=3; the default is an eighth of the width.
Liu's discriminators are those of patch_discriminator.py here, so that the four methods differ by their generators alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import gan_blocks as blocks
from . import scales

HALVINGS = 2


class Shared(nn.Module):
    """What both domains have in common: the encoders' last block and the decoders' first, (n, width, h, w) each."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.encoder, self.decoder = blocks.ResidualBlock(width, norm), blocks.ResidualBlock(width, norm)


class Path(blocks.ForwardGenerator):
    """Image of one domain → code → image of the other: G1 or, with its own encoder and decoder, G2.

    encoder: of the domain it reads; decoder: of the domain it writes. shared: the same module in both paths.
    """

    def __init__(self, encoder: nn.Module, shared: Shared, decoder: nn.Module, slices: int, enlarged_input: bool) -> None:
        super().__init__(slices, enlarged_input)
        self.encoder, self.shared, self.decoder = encoder, shared, decoder

    def encode(self, image: Tensor) -> Tensor:
        """Mean of the code's distribution N(mean, 1)."""
        return self.shared.encoder(self.encoder(image))

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(self.shared.decoder(code))

    def translate(self, x: Tensor) -> Tensor:
        """By the mean: in use no noise is drawn."""
        return self.decode(self.encode(x))


def sampled(mean: Tensor) -> Tensor:
    """A code drawn from N(mean, 1)."""
    return mean + torch.randn_like(mean)


def encoder(inputs: int, width: int, depth: int, halvings: int, norm: str) -> nn.Sequential:
    """(n, inputs, h, w) → (n, width, h / 2^halvings, w / 2^halvings)."""
    return nn.Sequential(*leaky(blocks.halvings(inputs, width, halvings, "none")), *blocks.residuals(width, depth, norm))


def decoder(outputs: int, width: int, depth: int, doublings: int, norm: str) -> nn.Sequential:
    """(n, width, h, w) → (n, outputs, 2^doublings·h, 2^doublings·w)."""
    return nn.Sequential(*blocks.residuals(width, depth, norm), *leaky(blocks.doublings(width, outputs, doublings, "none")))


def leaky(layers: list[nn.Module]) -> list[nn.Module]:
    """The same layers with leaky instead of plain ReLU."""
    for parent in (m for layer in layers for m in layer.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.LeakyReLU(0.01, inplace=True))
    return layers


def generators(slices: int = 1, width: int = 32, depth: int = 3, norm: str = "instance") -> tuple[Path, Path]:
    """G1: clinical (n, slices, h, w) → (n, 1, 8h, 8w). G2's translate: (n, 1, 8h, 8w) → (n, slices, 8h, 8w)."""
    scales.check_slices(slices)
    shared = Shared(width, norm)
    read = [encoder(inputs, width, depth, HALVINGS, norm) for inputs in (slices, 1)]
    write = [decoder(outputs, width, depth, HALVINGS, norm) for outputs in (slices, 1)]
    return Path(read[0], shared, write[1], slices, True), Path(read[1], shared, write[0], slices, True)
