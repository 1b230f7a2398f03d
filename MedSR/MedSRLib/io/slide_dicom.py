"""DICOM whole slides that OpenSlide refuses, through pydicom: one frame decoded at a time, whatever the file's size."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import InputError
from .slide_source import Facts, TiledSource, as_rgb, check_piece, damaged, levels_of, positive_pair

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_ITEM, _END = 0xE000FFFE, 0xE0DDFFFE
_PROBES = 16
"""Tiles whose borders are looked at where their order is not stated."""
_NOT_SQUARE = 1.05
"""Pixels that differ more in their sides are an exporter's guess, not a microscope's."""


class DicomSource(TiledSource):
    """One instance of a whole-slide DICOM, tiles in frames. Raises InputError where it is none, or is not tiled as it says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._header, start = _header(path)
        get = self._header.get
        size = int(get("TotalPixelMatrixColumns", 0) or 0), int(get("TotalPixelMatrixRows", 0) or 0)
        self._size = int(get("Rows", 0) or 0), int(get("Columns", 0) or 0)
        if min(*size, *self._size) < 1:
            raise InputError(
                "is not a tiled whole-slide DICOM", where=str(path), fix="give the slide's own file, not a report or a radiograph"
            )
        check_piece(path, self._size[0] * self._size[1] * int(get("SamplesPerPixel", 1)))
        self.levels = levels_of([size])
        self._across = -(-size[0] // self._size[1])
        self._frame_at = self._positions()
        self._pieces = _pieces(path, start, self._header, self._size)
        said = () if self._frame_at or get("DimensionOrganizationType", "") == "TILED_FULL" else self._guess_order()
        self.facts = _facts(self._header, size, said)

    def tile_size(self, level: int) -> tuple[int, int]:
        return self._size

    def tile(self, level: int, row: int, column: int) -> np.ndarray:
        at = column * self._size[1], row * self._size[0]
        number = self._frame_at.get((row, column)) if self._frame_at else row * self._across + column
        if number is None:
            return np.full((*self._size, 3), 255, np.uint8)  # a sparse slide leaves out frames without tissue
        if number >= len(self._pieces):
            raise damaged(self.path, *at, f"frame {number + 1} is missing")
        return self._decoded(number, at)

    def _positions(self) -> dict[tuple[int, int], int]:
        """{(row, column) of a tile: frame}, where the frames say their place; else empty: they follow row by row."""
        found: dict[tuple[int, int], int] = {}
        for number, frame in enumerate(self._header.get("PerFrameFunctionalGroupsSequence", None) or []):
            place = frame.get("PlanePositionSlideSequence", None)
            if not place:
                return {}
            y, x = int(place[0].RowPositionInTotalImagePixelMatrix) - 1, int(place[0].ColumnPositionInTotalImagePixelMatrix) - 1
            if y % self._size[0] or x % self._size[1]:
                raise InputError("its frames do not lie on one grid of tiles", where=str(self.path), fix="convert it to OME-TIFF")
            found[y // self._size[0], x // self._size[1]] = number
        return found

    def _guess_order(self) -> tuple[str, ...]:
        """Where the file does not say how its frames follow, row by row or column by column: as neighbours fit better."""
        down = -(-self.levels[0].height // self._size[0])
        by_row = {(r, c): r * self._across + c for r in range(down) for c in range(self._across)}
        by_column = {(r, c): c * down + r for r in range(down) for c in range(self._across)}
        if min(down, self._across) < 2 or len(self._pieces) < len(by_row):
            return ()
        self._frame_at = min((by_row, by_column), key=self._misfit)
        how = "row by row" if self._frame_at is by_row else "column by column"
        return (f"the file does not say in what order its tiles lie; they fit best {how}",)

    def _misfit(self, frame_at: dict[tuple[int, int], int]) -> float:
        """Mean grey step across the borders of a few whole tiles, under one order."""
        self._frame_at, steps = frame_at, []
        whole = [
            (r, c)
            for r, c in frame_at
            if (r + 1) * self._size[0] <= self.levels[0].height and (c + 1) * self._size[1] <= self.levels[0].width
        ]
        for row, column in whole[:: max(1, len(whole) // _PROBES)]:
            tile = self._tile(0, row, column).astype(int)
            if (row, column + 1) in whole:
                steps.append(np.abs(tile[:, -1] - self._tile(0, row, column + 1)[:, 0]).mean())
            if (row + 1, column) in whole:
                steps.append(np.abs(tile[-1] - self._tile(0, row + 1, column)[0]).mean())
        self._kept.clear()
        self._bytes = 0
        return float(np.mean(steps)) if steps else 0.0

    def _decoded(self, number: int, at: tuple[int, int]) -> np.ndarray:
        """One frame as RGB, through a copy of the header that holds this frame alone: the same in pydicom 2.4 and 3."""
        from pydicom.encaps import encapsulate

        offset, count = self._pieces[number]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(count)
        if len(data) < count:
            raise damaged(self.path, *at, "the file ends before")
        one = _single(self._header)
        one.PixelData = encapsulate([data]) if one.file_meta.TransferSyntaxUID.is_compressed else data
        one["PixelData"].VR = "OB"
        try:
            return as_rgb(_rgb(one), self.path)
        except (ValueError, RuntimeError, AttributeError, NotImplementedError, OSError) as error:
            raise damaged(self.path, *at, error) from error


def is_whole_slide(path: Path) -> bool:
    """Whether a DICOM file says that it is a whole slide."""
    try:
        return str(_header(path)[0].get("SOPClassUID", "")) == WHOLE_SLIDE
    except InputError:
        return False


def _header(path: Path) -> tuple[Any, int]:
    """(header, file offset where the pixel element begins)."""
    import pydicom

    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            header.walk(lambda *_: None)  # every element is read now, under this roof
        except (pydicom.errors.InvalidDicomError, ValueError, OSError, struct.error, EOFError) as error:
            raise InputError("the DICOM header cannot be read", where=str(path), fix="copy it again") from error
        return header, file.tell()


def _single(header: Any) -> Any:
    from pydicom.dataset import Dataset

    one = Dataset()
    for name in (
        "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
        "PixelRepresentation",
    ):  # fmt: skip
        if name in header:
            setattr(one, name, header[name].value)
    one.NumberOfFrames = 1
    one.file_meta = header.file_meta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom 2.4 asks for these, 3 says that it no longer does
        one.is_little_endian, one.is_implicit_VR = True, header.file_meta.TransferSyntaxUID.is_implicit_VR
    return one


def _rgb(one: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = one.pixel_array
    if not str(one.PhotometricInterpretation).startswith("YBR_FULL"):
        return values
    import pydicom

    if int(pydicom.__version__.split(".")[0]) >= 3:  # from 3 on, pixel_array itself turns YCbCr into RGB
        return values
    from pydicom.pixel_data_handlers.util import convert_color_space

    return convert_color_space(values, "YBR_FULL", "RGB")


def _pieces(path: Path, start: int, header: Any, size: tuple[int, int]) -> list[tuple[int, int]]:
    """(offset, bytes) of each frame in the file. Raises InputError where frames and fragments cannot be matched."""
    syntax = header.file_meta.TransferSyntaxUID
    count = int(header.get("NumberOfFrames", 1) or 1)
    with path.open("rb") as file:
        file.seek(start)
        first = _first_value(file, syntax.is_implicit_VR)
        if not syntax.is_compressed:
            length = size[0] * size[1] * int(header.SamplesPerPixel) * int(header.BitsAllocated) // 8
            return [(first + i * length, length) for i in range(count)]
        file.seek(first)
        fragments = list(_fragments(file))[1:]  # the first item is the offset table
    if len(fragments) > count:
        raise InputError("its frames are split into several fragments", where=str(path), fix="convert it to OME-TIFF")
    return fragments


def _first_value(file: BinaryIO, implicit: bool) -> int:
    """Where the value of the pixel element begins; the file stands at its tag."""
    return file.tell() + (8 if implicit else 12)


def _fragments(file: BinaryIO) -> Any:
    """(offset, bytes) of each item of an encapsulated pixel element, up to its end or to the file's."""
    while len(head := file.read(8)) == 8:
        tag, length = struct.unpack("<II", head)
        if tag != _ITEM:
            return
        yield file.tell(), length
        file.seek(length, 1)


def _facts(header: Any, size: tuple[int, int], said: tuple[str, ...]) -> Facts:
    mpp, source, more = _mpp(header, size)
    names = ("Manufacturer", "ManufacturerModelName", "SeriesInstanceUID", "SOPInstanceUID", "PhotometricInterpretation")
    properties = {name: str(header.get(name, "")) for name in names}
    return Facts(mpp, source, "dicom", properties, warnings=said + more)


def _mpp(header: Any, size: tuple[int, int]) -> tuple[tuple[float, float] | None, str, tuple[str, ...]]:
    """By PixelSpacing (rows first), else by the imaged volume's sides, if that makes square pixels."""
    shared = (header.get("SharedFunctionalGroupsSequence", None) or [{}])[0]
    spacing = (shared.get("PixelMeasuresSequence", None) or [{}])[0].get("PixelSpacing", None)
    if spacing and (pair := positive_pair(spacing[1], spacing[0])):
        return (pair[0] * 1000, pair[1] * 1000), "DICOM PixelSpacing", ()
    sides = positive_pair(header.get("ImagedVolumeWidth", None), header.get("ImagedVolumeHeight", None))
    if sides is None:
        return None, "", ()
    pair = sides[0] * 1000 / size[0], sides[1] * 1000 / size[1]
    if max(pair) > _NOT_SQUARE * min(pair):
        said = f"its imaged volume would make pixels of {pair[0]:.3g} x {pair[1]:.3g} µm, which are not square; it is not believed"
        return None, "", (said,)
    return pair, "DICOM ImagedVolumeWidth", ()
