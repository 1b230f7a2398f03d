"""The slices of a region as the network reads and makes them: normalised, without padding, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import tiles
from ..intensity import Intensity
from ..run import Progress
from .ct_input import filled, padding_of
from .ct_network import Network
from .ct_region import Region

MORE_CONTEXT = 8
"""Pixels of context that a tile is tried with beyond those it gets, to see whether they matter."""


class Planes:
    """network: None for bicubic. grid: the tiles of a slice. inside: (z, y, x) bool, the mask, or None. batch: tiles at once."""

    def __init__(
        self, region: Region, network: Network | None, intensity: Intensity, grid: tiles.Plan, inside: np.ndarray | None, batch: int
    ) -> None:
        self._region, self._network, self._intensity, self._grid = region, network, intensity, grid
        self._inside, self._batch = inside, batch
        self._read: dict[int, np.ndarray] = {}

    def made(self, z: int, progress: Progress) -> np.ndarray | None:
        """(2, H, W) value and expected error of one slice in input units; None where the network has nothing to do there."""
        wanted = self._wanted(z)
        if self._network is None or not wanted.any():
            return None
        network, grid, stack = self._network, self._grid, self._stack(z)

        def make(group: Sequence[tiles.Tile]) -> list[np.ndarray]:
            first = grid.number(group[0])
            return self._make(network, group, stack, wanted, progress.part(first / grid.count, (first + len(group)) / grid.count))

        out = np.empty((2, *(network.factor * n for n in wanted.shape)), np.float32)
        for rows, values in tiles.blended(grid, make, scale=network.factor, channels=2, batch=self._batch):
            out[:, rows] = values
        out[0] = self._intensity.written(out[0])
        out[1] *= np.float32(self._intensity.scale)
        return out

    def try_a_tile(self, progress: Progress) -> dict[str, Any]:
        """Run one tile in the middle twice, the second time with more context: {"seconds_a_tile", and by how much the results differ
        in input units, "disagreement_rms" and "disagreement_largest"}; {} without a network.
        """
        if self._network is None:
            return {}
        middle = self._region.volume.shape[0] // 2
        stack, scale = self._stack(middle), self._network.factor
        tile = self._grid.tile(len(self._grid.rows.starts) // 2, len(self._grid.columns.starts) // 2)
        found = []
        for one in (replace(tile, context=tile.context + MORE_CONTEXT), tile):
            progress(0.0, "Trying a tile")
            began = time.perf_counter()
            found.append(one.kept(self._network.run([self._window(one, stack)])[0, 0], scale))
            seconds = time.perf_counter() - began
        difference = (found[0] - found[1]) * self._intensity.scale
        rms, largest = float(np.sqrt(np.mean(np.square(difference, dtype=np.float64)))), float(np.abs(difference).max())
        return {"seconds_a_tile": round(seconds, 4), "disagreement_rms": rms, "disagreement_largest": largest}

    def _wanted(self, z: int) -> np.ndarray:
        """(h, w) bool, where the network's result is used: in the mask, not in padding."""
        plane = self._region.volume.array[z]
        padding = padding_of(plane, self._intensity)
        wanted = np.ones(plane.shape, bool) if padding is None else ~padding
        return wanted if self._inside is None else wanted & self._inside[z]

    def _make(
        self, network: Network, group: Sequence[tiles.Tile], stack: np.ndarray, wanted: np.ndarray, progress: Progress
    ) -> list[np.ndarray]:
        """What is kept of each tile's result, normalised; nothing is computed, and 0 stands, where none of it is wanted."""
        used = [n for n, t in enumerate(group) if wanted[t.y : t.y + t.height, t.x : t.x + t.width].any()]
        shape = (2, network.factor * group[0].height, network.factor * group[0].width)
        kept = [np.zeros(shape, np.float32) for _ in group]
        progress(0.0)
        if used:
            made = network.run([self._window(group[n], stack) for n in used], progress)
            for n, values in zip(used, made, strict=True):
                kept[n] = group[n].kept(values, network.factor)
        return kept

    def _window(self, tile: tiles.Tile, stack: np.ndarray) -> np.ndarray:
        return tile.read(stack, self._region.offset[1:])

    def _stack(self, z: int) -> np.ndarray:
        """(slices, ...) the slices around one as the network reads them; the outermost go on for ever."""
        half = 0 if self._network is None else self._network.slices // 2
        numbers = [min(max(self._region.offset[0] + z + d, 0), len(self._region.around) - 1) for d in range(-half, half + 1)]
        self._read = {n: self._read[n] if n in self._read else self._normalised(n) for n in numbers}
        return np.stack([self._read[n] for n in numbers])

    def _normalised(self, number: int) -> np.ndarray:
        plane = self._region.around[number]
        return self._intensity.read(filled(plane, padding_of(plane, self._intensity)))
