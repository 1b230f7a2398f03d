"""Where a slide's pixels come from: pyramid levels, whole pixels of one level, tiles kept a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import InputError, ResourceError

CACHE_BYTES = 2**27
"""Decoded tiles kept for the next rows."""
LARGEST_PIECE = 2**29
"""A tile, strip or picture that decodes to more is refused: it cannot be read in part."""


@dataclass(frozen=True)
class Level:
    """One resolution of a slide. width, height: pixels. step: (x, y) size of its pixel in level-0 pixels."""

    width: int
    height: int
    step: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Facts:
    """What a file says about itself.

    mpp_um: (x, y) micrometres per level-0 pixel, None where it does not say. mpp_source: the field that says it.
    vendor: "aperio", "ome", "tiff", … properties: whatever else it states, as text. background: RGB outside of the slide.
    """

    mpp_um: tuple[float, float] | None = None
    mpp_source: str = ""
    vendor: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    background: tuple[int, int, int] = (255, 255, 255)
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Pixels of one slide, level by level, finest first."""

    levels: tuple[Level, ...]
    facts: Facts

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 of a rectangle that lies within the level. Raises InputError where it is damaged."""
        ...

    def close(self) -> None: ...


def levels_of(sizes: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    """Levels with their pixel sizes from their (width, height), finest first.

    Writers halve (or quarter) and drop or keep what is left over at the right and lower edge; the pixel is then a whole number
    of level-0 pixels, not the quotient of the widths, which would stretch the picture.
    """
    full = sizes[0]
    return tuple(Level(w, h, _step(full, (w, h))) for w, h in sizes)


def _step(full: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    ratio = (full[0] / size[0], full[1] / size[1])
    whole = round(ratio[0])
    if all(n in (f // whole, -(-f // whole)) for f, n in zip(full, size, strict=True)):
        return float(whole), float(whole)
    return ratio


def damaged(path: Path, x: int, y: int, reason: object = "") -> InputError:
    """The sentence for a place of a slide that cannot be decoded."""
    detail = f" ({reason})" if str(reason) else ""
    return InputError(f"the slide cannot be read at pixel ({x}, {y}): truncated or damaged{detail}", where=str(path), fix="copy it again")


def check_piece(path: Path, size: int) -> None:
    """Raise ResourceError where one piece of a file (`size` bytes decoded) is too large to be held."""
    if size > LARGEST_PIECE:
        what = f"it is stored in pieces of {size / 2**30:.1f} GB, which cannot be read in part"
        raise ResourceError(what, where=str(path), fix="save it as a tiled TIFF, for example with QuPath or vips")


class TiledSource:
    """Whole pixels out of tiles: a subclass says its tile sizes and decodes one tile. Strips are tiles as wide as the level."""

    levels: tuple[Level, ...]
    facts: Facts

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._bytes = 0

    def tile_size(self, level: int) -> tuple[int, int]:
        """(height, width) of the tiles of a level."""
        raise NotImplementedError

    def tile(self, level: int, row: int, column: int) -> np.ndarray:
        """(h, w, 3) uint8: one decoded tile; at the right and lower edge it may be smaller or larger than what is left."""
        raise NotImplementedError

    def close(self) -> None:
        self._kept.clear()

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See Source.read."""
        th, tw = self.tile_size(level)
        out = np.empty((height, width, 3), np.uint8)
        for row in range(y // th, -(-(y + height) // th)):
            for column in range(x // tw, -(-(x + width) // tw)):
                y0, x0 = max(row * th, y), max(column * tw, x)
                target = out[y0 - y : (row + 1) * th - y, x0 - x : (column + 1) * tw - x]
                tile = self._tile(level, row, column)[y0 - row * th :, x0 - column * tw :]
                if tile.shape[0] < target.shape[0] or tile.shape[1] < target.shape[1]:
                    raise damaged(self.path, x0, y0, "a tile is smaller than stated")
                target[...] = tile[: target.shape[0], : target.shape[1]]
        return out

    def _tile(self, level: int, row: int, column: int) -> np.ndarray:
        key = level, row, column
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        tile = self.tile(level, row, column)
        self._kept[key] = tile
        self._bytes += tile.nbytes
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return tile


def as_rgb(values: np.ndarray, path: Path) -> np.ndarray:
    """(h, w) grey, (h, w, 1), (h, w, 3) or (h, w, 4) uint8 → (h, w, 3). Alpha is laid over white.

    Raises InputError for what is no 8-bit colour or grey picture.
    """
    if values.dtype != np.uint8:
        raise InputError(f"its pixels are {values.dtype}, not 8-bit colour", where=str(path), fix="export it as 8-bit RGB")
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[-1] == 1:
        return np.repeat(values, 3, axis=-1)
    if values.shape[-1] == 3:
        return values
    if values.shape[-1] == 4:
        return over(values, (255, 255, 255))
    raise InputError(f"it has {values.shape[-1]} channels and is no colour picture", where=str(path), fix="export it as 8-bit RGB")


def over(rgba: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """(h, w, 4) uint8 laid over one colour → (h, w, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    mixed = rgba[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def positive_pair(x: Any, y: Any) -> tuple[float, float] | None:
    """Two stated sizes as numbers, None where either is missing or not positive."""
    try:
        pair = float(x), float(y)
    except (TypeError, ValueError):
        return None
    return pair if all(np.isfinite(pair)) and min(pair) > 0 else None
