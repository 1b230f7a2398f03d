"""Slides: any region at any micrometres per pixel, in bounded memory, out of any format. Geometry: see geometry_plane.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from ..errors import InputError, OptionError
from ..geometry_plane import Window, window
from .slide_area import Axis, weighted
from .slide_mpp import missing_mpp
from .slide_source import Level, Source

BLOCK_PIXELS = 2**22
"""Source pixels read at a time: about 100 MB with what is made of them."""
ROUNDING = 1e-3
"""A level counts as fine enough for a picture whose pixels are smaller by no more than this share."""
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
TIFFS = (".tif", ".tiff", ".btf", ".tf8")


@dataclass(frozen=True)
class Slide:
    """A picture too large to be held. Close it, or use it in a `with`.

    path: the file. source: its pixels. mpp_um: (x, y) micrometres per level-0 pixel, None where nobody says.
    mpp_source: the field that says it, or "given". warnings: sentences a user should see.
    """

    path: Path
    source: Source
    mpp_um: tuple[float, float] | None
    mpp_source: str
    warnings: tuple[str, ...] = ()

    @property
    def levels(self) -> tuple[Level, ...]:
        """Finest first."""
        return self.source.levels

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in level-0 pixels."""
        return self.levels[0].width, self.levels[0].height

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The whole slide, as Window.box."""
        return 0.0, 0.0, float(self.size[0]), float(self.size[1])

    @property
    def vendor(self) -> str:
        return self.source.facts.vendor

    @property
    def properties(self) -> Mapping[str, str]:
        """What the file states beside, as text."""
        return self.source.facts.properties

    def require_mpp(self) -> tuple[float, float]:
        """(x, y) micrometres per level-0 pixel. Raises InputError where nobody says."""
        if self.mpp_um is None:
            raise missing_mpp(str(self.path))
        return self.mpp_um

    def with_mpp(self, mpp_um: float | tuple[float, float]) -> Slide:
        """The same slide with another pixel size, in micrometres. Raises OptionError where it is not positive."""
        x, y = (float(v) for v in np.broadcast_to(mpp_um, 2))
        if not (np.isfinite([x, y]).all() and min(x, y) > 0):
            raise OptionError(f"{mpp_um} micrometres per pixel are not positive", where="{mpp}")
        return replace(self, mpp_um=(x, y), mpp_source="given")

    def window(self, mpp_um: float, box: tuple[float, float, float, float] | None = None) -> Window:
        """The grid of `box` (level-0 pixels; the whole slide where None) at about `mpp_um`: the box is kept, whole pixels cut it.

        The exact pixel size is Window.step times the slide's own. Raises InputError where the slide's pixel size is unknown.
        """
        x, y = self.require_mpp()
        return window(box or self.box, (mpp_um / x, mpp_um / y))

    def window_within(self, most_bytes: int, box: tuple[float, float, float, float] | None = None) -> Window:
        """The finest grid of `box` whose RGB picture takes no more than `most_bytes`; never finer than level 0."""
        x0, y0, x1, y1 = box or self.box
        step = max(1.0, float(np.sqrt((x1 - x0) * (y1 - y0) * 3 / most_bytes)))
        while (grid := window((x0, y0, x1, y1), (step, step))).shape[0] * grid.shape[1] * 3 > most_bytes and max(grid.shape) > 1:
            step *= 1.01
        return grid

    def mpp_of(self, grid: Window) -> tuple[float, float]:
        """(x, y) micrometres per pixel of a picture on this slide. Raises InputError where the slide's is unknown."""
        x, y = self.require_mpp()
        return grid.step[0] * x, grid.step[1] * y

    def level_for(self, grid: Window) -> int:
        """The coarsest level that is as fine as the picture in both directions."""
        fine = [
            i for i, level in enumerate(self.levels) if all(a <= b * (1 + ROUNDING) for a, b in zip(level.step, grid.step, strict=True))
        ]
        return max(fine, default=0)

    def read(self, grid: Window, level: int | None = None) -> np.ndarray:
        """(h, w, 3) uint8 RGB on `grid`, each pixel the mean over its area; what lies outside of the slide has its background.

        level: which to read from; None takes `level_for`. Raises InputError where the grid lies outside of the slide, or where
        the file is damaged there.
        """
        out = np.empty((*grid.shape, 3), np.uint8)
        for rows, band in self.bands(grid, level):
            out[rows] = band
        return out

    def bands(self, grid: Window, level: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """`read` in bands from top to bottom, each once: (which rows, (rows, w, 3)). Memory does not grow with the slide."""
        self._check_inside(grid)
        number = self.level_for(grid) if level is None else level
        per_row = self._source_pixels(grid, number)
        height = max(1, int(BLOCK_PIXELS / max(per_row, 1)))
        for start in range(0, grid.shape[0], height):
            stop = min(start + height, grid.shape[0])
            yield slice(start, stop), self._band(grid.rows(start, stop), number)

    def _source_pixels(self, grid: Window, number: int) -> float:
        """Level pixels that one row of the picture is made of."""
        step = self.levels[number].step
        return grid.shape[1] * grid.step[0] / step[0] * max(grid.step[1] / step[1], 1)

    def _check_inside(self, grid: Window) -> None:
        x0, y0, x1, y1 = grid.box
        if x1 <= 0 or y1 <= 0 or x0 >= self.size[0] or y0 >= self.size[1]:
            where = f"x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"
            raise InputError(f"the region {where} lies outside of the slide ({self.size[0]} x {self.size[1]} pixels)", where=str(self.path))

    def _band(self, grid: Window, number: int) -> np.ndarray:
        """One band, cut into blocks of columns where its rows are very long."""
        pieces = max(1, int(np.ceil(self._source_pixels(grid, number) * grid.shape[0] / (2 * BLOCK_PIXELS))))
        cuts = np.linspace(0, grid.shape[1], min(pieces, grid.shape[1]) + 1).astype(int)
        parts = [self._block(grid, number, a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _block(self, grid: Window, number: int, first: int, last: int) -> np.ndarray:
        level = self.levels[number]
        across = Axis(grid.box[0] + np.arange(first, last + 1) * grid.step[0], level.step[0], level.width, self.size[0])
        down = Axis(grid.box[1] + np.arange(grid.shape[0] + 1) * grid.step[1], level.step[1], level.height, self.size[1])
        pixels = self.source.read(number, across.start, down.start, across.count, down.count)
        mean = weighted(pixels, down, across)
        if not (down.is_inside and across.is_inside):
            inside = np.outer(down.inside, across.inside)[..., None]
            mean = mean * inside + np.array(self.source.facts.background, np.float32) * (1 - inside)
        return (mean + np.float32(0.5)).astype(np.uint8)

    def close(self) -> None:
        self.source.close()

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_slide(path: str | Path, mpp_um: float | tuple[float, float] | None = None) -> Slide:
    """Open a whole slide or a picture. mpp_um: micrometres per level-0 pixel, where the file does not say or is wrong.

    Raises InputError for what is no slide, DependencyError where the library that reads it is missing.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="check the path")
    source = _source(path)
    facts = source.facts
    slide = Slide(path, source, facts.mpp_um, facts.mpp_source, facts.warnings)
    return slide if mpp_um is None else slide.with_mpp(mpp_um)


def _source(path: Path) -> Source:
    from .slide_openslide import ONLY_OPENSLIDE, OpenSlideSource, vendor_of

    if path.suffix.lower() in PICTURES:
        from .slide_picture import PictureSource

        return PictureSource(path)
    vendor = vendor_of(path)
    if vendor == "dicom" or _is_dicom(path):
        return _dicom(path, vendor)
    if vendor not in ("", "generic-tiff"):  # a plain TIFF says more through tifffile: its OME sizes and sub-resolutions
        return OpenSlideSource(path)
    if path.suffix.lower() in TIFFS:
        from .slide_tiff import TiffSource

        return TiffSource(path)
    if path.suffix.lower() in ONLY_OPENSLIDE:
        raise InputError("is cut short, damaged, or not what its name says", where=str(path), fix="copy or export it again")
    fix = "give SVS, NDPI, SCN, MRXS, BIF, DICOM, OME-TIFF, TIFF, PNG or JPEG"
    raise InputError("is not a slide or a picture that can be read", where=str(path), fix=fix)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _dicom(path: Path, vendor: str) -> Source:
    """OpenSlide where it takes the file: it finds the other levels in the folder; else pydicom."""
    from .slide_dicom import DicomSource
    from .slide_openslide import OpenSlideSource

    if vendor:
        try:
            return OpenSlideSource(path)
        except InputError:
            pass
    return DicomSource(path)
