"""Slice refiner: optical flow gives a first guess of the slice between two others, a network corrects it.

Made for MedSR, from ideas of Jiang et al., "Super SloMo", CVPR 2018 (intermediate flows, blending), Niklaus and Liu,
"Softmax splatting", CVPR 2020 (features warped along with the images) and Sander et al., Comput. Biol. Med. 2022
(a slice that exists is synthesised during training). What does not depend on alpha is computed once a slice or pair.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pairs import Made, Pair

SIDE_MULTIPLE = 8
"""Slices are padded to a multiple of this many pixels: three halvings."""
FLOW_SCALE = 0.1
"""Brings flows of some ten pixels to the size of the other inputs."""
UNWARPED = 4.0
"""Untrained, a slice as it lies weighs exp(−4) of the same slice warped."""
ANCHORS = (1 / 6, 1 / 2, 5 / 6)
"""Where between two slices the network is run in use, evenly spaced; in training it runs at each alpha."""
SMALLEST_SCALE = 1e-3
"""Lower limit of the expected error, as a share of the normalised intensity range."""


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """image (n, c, h, w) read at x + flow, bilinear, edge values outside. flow: (n, 2, h, w) pixels, (x, y)."""
    h, w = image.shape[-2:]
    x = torch.arange(w, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(h, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    grid = torch.stack([x * (2 / max(w - 1, 1)) - 1, y * (2 / max(h - 1, 1)) - 1], dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def halved(flow: Tensor) -> Tensor:
    """A full-resolution flow at half resolution, in its pixels."""
    return F.avg_pool2d(flow, 2) * 0.5


def doubled(flow: Tensor) -> Tensor:
    """A half-resolution flow at full resolution, in its pixels."""
    return F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False) * 2


def conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), nn.LeakyReLU(0.1, inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions around a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.body(x), 0.1)


class Hourglass(nn.Module):
    """A U-Net over two halvings: (n, inputs, h, w) to (n, width, h, w)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(conv(inputs, width, size=1), Residual(width))
        self.down1 = nn.Sequential(conv(width, 2 * width, stride=2), Residual(2 * width))
        self.down2 = nn.Sequential(conv(2 * width, 2 * width, stride=2), Residual(2 * width))
        self.up2 = conv(2 * width, 2 * width, size=1)
        self.merge2 = nn.Sequential(conv(4 * width, 2 * width, size=1), Residual(2 * width))
        self.up1 = conv(2 * width, width, size=1)
        self.merge1 = nn.Sequential(conv(2 * width, width, size=1), Residual(width))

    def forward(self, x: Tensor) -> Tensor:
        full = self.enter(x)
        half = self.down1(full)
        quarter = self.up2(self.down2(half))
        half = self.merge2(torch.cat([half, _twice(quarter)], 1))
        return self.merge1(torch.cat([full, _twice(self.up1(half))], 1))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class SliceRefiner(nn.Module):
    """Slices a and b, the optical flows between them, alpha in [0, 1] → the slice at alpha and its expected error.

    features: channels a slice is encoded to, at half resolution. width: channels of the network that joins two slices.
    compare: correct the flows and enrich the features once a pair. adjust: correct the flows at each alpha.
    warp_features: give the joining network the features of both slices carried to alpha, beside the images.
    The result is a blend of both slices, warped and not, plus a residual. Intensities go in and out linearly normalised;
    nothing is clamped; alpha 0 and 1 return a and b themselves.
    """

    uses_flow = True

    def __init__(self, features: int = 24, width: int = 48, compare: bool = False, adjust: bool = True, warp_features: bool = True) -> None:
        super().__init__()
        self.compare, self.adjust, self.warp_features = compare, adjust, warp_features
        if warp_features or compare:
            self.encoder = nn.Sequential(nn.PixelUnshuffle(2), conv(4, features), Residual(features))
        if compare:
            self.comparison = Hourglass(2 * features + 2, features)
            self.flow_head = _zero(nn.Conv2d(features, 2, 3, 1, 1))
        self.join = Hourglass(4 * 4 + 4 + 1 + (2 * features if warp_features else 0), width)
        self.heads = _zero(nn.Conv2d(width, 4 * 4 + (4 if adjust else 0), 3, 1, 1))
        self.error_head = nn.Sequential(conv(width, 16, size=1), nn.Conv2d(16, 4, 3, 1, 1))

    def encode(self, slices: Tensor) -> Tensor:
        """(n, 1, h, w) normalised slices → their features, once a slice."""
        padded = _padded(slices)
        return self.encoder(padded) if self.warp_features or self.compare else padded

    def pair(self, a: Tensor, b: Tensor, features_a: Tensor, features_b: Tensor, a_to_b: Tensor, b_to_a: Tensor) -> Pair:
        """What does not depend on alpha, once a pair. a, b: (n, 1, h, w); flows (n, 2, h, w) pixels."""
        size = (a.shape[-2], a.shape[-1])
        flows = torch.cat([_padded(a_to_b), _padded(b_to_a)])
        if self.compare:
            own, other = torch.cat([features_a, features_b]), torch.cat([features_b, features_a])
            small = halved(flows)
            compared = self.comparison(torch.cat([own, warp(other, small), small * FLOW_SCALE], 1))
            features_a, features_b = (own + compared).chunk(2)
            flows = flows + doubled(self.flow_head(compared))
        a_to_b, b_to_a = flows.chunk(2)
        return Pair((_padded(a), _padded(b)), (features_a, features_b), a_to_b, b_to_a, size)

    def at(self, pair: Pair, alpha: Tensor) -> Made:
        """The slices at alpha (n,) between the slices of `pair`; a pair of batch size 1 serves any number of alphas.

        In evaluation the network runs at ANCHORS only; what it says of blending, residual and flow is interpolated between
        them, then applied to the slices warped to alpha itself.
        """
        if self.training:
            return self._made(pair, alpha, self._fields(pair, alpha))
        return self._made(pair, alpha, self._interpolated(pair, alpha))

    def _interpolated(self, pair: Pair, alpha: Tensor) -> Tensor:
        anchors = torch.tensor(ANCHORS, device=alpha.device, dtype=alpha.dtype)
        place = ((alpha - anchors[0]) / (anchors[1] - anchors[0])).clamp(0, len(ANCHORS) - 1)
        low, high = place.floor().long(), place.ceil().long()
        needed, position = torch.unique(torch.cat([low, high]), return_inverse=True)
        fields = self._fields(pair, anchors[needed])
        low, high = position.chunk(2)
        return torch.lerp(fields[low], fields[high], place.frac().view(-1, 1, 1, 1).to(fields))

    def _fields(self, pair: Pair, alpha: Tensor) -> Tensor:
        """What the network says at alpha (n,): (n, c, h / 2, w / 2): scale of the error, preferences, residual, flow steps."""
        n = len(alpha)
        images, features = ([x.expand(n, -1, -1, -1) for x in xs] for xs in (pair.images, pair.features))
        share = alpha.view(-1, 1, 1, 1).to(images[0])
        flows = [share * pair.b_to_a, (1 - share) * pair.a_to_b]
        hidden = self.join(torch.cat(self._inputs(images, features, flows, share), 1))
        return torch.cat([F.softplus(self.error_head(hidden.detach()) - 3), self.heads(hidden)], 1)

    def _made(self, pair: Pair, alpha: Tensor, fields: Tensor) -> Made:
        images = [x.expand(len(alpha), -1, -1, -1) for x in pair.images]
        share = alpha.view(-1, 1, 1, 1).to(images[0])
        bump = 4 * share * (1 - share)
        flows = [share * pair.b_to_a, (1 - share) * pair.a_to_b]
        if self.adjust:
            steps = doubled(fields[:, 20:]) * bump
            flows = [flow + step for flow, step in zip(flows, steps.chunk(2, 1), strict=True)]
        scale, *preferences, residual = F.pixel_shuffle(fields[:, :20], 2).split(1, 1)
        blend = _blend([*(warp(i, f) for i, f in zip(images, flows, strict=True)), *images], preferences, share)
        value = blend + bump * residual
        value = torch.where(share == 0, images[0], torch.where(share == 1, images[1], value))
        h, w = pair.size
        return Made(*(x[..., :h, :w] for x in (value, bump * (scale + SMALLEST_SCALE), blend)))

    def _inputs(self, images: list[Tensor], features: list[Tensor], flows: list[Tensor], share: Tensor) -> list[Tensor]:
        small = [halved(flow) for flow in flows]
        inputs = [F.pixel_unshuffle(warp(image, flow), 2) for image, flow in zip(images, flows, strict=True)]
        inputs += [F.pixel_unshuffle(image, 2) for image in images]
        inputs += [flow * FLOW_SCALE for flow in small]
        inputs.append(share.expand(-1, 1, *small[0].shape[-2:]))
        if self.warp_features:
            inputs += [warp(feature, flow) for feature, flow in zip(features, small, strict=True)]
        return inputs

    def forward(self, a: Tensor, b: Tensor, a_to_b: Tensor, b_to_a: Tensor, alpha: Tensor) -> Made:
        """One slice for each row of the batch: encode, pair, at."""
        features_a, features_b = self.encode(torch.cat([a, b])).chunk(2)
        return self.at(self.pair(a, b, features_a, features_b, a_to_b, b_to_a), alpha)


def _blend(images: list[Tensor], preferences: list[Tensor], share: Tensor) -> Tensor:
    """Weighted mean of a warped, b warped, a, b. Weights of a hold the factor 1 − share, of b the factor share."""
    warped, still = preferences[0].exp(), [(p - UNWARPED).exp() for p in preferences[1:]]
    weights = [1 - share, share * warped, (1 - share) * still[0], share * still[1]]
    first, *others = (w * i for w, i in zip(weights, images, strict=True))
    return sum(others, first) / sum(weights[1:], weights[0])


def _padded(x: Tensor) -> Tensor:
    h, w = x.shape[-2:]
    return F.pad(x, (0, -w % SIDE_MULTIPLE, 0, -h % SIDE_MULTIPLE), mode="replicate")


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
