"""CycleGAN as it was before Zheng et al. 2020 changed it, for comparison: both generators keep the size of the image.

Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017: c7s1-64, d128,
d256, residual blocks of 256, u128, u64, c7s1. A clinical patch is enlarged bicubically to the size of micro-CT first, so
that both domains have images of 256×256. The published size is width=256, depth=9; the default is an eighth of the width.
"""

from __future__ import annotations

from torch import Tensor, nn

from . import gan_blocks as blocks

HALVINGS = 2


def translator(inputs: int, outputs: int, width: int, depth: int, norm: str) -> nn.Sequential:
    """(n, inputs, h, w) → (n, outputs, h, w), sides multiples of 4."""
    body = [*blocks.halvings(inputs, width, HALVINGS, norm), *blocks.residuals(width, depth, norm)]
    return nn.Sequential(*body, *blocks.doublings(width, outputs, HALVINGS, norm))


class SameSize(blocks.ForwardGenerator):
    """G1: clinical (n, slices, h, w), enlarged to (n, slices, 8h, 8w) → (n, 1, 8h, 8w)."""

    def __init__(self, slices: int, width: int, depth: int, norm: str) -> None:
        super().__init__(slices, enlarged_input=True)
        self.layers = translator(slices, 1, width, depth, norm)

    def translate(self, x: Tensor) -> Tensor:
        return self.layers(x)


def generators(slices: int = 1, width: int = 32, depth: int = 6, norm: str = "instance") -> tuple[nn.Module, nn.Module]:
    """G1 and G2: (n, 1, 8h, 8w) → (n, slices, 8h, 8w), the fake of an enlarged clinical patch."""
    made = SameSize(slices, width, depth, norm), translator(1, slices, width, depth, norm)
    return blocks.initialised(made[0], norm), blocks.initialised(made[1], norm)
