"""Overlapping tiles on a 2-D grid: where each reads, what of it is kept, and how the kept parts blend into rows of the result.

A tile reads its kept pixels and `context` more on each side, which give its network what it looks at and are thrown away
after it. Where the context is as wide as the network looks, a kept pixel does not depend on the tile it lies in; where it
is narrower, neighbouring tiles differ a little, and the overlap of their kept parts turns that into a gradual change. The
result may be `scale` times finer than the input; rows come out from top to bottom, so that memory holds one row of tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import OptionError


@dataclass(frozen=True)
class Tile:
    """Kept pixels: rows [y, y + height), columns [x, x + width); read are `context` more on each side, beyond the image too."""

    y: int
    x: int
    height: int
    width: int
    context: int

    def read(self, image: np.ndarray, offset: tuple[int, int] = (0, 0)) -> np.ndarray:
        """(..., height + 2·context, width + 2·context) of `image` (..., h, w), whose edge values go on for ever.

        offset: (y, x) in `image` of the grid's pixel (0, 0), where `image` holds more than the grid.
        """
        ys, xs = (
            np.arange(start - self.context, start + size + self.context) + shift
            for start, size, shift in ((self.y, self.height, offset[0]), (self.x, self.width, offset[1]))
        )
        return image[..., ys.clip(0, image.shape[-2] - 1)[:, None], xs.clip(0, image.shape[-1] - 1)]

    def kept(self, made: np.ndarray, scale: int = 1) -> np.ndarray:
        """What is kept of a result (..., scale·(height + 2·context), scale·(width + 2·context))."""
        edge = self.context * scale
        return made[..., edge : edge + self.height * scale, edge : edge + self.width * scale]


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis of `length` pixels: each keeps `kept` of them from its start on, the first from 0, the last to the end.

    overlap: pixels that two neighbours share at least; the weights rise and fall over as many.
    """

    length: int
    starts: tuple[int, ...]
    kept: int
    overlap: int

    def weights(self, scale: int = 1) -> np.ndarray:
        """(tiles, scale·kept) float32: a squared sine at each inner side; at every pixel those of all tiles sum to one."""
        place = np.arange(self.kept * scale) + 0.5
        rise = np.sin(np.pi / 2 * (place / max(self.overlap * scale, 1)).clip(0, 1)) ** 2
        raw = np.ones((len(self.starts), len(place)))
        raw[1:] *= rise
        raw[:-1] *= rise[::-1]
        total = np.zeros(self.length * scale)
        for start, row in zip(self.starts, raw, strict=True):
            total[start * scale : start * scale + len(row)] += row
        ends = [(start * scale, start * scale + len(place)) for start in self.starts]
        return np.stack([row / total[a:b] for (a, b), row in zip(ends, raw, strict=True)]).astype(np.float32)


@dataclass(frozen=True)
class Plan:
    """Tiles of one size over a grid of rows.length × columns.length pixels. context: pixels each reads beyond what it keeps."""

    rows: Axis
    columns: Axis
    context: int

    @property
    def count(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def tile(self, row: int, column: int) -> Tile:
        return Tile(self.rows.starts[row], self.columns.starts[column], self.rows.kept, self.columns.kept, self.context)

    def number(self, tile: Tile) -> int:
        """How many tiles come before this one."""
        return self.rows.starts.index(tile.y) * len(self.columns.starts) + self.columns.starts.index(tile.x)

    def row(self, row: int) -> list[Tile]:
        """The tiles of one row, from left to right."""
        return [self.tile(row, column) for column in range(len(self.columns.starts))]


def plan(shape: tuple[int, int], *, size: int, context: int = 0, overlap: int = 0) -> Plan:
    """Tiles that read at most `size` pixels a side, all alike, as few as cover a grid of `shape` (h, w), and no larger than needed.

    Raises OptionError where nothing, or no more than the overlap, would be kept of a tile.
    """
    kept = size - 2 * context
    if kept <= overlap:
        least = 2 * context + overlap + 1
        raise OptionError(f"tiles of {size} pixels keep nothing beside context and overlap", where="{tile}", fix=f"give at least {least}")
    return Plan(_axis(shape[0], kept, overlap), _axis(shape[1], kept, overlap), context)


def _axis(length: int, kept: int, overlap: int) -> Axis:
    if kept >= length:
        return Axis(length, (0,), length, 0)
    count = math.ceil((length - overlap) / (kept - overlap))
    kept = math.ceil((length + (count - 1) * overlap) / count)
    starts = np.rint(np.linspace(0, length - kept, count)).astype(int)
    return Axis(length, tuple(int(s) for s in starts), kept, overlap)


Make = Callable[[Sequence[Tile]], Sequence[np.ndarray]]
"""Gives for each tile what is kept of its result: (channels, scale·height, scale·width)."""


def blended(plan: Plan, make: Make, *, scale: int = 1, channels: int = 1, batch: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
    """The result's rows from top to bottom, each once: (which rows, (channels, rows, scale·w) float32).

    make is called with up to `batch` tiles of one row at a time. Held are the rows that a row of tiles covers.
    """
    down, across = plan.rows.weights(scale), plan.columns.weights(scale)
    held = np.zeros((channels, plan.rows.kept * scale, plan.columns.length * scale), np.float32)
    ends = (*plan.rows.starts[1:], plan.rows.length)
    for row, (start, end) in enumerate(zip(plan.rows.starts, ends, strict=True)):
        columns = plan.row(row)
        for first in range(0, len(columns), batch):
            group = columns[first : first + batch]
            for number, (tile, values) in enumerate(zip(group, make(group), strict=True), first):
                weight = down[row][:, None] * across[number]
                held[:, :, tile.x * scale : (tile.x + tile.width) * scale] += values * weight
        done = (end - start) * scale
        yield slice(start * scale, end * scale), held[:, :done].copy()
        held[:, :-done] = held[:, done:]
        held[:, -done:] = 0
