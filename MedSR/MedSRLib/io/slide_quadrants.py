"""Four quarters of a whole mount, each on its own slide, put together again: placed by their cut edges, read as one slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import tissue
from ..errors import InputError, OptionError
from ..geometry_plane import Window
from ..tissue_edges import corner_of, shift_along
from .slide_source import Facts, Level
from .slides import Slide

WORKING_PIXELS = 1_000_000
"""Pixels of the pictures that the cut edges are found on."""
SAME_MPP = 0.02
MOST_SHIFT = 12
"""Working pixels that two quarters may be moved along their common cut by what is seen on both sides of it."""
SURE = 0.25
"""Correlation across a cut from which on it is believed."""
SQUARE_DEG = 3.0
NAMES = ("upper left", "upper right", "lower left", "lower right")


@dataclass(frozen=True)
class Assembly:
    """One slide made of four. matrices: 3x3 each, a quarter's level-0 pixels to the whole's. seams: correlation across each cut.

    Quarters are in the order upper left, upper right, lower left, lower right. Cuts: upper, lower, left, right.
    """

    slide: Slide
    matrices: tuple[np.ndarray, ...]
    seams: tuple[float, ...]
    warnings: tuple[str, ...]


def assemble(slides: Sequence[Slide], turns: Sequence[int] = (0, 0, 0, 0), refine: bool = True) -> Assembly:
    """Put four quarters together.

    slides: upper left, upper right, lower left, lower right (C1 C2 / C3 C4), with their pixel sizes. turns: quarter turns
    clockwise that bring each upright. refine: place them by their cut edges (offset and rotation) and by what continues across;
    else each by the box of its tissue, unrotated. Pixels of the first slide are the whole's.
    Raises InputError where the pixel sizes are unknown or differ, where a quarter is blank, or where its cut edges are not found.
    """
    if len(slides) != 4 or len(turns) != 4:
        raise OptionError(f"a whole mount is put together of four slides, not {len(slides)}")
    mpp = _common_mpp(slides)
    quarters = [_Quarter(slide, place, turn, mpp) for place, (slide, turn) in enumerate(zip(slides, turns, strict=True))]
    warnings: list[str] = [text for quarter in quarters for text in quarter.warnings]
    for quarter in quarters:
        warnings += quarter.place_by_edges() if refine else quarter.place_by_box()
    seams: tuple[float, ...] = ()
    if refine:
        seams = _refine(quarters)
        unsure = sum(seam < SURE for seam in seams)
        if unsure:
            warnings.append(f"across {unsure} of the 4 cuts nothing is seen to continue; there the quarters lie edge to edge only")
    source = WholeMount(quarters)
    slide = Slide(slides[0].path, source, mpp, slides[0].mpp_source, tuple(warnings))
    return Assembly(slide, tuple(quarter.matrix for quarter in quarters), seams, tuple(warnings))


def _common_mpp(slides: Sequence[Slide]) -> tuple[float, float]:
    sizes = np.array([slide.require_mpp() for slide in slides])
    if np.ptp(sizes) > SAME_MPP * sizes.min():
        said = ", ".join(f"{x:.4g}" for x in sizes[:, 0])
        raise InputError(f"the four slides differ in their pixel sizes ({said} µm)", fix="give {mpp} for all of them")
    return float(sizes[0, 0]), float(sizes[0, 1])


class _Quarter:
    """A quarter with the matrix that carries its level-0 pixels to the whole, whose cuts cross at (0, 0) until it is shifted."""

    def __init__(self, slide: Slide, place: int, turn: int, mpp: tuple[float, float]) -> None:
        self.slide, self.place = slide, place
        self.right, self.low = place % 2 == 1, place >= 2
        grid = slide.window_within(WORKING_PIXELS * 3)
        self.step = grid.step[0]
        picture = slide.read(grid)
        self._to_level0 = grid.matrix @ _turned_back(turn % 4, *grid.shape)
        self.picture = np.ascontiguousarray(np.rot90(picture, -turn))
        found = tissue.find(self.picture, float(np.mean(slide.mpp_of(grid))), str(slide.path))
        self.tissue = found.mask
        self.warnings = [f"{NAMES[place]}: {text}" for text in found.warnings]
        self.matrix = np.eye(3)
        self.dark = 255 - self.picture.min(-1).astype(np.float32)

    @property
    def working(self) -> np.ndarray:
        """3x3: the upright working picture's pixels to the whole."""
        return self.matrix @ self._to_level0

    def place_by_edges(self) -> list[str]:
        flip = (slice(None, None, -1 if self.low else 1), slice(None, None, -1 if self.right else 1))
        name = f"{self.slide.path.name} ({NAMES[self.place]})"
        corner = corner_of(self.tissue[flip], self.dark[flip], name)
        height, width = self.tissue.shape
        point = np.array(
            [width - corner.point[0] if self.right else corner.point[0], height - corner.point[1] if self.low else corner.point[1]]
        )
        angle = -corner.angle_deg if self.right != self.low else corner.angle_deg
        self._put(point, angle)
        if corner.square_deg > SQUARE_DEG:
            return [f"{NAMES[self.place]}: its cut edges are {corner.square_deg:.1f} degrees off a right angle"]
        return []

    def place_by_box(self) -> list[str]:
        ys, xs = np.nonzero(self.tissue)
        self._put(np.array([xs.min() if self.right else xs.max() + 1, ys.min() if self.low else ys.max() + 1], float), 0.0)
        return []

    def _put(self, point: np.ndarray, angle_deg: float) -> None:
        """Turn back by the angle, and bring `point` of the working picture to (0, 0); scale to level-0 pixels."""
        c, s = np.cos(np.radians(-angle_deg)), np.sin(np.radians(-angle_deg))
        turn = np.array([[c, -s], [s, c]]) * self.step
        working = np.eye(3)
        working[:2, :2], working[:2, 2] = turn, -turn @ point
        self.matrix = working @ np.linalg.inv(self._to_level0)

    def shift(self, x: float, y: float) -> None:
        move = np.eye(3)
        move[:2, 2] = x, y
        self.matrix = move @ self.matrix

    def colours(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) colours at points of the whole, NaN where there is no tissue near."""
        from scipy.ndimage import map_coordinates

        inverse = np.linalg.inv(self.working)
        at = points @ inverse[:2, :2].T + inverse[:2, 2] - 0.5
        values = [map_coordinates(self.picture[..., i].astype(np.float32), at[:, ::-1].T, order=1, mode="nearest") for i in range(3)]
        inside = map_coordinates(self.tissue.astype(np.float32), at[:, ::-1].T, order=1, cval=0.0) > 0.5
        return np.where(inside[:, None], np.stack(values, axis=1), np.nan)

    def box(self) -> np.ndarray:
        """(2, 2): lowest and highest corner of its tissue in the whole."""
        ys, xs = np.nonzero(self.tissue)
        picked = slice(None, None, max(1, len(xs) // 200_000))
        points = np.column_stack([xs[picked], ys[picked]]) + 0.5
        moved = points @ self.working[:2, :2].T + self.working[:2, 2]
        return np.array([moved.min(0), moved.max(0)])


def _turned_back(turn: int, height: int, width: int) -> np.ndarray:
    """3x3: pixels of a picture turned clockwise by quarter turns, to those of the picture (height, width) before."""
    return {
        0: np.eye(3),
        1: np.array([[0, 1, 0], [-1, 0, height], [0, 0, 1.0]]),
        2: np.array([[-1, 0, width], [0, -1, height], [0, 0, 1.0]]),
        3: np.array([[0, -1, width], [1, 0, 0], [0, 0, 1.0]]),
    }[turn]


def _refine(quarters: list[_Quarter]) -> tuple[float, ...]:
    """Move the quarters along their cuts to what continues across, balanced against edge lying on edge. Gives the correlations."""
    step = quarters[0].step
    cuts = ((0, 1, 1), (2, 3, 1), (0, 2, 0), (1, 3, 0))  # first, second quarter, axis along the cut
    measured = [_along(quarters[a], quarters[b], axis, step) for a, b, axis in cuts]
    for axis in (0, 1):
        rows, right = [np.ones(4) * 1e-3], [0.0]
        for (a, b, along), (shift, sure) in zip(cuts, measured, strict=True):
            weight = (2.0 * sure if sure >= SURE else 0.0) if along == axis else 1.0
            row = np.zeros(4)
            row[a], row[b] = weight, -weight
            rows.append(row)
            right.append(weight * shift * step if along == axis else 0.0)
        moves = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
        for quarter, move in zip(quarters, moves, strict=True):
            quarter.shift(*((move, 0.0) if axis == 0 else (0.0, move)))
    return tuple(sure for _, sure in measured)


def _along(first: _Quarter, second: _Quarter, axis: int, step: float) -> tuple[float, float]:
    """(by how many working pixels `first` has to move along the cut to fit `second`, correlation)."""
    reach = max(first.tissue.shape + second.tissue.shape)
    side = -1 if (first.place < 2 if axis == 1 else first.place % 2 == 0) else 1
    along = side * (np.arange(reach) + 0.5) * step
    along = np.sort(along)
    strips = []
    for quarter, sign in ((first, -1), (second, 1)):
        parts = [quarter.colours(_points(along, sign * away * step, axis)) for away in (1.0, 2.0, 3.0)]
        strips.append(np.mean(parts, axis=0))
    return shift_along(strips[0], strips[1], MOST_SHIFT)


def _points(along: np.ndarray, across: float, axis: int) -> np.ndarray:
    fixed = np.full(len(along), across)
    return np.column_stack([fixed, along] if axis == 1 else [along, fixed])


class WholeMount:
    """The four quarters as one source. Each pixel shows the quarter on whose side of the cuts it lies, interpolated linearly."""

    def __init__(self, quarters: list[_Quarter]) -> None:
        self.quarters = quarters
        boxes = np.array([quarter.box() for quarter in quarters])
        low, high = boxes[:, 0].min(0), boxes[:, 1].max(0)
        margin = 0.02 * float((high - low).max())
        count = max(1, int(np.log2(max((high - low).max() / 1000, 1))) + 1)
        coarsest = 2 ** (count - 1)
        self.cut = np.ceil((margin - low) / coarsest).astype(int) * coarsest  # a whole pixel of every level
        for quarter in quarters:
            quarter.shift(float(self.cut[0]), float(self.cut[1]))
        width, height = (int(np.ceil((self.cut[i] + high[i] + margin) / coarsest)) * coarsest for i in (0, 1))
        self.levels = tuple(Level(width // 2**i, height // 2**i, (2.0**i, 2.0**i)) for i in range(count))
        background = quarters[0].slide.source.facts.background
        self.facts = Facts(vendor="quadrants", background=background)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See Source.read."""
        step = self.levels[level].step[0]
        out = np.empty((height, width, 3), np.uint8)
        out[:] = self.facts.background
        across = np.clip(round(self.cut[0] / step) - x, 0, width)
        down = np.clip(round(self.cut[1] / step) - y, 0, height)
        for quarter in self.quarters:
            rows = slice(down, height) if quarter.low else slice(0, down)
            columns = slice(across, width) if quarter.right else slice(0, across)
            part = out[rows, columns]
            if part.size:
                _draw(part, quarter, ((x + columns.start) * step, (y + rows.start) * step), step)
        return out

    def close(self) -> None:
        for quarter in self.quarters:
            quarter.slide.close()


def _draw(part: np.ndarray, quarter: _Quarter, corner: tuple[float, float], step: float) -> None:
    """Fill `part`, whose corner lies at `corner` of the whole and whose pixels are `step` wide, from the quarter's slide."""
    from scipy.ndimage import affine_transform

    height, width = part.shape[:2]
    to_whole = np.array([[step, 0, corner[0]], [0, step, corner[1]], [0, 0, 1.0]])
    to_slide = np.linalg.inv(quarter.matrix) @ to_whole
    ends = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ to_slide[:2, :2].T + to_slide[:2, 2]
    low, high = np.floor(ends.min(0) / step) - 2, np.ceil(ends.max(0) / step) + 2
    size = np.array(quarter.slide.size)
    low, high = np.maximum(low, -4), np.minimum(high, np.ceil(size / step) + 4)
    if (high - low < 1).any() or (high * step <= 0).any() or (low * step >= size).any():
        return
    grid = Window((low[0] * step, low[1] * step, high[0] * step, high[1] * step), (int(high[1] - low[1]), int(high[0] - low[0])))
    pixels = quarter.slide.read(grid)
    to_pixel = np.linalg.inv(grid.matrix) @ to_slide
    matrix = to_pixel[:2, :2][::-1, ::-1]
    offset = (to_pixel[:2, :2] @ [0.5, 0.5] + to_pixel[:2, 2] - 0.5)[::-1]
    for channel in range(3):
        fill = float(quarter.slide.source.facts.background[channel])
        moved = affine_transform(pixels[..., channel].astype(np.float32), matrix, offset, (height, width), order=1, cval=fill)
        part[..., channel] = np.floor(moved + 0.5).astype(np.uint8)
