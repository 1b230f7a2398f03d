"""Where the tissue is on a stained slide: coloured or dark against the glass, without pen, in pieces.

Stain is found by its saturation with Otsu's threshold (Otsu, IEEE Trans. SMC 1979) between limits that glass and stain do not
cross; sizes are in micrometres and square millimetres, so that the answer does not depend on the resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError

SMOOTHING_UM = 15.0
"""Gaussian before the threshold: nuclei, stroma and glands of one tissue grow together."""
CHROMA = (0.03, 0.12)
"""Limits of the threshold, in parts of full scale: glass (with a scanner's tint taken off) stays below, stained tissue above."""
CLOSING_UM = 150.0
"""Clefts and open glands up to this wide belong to the tissue."""
OPENING_UM = 60.0
"""Threads and dust thinner than this do not."""
PEN_UM = 100.0
"""The narrowest stroke of a pen."""
LEAST_SHARE = 0.005
"""A part smaller than this share of all tissue is dust."""
LEAST_TISSUE = 0.0005
"""A slide with less of its area in tissue is blank."""
SEVERAL_SHARE = 0.1
"""A further piece counts as one where it is at least this share of the largest."""


@dataclass(frozen=True)
class Piece:
    """One connected piece of tissue. area_mm2. box: (x0, y0, x1, y1) in pixels of the mask. number: its label in Tissue.labels."""

    number: int
    area_mm2: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Tissue:
    """mask: (h, w) bool. labels: (h, w), 1 for the largest piece, 2 for the next, …. pieces: in that order. warnings: sentences."""

    mask: np.ndarray
    labels: np.ndarray
    pieces: tuple[Piece, ...]
    warnings: tuple[str, ...] = ()

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) around all tissue, in pixels of the mask."""
        boxes = np.array([piece.box for piece in self.pieces])
        return tuple(int(v) for v in (*boxes[:, :2].min(0), *boxes[:, 2:].max(0)))  # type: ignore[return-value]


def find(rgb: np.ndarray, mpp_um: float, name: str = "slide") -> Tissue:
    """Tissue on a picture of a slide.

    rgb: (h, w, 3) uint8. mpp_um: micrometres per pixel of this picture (8 to 60 serve best). Holes are filled where they are
    closed in on all sides: a gland's lumen belongs to the gland. Raises InputError where the slide is blank.
    """
    colour = _chroma(rgb, mpp_um)
    pen = pen_marks(rgb, mpp_um)
    stained = (colour > _threshold(colour, ~pen)) & ~pen
    mask = _cleaned(stained, mpp_um)
    if mask.mean() < LEAST_TISSUE:
        raise InputError("no tissue was found: the slide is blank, or too faint", where=name, fix="check the slide, or give a mask")
    labels, pieces = _pieces(mask, mpp_um)
    return Tissue(labels > 0, labels, pieces, _doubts(pieces, pen))


def pen_marks(rgb: np.ndarray, mpp_um: float) -> np.ndarray:
    """(h, w) bool: strokes of what only ink can be: green and cyan, pure blue, black, pure red. Purple and brown stain is kept.

    Strokes are wider than PEN_UM; nuclei and folds as dark as ink are not. A pen in the very colour of the stain is not told apart.
    """
    ink = _ink(rgb)
    core = _shrunk(np.pad(ink, 1, mode="edge"), PEN_UM / 2 / mpp_um)[1:-1, 1:-1]
    return _grown(core, PEN_UM / 2 / mpp_um + SMOOTHING_UM / mpp_um)


def _ink(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb[..., i].astype(np.int16) for i in range(3))
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    # Of H&E and of DAB green is the least of the three, or little above it.
    green_ink = (green - red > 12) & (green - blue > -25) & (most - least > 25)
    blue_ink = (blue - red > 50) & (green - red > -12) & (most < 210)
    black_ink = (most < 55) & (most - least < 25)
    red_ink = (red - green > 140) & (red - blue > 110) & (green < 90)
    return green_ink | blue_ink | black_ink | red_ink


def _chroma(rgb: np.ndarray, mpp_um: float) -> np.ndarray:
    """(h, w) float32: the largest colour difference, smoothed, above that of the glass around."""
    from scipy import ndimage

    sigma = SMOOTHING_UM / mpp_um
    smooth = [ndimage.gaussian_filter(rgb[..., i].astype(np.float32) / 255, sigma, mode="nearest") for i in range(3)]
    tint = _glass(smooth)
    balanced = [channel - glass for channel, glass in zip(smooth, tint, strict=True)]
    return np.maximum(np.maximum(*balanced[:2]), balanced[2]) - np.minimum(np.minimum(*balanced[:2]), balanced[2])


def _glass(channels: list[np.ndarray]) -> list[float]:
    """The colour of bare glass: the median of what is nearly white, else white."""
    bright = (channels[0] > 0.85) & (channels[1] > 0.85) & (channels[2] > 0.85)
    if np.count_nonzero(bright) < 100:
        return [1.0, 1.0, 1.0]
    return [float(np.median(channel[bright])) for channel in channels]


def _threshold(colour: np.ndarray, usable: np.ndarray) -> float:
    """Otsu's threshold, kept between the limits of CHROMA: on a slide that is all tissue, or all glass, it would cut within that."""
    values = colour[usable]
    return float(np.clip(otsu(values), *CHROMA)) if values.size else CHROMA[1]


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """The threshold between two classes with the largest variance between them."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[1 + int(np.nanargmax(np.where(above > 0, between, -1)))])


def _cleaned(stained: np.ndarray, mpp_um: float) -> np.ndarray:
    """Closed, filled, opened by discs (by distance: as fast at any size), and without dust."""
    from scipy import ndimage

    pad = int(np.ceil(CLOSING_UM / mpp_um)) + 2
    wide = np.pad(stained, pad)
    closed = _shrunk(_grown(wide, CLOSING_UM / 2 / mpp_um), CLOSING_UM / 2 / mpp_um) | wide
    filled = ndimage.binary_fill_holes(closed)
    opened = _grown(_shrunk(filled, OPENING_UM / 2 / mpp_um), OPENING_UM / 2 / mpp_um) & filled
    labels, count = ndimage.label(opened[pad:-pad, pad:-pad])
    if not count:
        return np.zeros(stained.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= LEAST_SHARE * sizes.sum())[labels] & (labels > 0)


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~mask) <= radius if mask.any() and radius >= 1 else mask


def _shrunk(mask: np.ndarray, radius: float) -> np.ndarray:
    from scipy import ndimage

    return ndimage.distance_transform_edt(mask) > radius if radius >= 1 else mask


def _pieces(mask: np.ndarray, mpp_um: float) -> tuple[np.ndarray, tuple[Piece, ...]]:
    """Pieces numbered by size, the largest first."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    numbers = np.zeros(count + 1, np.int32)
    numbers[order + 1] = np.arange(1, count + 1)
    boxes = ndimage.find_objects(labels)
    pieces = []
    for number, i in enumerate(order.tolist(), 1):
        ys, xs = boxes[i]
        pieces.append(Piece(number, float(sizes[i]) * (mpp_um / 1000) ** 2, (xs.start, ys.start, xs.stop, ys.stop)))
    return numbers[labels], tuple(pieces)


def _doubts(pieces: tuple[Piece, ...], pen: np.ndarray) -> tuple[str, ...]:
    said = []
    large = [piece for piece in pieces if piece.area_mm2 >= SEVERAL_SHARE * pieces[0].area_mm2]
    if len(large) > 1:
        areas = ", ".join(f"{piece.area_mm2:.3g}" for piece in large)
        said.append(f"the slide holds {len(large)} pieces of tissue ({areas} mm²); choose one, or say that all belong together")
    if pen.mean() > LEAST_TISSUE:
        said.append("pen marks were left out of the tissue")
    return tuple(said)
