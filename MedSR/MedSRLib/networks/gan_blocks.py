"""What the generators of the four unpaired methods are made of.

He et al., "Deep residual learning for image recognition", CVPR 2016 (residual block), in the form of Johnson et al. 2016
that Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, took over:
instance normalisation, no nonlinearity after the sum. Two things differ from Zhu: edges are repeated, not reflected, so
that images of any size pass; and enlarging is nearest upsampling and a convolution, which leaves no checkerboard.
"""

from __future__ import annotations

from torch import Tensor, nn

from . import scales


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode="replicate")


def normalisation(kind: str, channels: int) -> nn.Module:
    """kind: "instance" as published, or "none", with which a tile's result does not depend on the rest of the tile."""
    if kind not in ("instance", "none"):
        raise ValueError(f"norm must be 'instance' or 'none', not {kind!r}")
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


def step(inputs: int, outputs: int, norm: str, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU: Zhu's c7s1 (size 7) and d (stride 2)."""
    return nn.Sequential(convolution(inputs, outputs, size, stride), normalisation(norm, outputs), nn.ReLU(inplace=True))


def doubling(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """(n, inputs, h, w) → (n, outputs, 2h, 2w): Zhu's u, without transposed convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), step(inputs, outputs, norm))


def narrowing(width: int, count: int) -> list[int]:
    """width, width / 2, …, halved `count` times. Raises ValueError where it cannot be."""
    if width < 2**count or width % 2**count:
        raise ValueError(f"width must be a multiple of {2**count}, not {width}")
    return [width // 2**i for i in range(count + 1)]


def halvings(inputs: int, width: int, count: int, norm: str) -> list[nn.Module]:
    """(n, inputs, h, w) → (n, width, h / 2^count, w / 2^count): c7s1, then d `count` times, the width doubled each time."""
    widths = narrowing(width, count)[::-1]
    downs = [step(i, o, norm, stride=2) for i, o in zip(widths, widths[1:], strict=False)]
    return [step(inputs, widths[0], norm, size=7), *downs]


def doublings(width: int, outputs: int, count: int, norm: str) -> list[nn.Module]:
    """(n, width, h, w) → (n, outputs, 2^count·h, 2^count·w): u `count` times, the width halved each time, then 7×7, linear.

    Zhu ends in a tanh; intensities here are linear in HU and never clamped, so nothing follows the last convolution.
    """
    widths = narrowing(width, count)
    ups = [doubling(i, o, norm) for i, o in zip(widths, widths[1:], strict=False)]
    return [*ups, convolution(widths[-1], outputs, 7)]


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a short cut: (n, width, h, w) → the same size."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(step(width, width, norm), convolution(width, width), normalisation(norm, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def residuals(width: int, count: int, norm: str) -> list[nn.Module]:
    return [ResidualBlock(width, norm) for _ in range(count)]


def initialised(module: nn.Module, norm: str) -> nn.Module:
    """Weights from N(0, 0.02) as Zhu has them; without normalisation signals would fade, so PyTorch's own stay."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and norm == "instance":
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


class ForwardGenerator(nn.Module):
    """G1, clinical CT to micro-CT: (n, slices, h, w) → (n, 1, 8h, 8w), any size.

    slices: neighbouring slices taken as channels. enlarged_input: `translate` works on the image enlarged bicubically, as
    networks that keep the size need it, instead of enlarging by itself.
    """

    factor = scales.FACTOR

    def __init__(self, slices: int, enlarged_input: bool) -> None:
        super().__init__()
        self.slices, self.enlarged_input = scales.check_slices(slices), enlarged_input

    def domain(self, clinical: Tensor) -> Tensor:
        """The image of domain X that stands for a clinical patch: itself, or itself enlarged to the size of micro-CT."""
        return scales.bicubic(clinical) if self.enlarged_input else clinical

    def translate(self, x: Tensor) -> Tensor:
        """From domain X to domain Y, micro-CT."""
        raise NotImplementedError

    def forward(self, clinical: Tensor) -> Tensor:
        h, w = clinical.shape[-2:]
        return self.translate(self.domain(scales.padded(clinical)))[..., : self.factor * h, : self.factor * w]
