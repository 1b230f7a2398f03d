"""TIFF and OME-TIFF pictures, tiled or in strips, with their pyramid, through tifffile: one tile at a time."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..errors import DependencyError, InputError
from .slide_mpp import from_dots
from .slide_source import Facts, TiledSource, as_rgb, check_piece, damaged, levels_of, positive_pair

_UNITS_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
_PER_UNIT_UM = {2: 25400.0, 3: 10000.0, 4: 1000.0, 5: 1.0}
"""TIFF's ResolutionUnit (inch, centimetre; millimetre and micrometre are an extension) in micrometres."""
FORMAT_ERRORS = (ValueError, KeyError, IndexError, RuntimeError, OSError, NotImplementedError, ElementTree.ParseError)
"""What tifffile and imagecodecs raise for a file that is not as it says."""

# Of a damaged file tifffile also logs what it finds; without any handler Python would print that beside our own sentence.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def library(path: Path) -> Any:
    """The module `tifffile`. Raises DependencyError where it is missing."""
    try:
        import tifffile
    except ImportError as error:
        fix = "install tifffile and imagecodecs"
        raise DependencyError("tifffile is missing, which reads TIFF pictures", where=str(path), fix=fix) from error
    return tifffile


class TiffSource(TiledSource):
    """The first picture of a TIFF and its coarser levels. Raises InputError where it is no 8-bit colour or grey picture."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._file = library(path).TiffFile(path)
            series = self._file.series[0]
            self._pages = [_page(level, path) for level in series.levels]
        except FORMAT_ERRORS as error:
            raise InputError(f"the TIFF cannot be read ({error})", where=str(path), fix="copy or export it again") from error
        for page in self._pages:
            check_piece(path, math.prod(page.chunks) * page.dtype.itemsize)
        self.levels = levels_of([(page.imagewidth, page.imagelength) for page in self._pages])
        self.facts = _facts(self._file, self._pages[0])

    def tile_size(self, level: int) -> tuple[int, int]:
        page = self._pages[level]
        return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)

    def tile(self, level: int, row: int, column: int) -> np.ndarray:
        page = self._pages[level]
        th, tw = self.tile_size(level)
        across, down = -(-page.imagewidth // tw), -(-page.imagelength // th)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        parts = [self._segment(page, plane * across * down + row * across + column, (column * tw, row * th)) for plane in range(planes)]
        return as_rgb(_coloured(np.concatenate(parts, axis=-1), page), self.path)

    def _segment(self, page: Any, index: int, at: tuple[int, int]) -> np.ndarray:
        """(h, w, samples) of one tile or strip. Tiles that a sparse file leaves out are white."""
        try:
            offset, count = page.dataoffsets[index], page.databytecounts[index]
            if not count:
                return np.full((*self.tile_size(self._pages.index(page)), page.chunks[-1] if page.planarconfig == 1 else 1), 255, np.uint8)
            data = self._read(offset, count)
            segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        except FORMAT_ERRORS as error:
            raise damaged(self.path, *at, error) from error
        if segment is None:
            raise damaged(self.path, *at)
        return np.asarray(segment)[0, : shape[1], : shape[2]]

    def _read(self, offset: int, count: int) -> bytes:
        self._file.filehandle.seek(offset)
        data = self._file.filehandle.read(count)
        if len(data) < count:
            raise OSError("the file ends before")
        return data

    def close(self) -> None:
        super().close()
        self._file.close()


def _page(level: Any, path: Path) -> Any:
    """The page of a level that is one picture. Raises InputError for stacks, channels in pages and other depths."""
    page = level.pages[0].aspage() if hasattr(level.pages[0], "aspage") else level.pages[0]
    if len(level.pages) > 1:
        what = f"it holds {len(level.pages)} pages (axes {level.axes}), not one colour picture"
        raise InputError(what, where=str(path), fix="export one plane as 8-bit RGB")
    as_rgb(np.zeros((1, 1, _samples(page)), page.dtype), path)
    return page


def _samples(page: Any) -> int:
    return 3 if page.photometric == 3 else page.samplesperpixel


def _coloured(values: np.ndarray, page: Any) -> np.ndarray:
    """Palette and inverted grey turned into what is seen."""
    if page.photometric == 3:
        return (page.colormap >> 8).astype(np.uint8)[:, values[..., 0]].transpose(1, 2, 0)
    return 255 - values if page.photometric == 0 else values


def _facts(file: Any, page: Any) -> Facts:
    description = page.description or ""
    if file.is_ome:
        return Facts(*_ome_mpp(file.ome_metadata), vendor="ome", properties={"ome": file.ome_metadata})
    tags = {name: page.tags[name].value for name in ("XResolution", "YResolution", "ResolutionUnit") if name in page.tags}
    unit = _PER_UNIT_UM.get(int(tags.get("ResolutionUnit", 2)), 0.0)  # 1: the numbers have no unit
    dots = [_ratio(tags.get(name)) for name in ("XResolution", "YResolution")]
    mpp = positive_pair(*(unit / d if d else 0 for d in dots))
    properties = {"ImageDescription": description} | {name: str(value) for name, value in tags.items()}
    kept, warnings = from_dots(mpp, "TIFF XResolution")
    return Facts(kept, "TIFF XResolution" if kept else "", "tiff", properties, warnings=warnings)


def _ratio(value: Any) -> float:
    numerator, denominator = value if isinstance(value, tuple) else (value or 0, 1)
    return numerator / denominator if denominator else 0.0


def _ome_mpp(text: str) -> tuple[tuple[float, float] | None, str]:
    """(mpp, where it stands) of the first picture's PhysicalSizeX and Y; OME's unit is the micrometre where none is said."""
    root = ElementTree.fromstring(text)
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None, ""
    sizes = [
        float(pixels.get(f"PhysicalSize{axis}", 0)) * _UNITS_UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0.0) for axis in ("X", "Y")
    ]
    mpp = positive_pair(*sizes)
    return mpp, "OME PhysicalSizeX" if mpp else ""
