"""Pictures of any size as pyramidal, tiled OME-TIFF, written band by band: memory holds a few rows of tiles, whatever the size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError, OutputError
from . import slabs
from .atomic import replacing_file
from .slide_tiff import library

TILE = 512
LEAST_SIDE = 1024
"""Levels are halved until the longer side is no longer than this."""
COMPRESSIONS = ("deflate", "jpeg")
"""deflate keeps every pixel; jpeg is smaller."""
JPEG_QUALITY = 90
BATCH_BYTES = 2**26
"""Tiles compressed at a time."""
BIG_BYTES = 2**32 - 2**26
"""From this size on the file needs 64-bit offsets (BigTIFF)."""


def write_pyramid(
    path: str | Path,
    bands: Iterable[np.ndarray],
    size: tuple[int, int],
    mpp_um: tuple[float, float],
    *,
    compression: str = "deflate",
    name: str = "",
) -> None:
    """Write an OME-TIFF with its coarser levels, each the mean of 2 x 2 pixels of the one before.

    bands: (rows, width, 3) uint8 from top to bottom, of any heights. size: (width, height). mpp_um: (x, y) of its pixels.
    The file appears when it is whole; after a failure, or a cancel raised by `bands`, what was there is as it was. The levels
    wait in a temporary file a third as large as the uncompressed picture. Raises OutputError where the system refuses or the
    bands do not make up the picture, OptionError for an unknown compression.
    """
    path = Path(path).expanduser()
    if compression not in COMPRESSIONS:
        raise OptionError(f"{compression!r} is no compression for slides", fix="use deflate or jpeg")
    sizes = level_sizes(size)
    with replacing_file(path) as file:
        tifffile = library(path)
        big = sum(w * h for w, h in sizes) * 3 >= BIG_BYTES
        with tifffile.TiffWriter(file, bigtiff=big, ome=True) as writer:
            first = {"subifds": len(sizes) - 1, "metadata": _metadata(mpp_um, name or path.name)}
            rows = _checked(bands, size, path)
            for number, (width, height) in enumerate(sizes):
                spool = _spool(sizes[number + 1]) if number + 1 < len(sizes) else None
                more = first if number == 0 else {"subfiletype": 1, "metadata": None}
                scale = [mpp * 2**number for mpp in mpp_um]
                writer.write(_tiles(rows, width, spool), shape=(height, width, 3), **_facts(compression, scale), **more)
                rows = _rows_of(spool) if spool is not None else iter(())


def level_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """(width, height) of each level, finest first. An odd last row or column makes a pixel of its own."""
    sizes = [size]
    while max(sizes[-1]) > LEAST_SIDE:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def _facts(compression: str, mpp_um: list[float]) -> dict[str, Any]:
    """Keywords of tifffile for one level."""
    facts: dict[str, Any] = {
        "dtype": np.uint8, "photometric": "rgb", "tile": (TILE, TILE), "resolution": (1e4 / mpp_um[0], 1e4 / mpp_um[1]),
        "resolutionunit": "CENTIMETER", "software": "MedSR", "maxworkers": 2, "buffersize": BATCH_BYTES,
    }  # fmt: skip
    if compression == "jpeg":
        return facts | {"compression": "jpeg", "compressionargs": {"level": JPEG_QUALITY}}
    return facts | {"compression": "zlib", "predictor": True, "compressionargs": {"level": 6}}


def _metadata(mpp_um: tuple[float, float], name: str) -> dict[str, Any]:
    x, y = mpp_um
    return {"axes": "YXS", "Name": name, "PhysicalSizeX": x, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": y, "PhysicalSizeYUnit": "µm"}


def _checked(bands: Iterable[np.ndarray], size: tuple[int, int], path: Path) -> Iterator[np.ndarray]:
    """The bands, none too wide, too many or missing: a file that looks whole must be."""
    done = 0
    for band in bands:
        if band.dtype != np.uint8 or band.shape[1:] != (size[0], 3) or done + len(band) > size[1]:
            raise OutputError(f"a band of {band.shape} {band.dtype} does not fit a picture of {size[0]} x {size[1]}", where=str(path))
        done += len(band)
        yield band
    if done < size[1]:
        raise OutputError(f"the picture ended after {done} of {size[1]} rows, nothing was written", where=str(path))


def _spool(size: tuple[int, int]) -> np.ndarray:
    return slabs.new_array((size[1], size[0], 3), np.uint8)


def _rows_of(spool: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(spool), TILE):
        yield spool[start : start + TILE]
        slabs.release(spool)


def _tiles(rows: Iterator[np.ndarray], width: int, spool: np.ndarray | None) -> Iterator[np.ndarray]:
    """(TILE, TILE, 3) from left to right, then down; on the way the halved rows go into `spool`."""
    place = 0
    for row in _tile_rows(rows):
        if spool is not None:
            half = _halved(row)
            spool[place : place + len(half)] = half
            place += len(half)
            slabs.release(spool)
        padded = np.zeros((TILE, -(-width // TILE) * TILE, 3), np.uint8)
        padded[: len(row), :width] = row
        for x in range(0, width, TILE):
            yield np.ascontiguousarray(padded[:, x : x + TILE])


def _tile_rows(bands: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Bands of any height as bands of TILE rows, the last with what is left."""
    held: list[np.ndarray] = []
    count = 0
    for band in bands:
        while len(band):
            part, band = band[: TILE - count], band[TILE - count :]
            held.append(part)
            count += len(part)
            if count == TILE:
                yield np.concatenate(held)
                held, count = [], 0
    if held:
        yield np.concatenate(held)


def _halved(rows: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, half rounded up; a single last row or column counts twice."""
    even = np.pad(rows, ((0, len(rows) % 2), (0, rows.shape[1] % 2), (0, 0)), mode="edge")
    down = even[::2].astype(np.uint16) + even[1::2]
    return ((down[:, ::2] + down[:, 1::2] + 2) >> 2).astype(np.uint8)
