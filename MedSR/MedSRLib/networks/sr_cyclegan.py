"""SR-CycleGAN: two generators between clinical CT (32×32) and micro-CT (256×256), the first enlarging by 8 a side.

Zheng et al., "Multi-modality super-resolution loss for GAN-based super-resolution of clinical CT images using micro CT
image database", 2020: G1 a "Resnet-based SR network", G2 "of which the length and width of output image size is 1/8 of
input". The paper draws no layers. Here both are Zhu's generator (ICCV 2017) with the scale moved: G1 keeps the residual
blocks of He 2016 at clinical size and enlarges three times after them, G2 mirrors it. Zhu's size is width=256, depth=9:
c7s1-256, R256 nine times, u128, u64, u32, c7s1-1. The defaults are a quarter of that width, for a CPU.

With `skip` the generators correct what needs no learning, as networks for super-resolution do since Kim et al., "Accurate image
super-resolution using very deep convolutional networks", CVPR 2016: G1 the bicubic enlargement, G2 the mean by 8. Without it
they make the image itself, as Zhu's do: instance normalisation takes the grey level away, and it has to be learned anew.
"""

from __future__ import annotations

from torch import Tensor, nn

from . import gan_blocks as blocks
from . import scales

DOUBLINGS = 3
"""2 × 2 × 2 = 8."""


class Enlarger(blocks.ForwardGenerator):
    """G1: (n, slices, h, w) → (n, 1, 8h, 8w). width: channels of the residual blocks, a multiple of 8."""

    def __init__(self, slices: int, width: int, depth: int, norm: str, skip: bool) -> None:
        super().__init__(slices, enlarged_input=False)
        self.skip = skip
        body = [blocks.step(slices, width, norm, size=7), *blocks.residuals(width, depth, norm)]
        self.layers = nn.Sequential(*body, *blocks.doublings(width, 1, DOUBLINGS, norm))

    def translate(self, x: Tensor) -> Tensor:
        made = self.layers(x)
        return made + scales.bicubic(scales.centre(x)) if self.skip else made


class Reducer(nn.Module):
    """G2: (n, 1, 8h, 8w) → (n, slices, h, w), the fake clinical patch with the neighbours that D_X wants to see."""

    def __init__(self, slices: int, width: int, depth: int, norm: str, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        body = [*blocks.halvings(1, width, DOUBLINGS, norm), *blocks.residuals(width, depth, norm)]
        self.layers = nn.Sequential(*body, blocks.convolution(width, slices, 7))

    def forward(self, micro: Tensor) -> Tensor:
        made = self.layers(micro)
        return made + scales.average(micro) if self.skip else made  # a neighbour's best guess is the slice itself


def generators(slices: int = 1, width: int = 64, depth: int = 6, norm: str = "instance", skip: bool = False) -> tuple[nn.Module, nn.Module]:
    """G1 and G2. depth: residual blocks in each (6 and 9 in Zhu 2017, for images of 128 and of 256). skip: see above."""
    made = Enlarger(slices, width, depth, norm, skip), Reducer(slices, width, depth, norm, skip)
    return blocks.initialised(made[0], norm), blocks.initialised(made[1], norm)
