"""Vision transformer of DINO: Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021.

Dosovitskiy et al. 2021: the image is cut into patches of 16 × 16 pixels, each becomes a token, a class token comes first and
learned positions are added: z0 = [c; x1 E; …; xN E] + P. Each of `depth` blocks then does
    z ← z + MSA(LN(z)),   z ← z + MLP(LN(z)),   MSA: softmax(Q Kᵀ / √d) V by head,   MLP: 4 × wide, GELU,
and a last LN. Shi et al. 2023 take two ViT-S/16 (384 numbers a token, 12 blocks, 6 heads; the 348 of their table is a slip),
one for MRI and one for slides. What they leave open: which tokens are the features (here those of the last block, normalised),
and how images of another size than in training get their positions (here bicubic interpolation of P, as Caron et al.).
Parameters carry the names of the authors' code, so that a file of weights of theirs loads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = {"compact": (192, 6, 3), "tiny": (192, 12, 3), "small": (384, 12, 6)}
"""Numbers a token, blocks, heads. small is S/16 and tiny is Ti/16 as published; compact, 11.5 MB in float32, is what ships."""


MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue over ImageNet, as the authors standardise what goes in. Without it tissue on bright glass differs too little
from picture to picture: DINO then learns to say the same of all of them."""


class Attention(nn.Module):
    """Multi-headed self-attention, (n, tokens, width) → the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class Mlp(nn.Module):
    """Two layers, the inner one four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP, each after a layer norm and around a short cut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """(n, channels, h, w) → (n, width, h / patch, w / patch)."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image)


class DinoVit(nn.Module):
    """Image (n, 1 or channels, h, w) → tokens; h and w are multiples of `patch`.

    size: of SIZES. side: pixels a side for which positions are kept, 224 as published. Intensities: about 0 to 1. A single channel
    is repeated, so that MRI and slides, and weights trained on colour photographs, need the same network.
    Raises ValueError for an unknown size, a side that is no multiple of patch, and images that cannot be cut into patches or have
    other channels.
    """

    def __init__(self, size: str = "compact", patch: int = 16, side: int = 224, channels: int = 3) -> None:
        super().__init__()
        if size not in SIZES or side % patch:
            raise ValueError(f"size must be one of {', '.join(SIZES)} and side a multiple of {patch}; not {size}, {side}")
        self.width, depth, heads = SIZES[size]
        self.patch, self.channels, self.places = patch, channels, side // patch
        self.patch_embed = PatchEmbed(channels, self.width, patch)
        self.cls_token = nn.Parameter(torch.empty(1, 1, self.width))
        self.pos_embed = nn.Parameter(torch.empty(1, self.places**2 + 1, self.width))
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.blocks = nn.ModuleList(Block(self.width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(self.width, eps=1e-6)
        self._initialise()

    def _initialise(self) -> None:
        """Truncated normal of 0.02, biases zero, as published."""
        for values in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(values, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows · columns, width): the class token's own, then those of the patches, interpolated where they differ."""
        if (rows, columns) == (self.places, self.places):
            return self.pos_embed
        first, rest = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        rest = rest.view(1, self.places, self.places, self.width).permute(0, 3, 1, 2)
        rest = F.interpolate(rest, (rows, columns), mode="bicubic", align_corners=False)
        return torch.cat([first, rest.flatten(2).transpose(1, 2)], 1)

    def tokens(self, image: Tensor) -> Tensor:
        """(n, 1 + patches, width) after the last norm, the class token first, patches row by row."""
        n, channels, h, w = image.shape
        if h % self.patch or w % self.patch or channels not in (1, self.channels):
            raise ValueError(f"images of 1 or {self.channels} channels, sides multiples of {self.patch}; not {tuple(image.shape)}")
        standard = (image.expand(-1, self.channels, -1, -1) - self.mean) / self.deviation
        x = self.patch_embed(standard).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(n, -1, -1), x], 1) + self.positions(h // self.patch, w // self.patch)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, image: Tensor) -> Tensor:
        """(n, width): the class token."""
        return self.tokens(image)[:, 0]

    def dense(self, image: Tensor) -> Tensor:
        """(n, width, h / patch, w / patch): the patch tokens."""
        h, w = image.shape[-2:]
        return self.tokens(image)[:, 1:].transpose(1, 2).unflatten(2, (h // self.patch, w // self.patch))


class DinoHead(nn.Module):
    """Projection head of DINO's training, (n, inputs) → (n, outputs); thrown away afterwards.

    Three layers with GELU, `hidden` wide, to `bottleneck` numbers that are L2-normalised, then a linear layer whose rows
    have length 1. Published: 2048, 256, 65536 outputs.
    """

    def __init__(self, inputs: int, outputs: int = 65536, hidden: int = 2048, bottleneck: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Linear(inputs, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        ]
        self.mlp = nn.Sequential(*layers)
        self.last = nn.Parameter(torch.randn(outputs, bottleneck) / math.sqrt(bottleneck))
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.normalize(self.mlp(x), dim=-1), F.normalize(self.last, dim=-1))
