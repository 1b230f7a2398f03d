"""Alveolar foam: cells of a quarter millimetre between thin septa, some open to each other, of any mean density.

Septa lie where the two nearest of many random points are equally far (a Voronoi foam; Worley, SIGGRAPH 1996, computes it so).
"""

from __future__ import annotations

import numpy as np

ALVEOLUS_MM = 0.23
"""Mean distance of the cells' points. An alveolus has 4.2e6 µm³, the ball of 0.20 mm (Ochs et al., "The number of alveoli in the
human lung", AJRCCM 2004), or up to 6.6e6 µm³, 0.23 mm (Reimelt et al., "Analysis of the alveolar shape in 3-D", 2024)."""
OPEN = 0.3
"""Share of neighbouring cells without a septum between: alveoli open to ducts."""
TISSUE_HU, AIR_HU = 40.0, -1000.0
BANK = 80
"""Voxels a side of the periodic block that foam is taken from."""


class Foam:
    """micro_mm: voxel. rng: where the cells are, and how the block is laid out."""

    def __init__(self, micro_mm: float, rng: np.random.Generator) -> None:
        self.micro_mm = micro_mm
        self.block = septa(BANK, max(2, round(BANK * micro_mm / ALVEOLUS_MM)), rng)
        self.seed = int(rng.integers(2**32))

    def render(self, z_mm: np.ndarray, mean_hu: np.ndarray) -> np.ndarray:
        """(n, h, w) float32 HU at heights `z_mm` (n,); `mean_hu` (h, w) is the local mean. The tissue is spread over the septa.

        The block is repeated, but from another place and mirrored another way each time: only septa end at the seams.
        """
        rng = np.random.default_rng(self.seed)
        out = np.empty((len(z_mm), *mean_hu.shape), np.float32)
        scaled = (mean_hu - AIR_HU).astype(np.float32)
        z = np.rint(z_mm / self.micro_mm).astype(int)
        for top in range(0, mean_hu.shape[0], BANK):
            for left in range(0, mean_hu.shape[1], BANK):
                tile = np.s_[top : top + BANK, left : left + BANK]
                h, w = scaled[tile].shape
                shift, mirrored = rng.integers(BANK, size=3), rng.choice([-1, 1], size=3)
                index = [np.mod(shift[k] + mirrored[k] * at, BANK) for k, at in enumerate((z, np.arange(h), np.arange(w)))]
                out[:, *tile] = AIR_HU + self.block[np.ix_(*index)] * scaled[tile]
        return out


def septa(side: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, side) float32, periodic, mean 1: how much of the foam's tissue a voxel holds. `cells` points along each axis."""
    points = rng.random((cells, cells, cells, 3), dtype=np.float32)
    at = (np.arange(side, dtype=np.float32) + 0.5) * (cells / side)
    base = np.floor(at).astype(int)
    inside = at - base
    nearest = np.full((side,) * 3, np.inf, np.float32)
    second, first_cell, second_cell = nearest.copy(), np.zeros((side,) * 3, np.int32), np.zeros((side,) * 3, np.int32)
    for offset in np.ndindex(3, 3, 3):
        step = np.array(offset) - 1
        index = [np.mod(base + s, cells) for s in step]
        own = points[np.ix_(*index)]
        away = sum(np.square(own[..., k] + step[k] - inside.reshape([-1 if a == k else 1 for a in range(3)])) for k in range(3))
        cell = np.ravel_multi_index(np.ix_(*index), (cells,) * 3).astype(np.int32)
        closer, between = away < nearest, (away >= nearest) & (away < second)
        second_cell = np.where(closer, first_cell, np.where(between, cell, second_cell))
        second = np.where(closer, nearest, np.where(between, away, second))
        first_cell, nearest = np.where(closer, cell, first_cell), np.where(closer, away, nearest)
    return _tissue(np.sqrt(second) - np.sqrt(nearest), first_cell, second_cell, side / cells)


def _tissue(gap: np.ndarray, first: np.ndarray, second: np.ndarray, voxels: float) -> np.ndarray:
    """A septum is thinner than a voxel: what a voxel holds of it falls off over one voxel; none where two cells are open to each other.

    gap: second minus nearest distance in cells, twice the distance to the septum. voxels: size of a cell.
    """
    pair = (np.minimum(first, second).astype(np.int64) * 73_856_093) ^ (np.maximum(first, second).astype(np.int64) * 19_349_663)
    closed = (pair % 1000) >= 1000 * OPEN
    share = np.clip(1 - gap * voxels / 2 / 0.9, 0, 1) * closed + 0.08
    return (share / share.mean()).astype(np.float32)
