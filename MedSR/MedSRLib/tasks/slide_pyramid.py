"""The fused image as a pyramid of any pixel size, made band by band as it is written.

What fusion is says slide_outputs.py. The grid lies on the MRI slice, along its rows and columns. The MRI's brightness is bilinear
between its pixel centres. Of the slide a pixel takes what its centre falls on: the slide's own pixel, untouched, where the grid is less
than COARSER times as coarse as the slide; else a mean over an area as large as the pixel (nearest of a grid along the slide's axes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from ..geometry_plane import Window, window
from ..geometry_slice import SlicePlane
from ..geometry_warp import Placement
from ..io.slide_write import TILE, write_pyramid
from ..io.slides import Slide, open_slide
from ..outlines import Outline
from ..outlines_area import mask
from ..run import Progress
from .slide_input import MriSide
from .slide_outputs import blended, grey_levels

PUBLISHED_PIXELS = 2000
"""Longer side of the fused image of Shi et al. 2023, which covers the MRI slice."""
MARGIN_MM = 2.0
"""Around the gland, where the pixel is given: a whole MRI slice at a slide's pixels would be a hundred times larger."""
COARSER = 1.5
WIDEST = 2**18
"""Pixels in a row: a row of tiles of it takes 1.6 GB with its copies."""
BORDER = 1e-6
"""Of a pixel: rounding must not decide which of two pixels a centre on their border falls on."""


def fused_grid(plane: SlicePlane, gland: Outline, pixel_um: float) -> Window:
    """The pyramid's grid in the picture coordinates of the MRI slice. gland: carried there.

    pixel_um 0: the whole slice, its longer side PUBLISHED_PIXELS; else square pixels of that size over the gland and MARGIN_MM.
    Raises OptionError for a picture wider than WIDEST.
    """
    rows, columns = plane.shape
    sides = np.array([columns, rows]) * plane.spacing_mm
    if not pixel_um:
        step = sides.max() / PUBLISHED_PIXELS / plane.spacing_mm
        return window((0.0, 0.0, float(columns), float(rows)), (step[0], step[1]))
    step = pixel_um / 1000 / np.array(plane.spacing_mm)
    low, high = _around(plane, gland)
    count = np.ceil((high - low) / step - BORDER).astype(int)
    if count.max() > WIDEST:
        what = f"the fused picture would be {count[0]} x {count[1]} pixels"
        raise OptionError(what, where="{fused_um}", fix=f"give at least {count.max() * pixel_um / WIDEST:.3g} µm")
    return Window((*low, *(low + count * step)), (int(count[1]), int(count[0])))


def _around(plane: SlicePlane, gland: Outline) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the gland's box and its margin, within the slice; of the slice where the gland lies beyond it."""
    margin, end = MARGIN_MM / np.array(plane.spacing_mm), np.array(plane.shape[::-1], float)
    low, high = np.clip(np.array(gland.box[:2]) - margin, 0, end), np.clip(np.array(gland.box[2:]) + margin, 0, end)
    return (low, high) if (high > low).all() else (np.zeros(2), end)


@dataclass(frozen=True)
class FusedSlide:
    """A fused pyramid that is not made yet. slide: its file. gland: carried to the picture coordinates of the MRI slice, as is `grid`."""

    slide: Path
    mpp_um: tuple[float, float]
    gland: Outline
    placement: Placement
    mri: MriSide
    opacity: float
    grid: Window

    @property
    def pixel_um(self) -> tuple[float, float]:
        """(x, y) size of a pixel."""
        (x, y), spacing = self.grid.step, self.placement.plane.spacing_mm
        return x * spacing[0] * 1000, y * spacing[1] * 1000

    @property
    def facts(self) -> dict[str, Any]:
        """Its size, what it covers of the MRI slice's picture, and the 4x4 from its own frame (geometry_slice.py) to LPS mm."""
        plane, shift = self.placement.plane, np.eye(3)
        shift[:2, 2] = (np.array(self.grid.box[:2]) - 0.5) * plane.spacing_mm
        return {
            "pixel_um": list(self.pixel_um),
            "size": [self.grid.shape[1], self.grid.shape[0]],
            "box_px": [float(v) for v in self.grid.box],
            "to_patient": plane.place(shift).tolist(),
        }

    def write(self, path: Path, progress: Progress = Progress()) -> None:
        """Write the OME-TIFF, a row of tiles at a time. Raises OutputError, Cancelled, InputError where the slide is damaged."""
        with open_slide(self.slide) as slide:
            size = self.grid.shape[1], self.grid.shape[0]
            write_pyramid(path, self.bands(slide, progress), size, self.pixel_um, name=path.name)

    def bands(self, slide: Slide, progress: Progress = Progress()) -> Iterator[np.ndarray]:
        """(rows, width, 3) uint8 from top to bottom."""
        rows, columns = self.grid.shape
        grey = grey_levels(self.mri.volume.array[self.placement.plane.index]) if self.mri.picture else None
        for top in range(0, rows, TILE):
            progress(top / rows, "Fusing")
            band = np.zeros((min(TILE, rows - top), columns, 3), np.uint8)
            for left in range(0, columns, TILE):
                band[:, left : left + TILE] = self._tile(slide, grey, top, left)
            yield band

    def _tile(self, slide: Slide, grey: np.ndarray | None, top: int, left: int) -> np.ndarray:
        """(at most TILE, at most TILE, 3) uint8. grey: (rows, columns) of the MRI slice, 0 to 255; None of a mask."""
        bottom, right = (min(start + TILE, end) for start, end in zip((top, left), self.grid.shape, strict=True))
        (x0, y0), (x1, y1) = self.grid.to_slide(np.array([[left, top], [right, bottom]])).tolist()
        part = Window((x0, y0, x1, y1), (bottom - top, right - left))
        inside = mask(self.gland, part)
        x, y = self._centres(0, left, right), self._centres(1, top, bottom)
        shown = np.zeros(part.shape) if grey is None else bilinear(grey, y, x)
        out = np.repeat(shown[..., None], 3, axis=-1)
        if inside.any():
            row, column = np.nonzero(inside)
            points = np.column_stack([x[column], y[row]]) * self.placement.plane.spacing_mm
            out[inside] = blended(self._colour(slide, points), None if grey is None else shown[inside], self.opacity)
        return np.rint(out).astype(np.uint8)

    def _centres(self, axis: int, first: int, last: int) -> np.ndarray:
        """Where pixel centres lie, in pixels of the MRI slice, whose own centres are whole numbers. axis: 0 across, 1 down."""
        return self.grid.box[axis] + (np.arange(first, last) + 0.5) * self.grid.step[axis] - 0.5

    def _colour(self, slide: Slide, points: np.ndarray) -> np.ndarray:
        """(n, 3) uint8: the slide at points of the plane in mm; glass beyond it."""
        level0 = self.placement.to_slide(points) * 1000 / self.mpp_um
        step = self._slide_step()
        cell = np.floor(level0 / step + BORDER).astype(int)
        there = ((cell >= 0) & (cell < np.ceil(np.array(slide.size) / step))).all(1)
        found = np.full((len(points), 3), 255, np.uint8)
        if there.any():
            low, high = cell[there].min(0), cell[there].max(0) + 1
            (x0, y0), (x1, y1) = (low * step).tolist(), (high * step).tolist()
            picture = slide.read(Window((x0, y0, x1, y1), (int(high[1] - low[1]), int(high[0] - low[0]))))
            column, row = (cell[there] - low).T
            found[there] = picture[row, column]
        return found

    def _slide_step(self) -> np.ndarray:
        """(x, y) finest pixels of the slide that are averaged before a pixel is taken: 1 for the slide's own."""
        scale = np.sqrt(abs(np.linalg.det(self.placement.in_plane[:2, :2])))
        ratio = float(np.sqrt(np.prod(self.pixel_um))) / scale / np.array(self.mpp_um)
        return np.where(ratio < COARSER, 1.0, ratio)


def bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(len(y), len(x)): the image at pixel coordinates, centres at whole numbers; beyond the outermost centres as they are."""
    return _along(_along(image, y).T, x).T


def _along(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(len(at), w): linear between the rows of (h, w)."""
    at = np.clip(at, 0, len(image) - 1)
    low = np.minimum(np.floor(at).astype(int), max(len(image) - 2, 0))
    share = (at - low)[:, None]
    return image[low] * (1 - share) + image[np.minimum(low + 1, len(image) - 1)] * share
