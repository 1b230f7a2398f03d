"""What the networks that match two pictures share: correlation, its normalisation, regression, thin-plate splines.

Positions are PyTorch's of `grid_sample` with align_corners=False: (x, y), the picture's outer edges at −1 and 1, the centre of
pixel i of w at (2i + 1) / w − 1. A transform maps a position in the fixed picture (MRI) to one in the moving picture (slide):
reading the moving picture there shows it on the fixed one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Eq. 1 of Shi et al. 2023: C_ab(i, j, k) = f_B(i, j)ᵀ f_A(i_k, j_k), k = h (j_k − 1) + i_k counted from 1.

    a, b: (n, d, h, w) features. → (n, h · w, h, w): at each place (row i, column j) of b its product with every place of a,
    column after column. h is the height (the text calls it width). Eq. 2 calls the MRI A, eq. 1's source of ProsRegNet has
    the moving picture there: here a is the moving picture, b the fixed one, in whose places the transform is asked for.
    """
    products = torch.einsum("ndij,ndrc->ncrij", b, a)
    return products.flatten(1, 2)


def directions(features: Tensor) -> Tensor:
    """(n, d, h, w) less its mean over the places, then length 1 at each place.

    Without the mean taken away, two extractors that were not trained together can have correlations of one sign only, which
    the ReLU then passes whole or blocks whole, gradient and all.
    """
    return F.normalize(features - features.mean((2, 3), keepdim=True), dim=1)


def normalised(correlations: Tensor) -> Tensor:
    """ReLU, then L2 norm 1 over k at each place: a place that matches several others equally well counts less (ProsRegNet)."""
    return F.normalize(F.relu(correlations), dim=1)


class Regression(nn.Module):
    """(n, k, grid, grid) normalised correlations → (n, outputs): (convolution, batch norm, ReLU) twice, then one linear layer.

    Kernels 7 and 5 without padding, 128 and 64 channels, as ProsRegNet. The linear layer starts at zero with the bias `start`.
    Raises ValueError for a grid below 11, which the kernels do not leave anything of.
    """

    def __init__(self, grid: int, start: Tensor) -> None:
        super().__init__()
        if grid < 11:
            raise ValueError(f"a grid of {grid} is too small for kernels of 7 and 5: at least 11")
        layers = [nn.Conv2d(grid**2, 128, 7), nn.BatchNorm2d(128), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(128, 64, 5), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(64 * (grid - 10) ** 2, start.numel())
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(start.flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.layers(x).flatten(1))


def resized(features: Tensor, grid: int) -> Tensor:
    """(n, d, h, w) → (n, d, grid, grid), bilinear over the area that each place covers; edges stay where they are."""
    return F.interpolate(features, (grid, grid), mode="bilinear", align_corners=False, antialias=True)


def warped(moving: Tensor, positions: Tensor) -> Tensor:
    """moving (n, c, h, w) read at positions (n, rows, columns, 2), bilinear, edge values outside."""
    return F.grid_sample(moving, positions, mode="bilinear", padding_mode="border", align_corners=False)


def affine_positions(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, rows, columns, 2): where the pixel centres of a fixed picture of `size` lie in the moving one. theta: (n, 2, 3)."""
    return F.affine_grid(theta, [len(theta), 1, *size], align_corners=False)


def control_points(side: int = 6) -> Tensor:
    """(side², 2) positions (x, y) from −1 to 1, row by row."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """U(r) = r² log r² between (m, 2) and (n, 2) points; 0 at r = 0."""
    square = (a[:, None] - b[None]).square().sum(-1)
    return square * square.clamp_min(1e-12).log()


def thin_plate_matrix(points: Tensor, places: Tensor) -> Tensor:
    """Bookstein 1989: (p, m), times where points (m, 2) are moved to gives where the smoothest such map takes places (p, 2).

    f(q) = a + B q + Σ wᵢ U(|q − pᵢ|) with Σ wᵢ = 0, Σ wᵢ pᵢ = 0, linear in what f(pᵢ) shall be; affine maps have w = 0.
    """
    m = len(points)
    ones = torch.cat([points.new_ones(m, 1), points], 1)
    system = torch.cat([torch.cat([_kernel(points, points), ones], 1), torch.cat([ones.T, ones.new_zeros(3, 3)], 1)])
    basis = torch.cat([_kernel(places, points), places.new_ones(len(places), 1), places], 1)
    return basis @ torch.linalg.inv(system)[:, :m]


def thin_plate(points: Tensor, moved: Tensor, places: Tensor) -> Tensor:
    """The map that takes points (m, 2) to moved (n, m, 2), at places (p, 2): (n, p, 2)."""
    return thin_plate_matrix(points, places) @ moved
