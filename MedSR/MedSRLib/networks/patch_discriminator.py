"""Patch discriminator: says of each patch of an image whether it is real.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, as Zhu et al., ICCV 2017, use
it: 4×4 convolutions of stride 2, widths doubled up to eight times the first, instance normalisation but in the first,
leaky ReLU of 0.2, no sigmoid (least squares). Published: width=64, halvings=3, patches of 70×70.
"""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """(n, channels, h, w) → (n, 1, about h / 2^halvings, about w / 2^halvings): near 1 where real, near 0 where not.

    halvings: 3 judges patches of 70 pixels and needs images of 24 at least, 2 patches of 34 and images of 16.
    """

    def __init__(self, channels: int = 1, width: int = 32, halvings: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
            stride = 2 if i < halvings - 1 else 1
            layers += [nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
