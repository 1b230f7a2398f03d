"""What the two pictures say: on which slice the slide lies, which way round, and where (registration.py), in the task's own frames."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import models, registration, registration_features
from ..errors import InputError
from ..geometry_plane import Window
from ..geometry_slice import SlicePlane, slice_plane, slide_frame
from ..outlines_area import mask
from ..run import Progress
from .register_slide import ORIENTATIONS, Options
from .slide_fit import nearest_orientation, orientation_matrix
from .slide_input import MriSide, SlideSide
from .slide_search import candidates

PIXEL_MM = 0.1
"""Of the slide's picture: finer shows nothing on MRI."""
MARGIN_MM = 2.0
FEW = 6
"""More slices than so many are first tried by every second one, then those beside the best."""


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb: (h, w, 3) uint8 with square pixels of pixel_mm. tissue: (h, w) bool. centre_mm: (2,) its middle, in slide mm."""

    rgb: np.ndarray
    tissue: np.ndarray
    pixel_mm: float
    centre_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class Seen:
    """match: of the best slice. plane: that slice. in_plane: 3x3, slide mm to plane mm.

    orientation, orientations: by the task's names, the score of each that was tried. slices: score of each, where several were tried.
    """

    match: registration.Match
    plane: SlicePlane
    in_plane: np.ndarray
    orientation: str
    orientations: dict[str, float]
    slices: dict[int, float]


def picture(side: SlideSide) -> Picture:
    """The slide around its gland, in square pixels however its own are shaped; what lies beyond its edge is glass."""
    assert side.slide is not None
    step = [max(1.0, PIXEL_MM * 1000 / mpp) for mpp in side.mpp_um]
    pixel_mm = max(s * mpp / 1000 for s, mpp in zip(step, side.mpp_um, strict=True))
    x, y = (pixel_mm * 1000 / mpp for mpp in side.mpp_um)
    x0, y0, x1, y1 = side.gland.box
    columns, rows = (int(np.ceil(n + 2 * MARGIN_MM / pixel_mm)) for n in ((x1 - x0) / x, (y1 - y0) / y))
    across, down = (x0 + x1) / 2, (y0 + y1) / 2
    grid = Window((across - columns * x / 2, down - rows * y / 2, across + columns * x / 2, down + rows * y / 2), (rows, columns))
    centre = slide_frame(side.mpp_um)[:2, :2] @ (across, down)
    return Picture(side.slide.read(grid), mask(side.gland, grid), pixel_mm, centre)


def look(mri: MriSide, side: SlideSide, options: Options, start: tuple[int, np.ndarray] | None, progress: Progress) -> Seen:
    """The best place by the pictures. start: (slice, 3x3 from slide mm to plane mm) to refine from, instead of a search."""
    shown = picture(side)
    if start is not None:
        plane = slice_plane(mri.volume, start[0])
        return _seen(_match(mri, shown, plane, _affine(start[1], plane, shown.centre_mm), ()), plane, shown, {})
    slices = _slices(mri, shown, options, progress.part(0, 0.7))
    plane = slice_plane(mri.volume, max(slices, key=slices.__getitem__))
    progress(0.7, f"Slice {plane.index}: refining each orientation")
    seen = _seen(_best(mri, shown, plane, options), plane, shown, slices)
    best = ", ".join(f"{name} {score:.0f}" for name, score in sorted(seen.orientations.items(), key=lambda item: -item[1]))
    progress(1.0, f"Orientations by the pictures: {best}")
    return seen


def _slices(mri: MriSide, shown: Picture, options: Options, progress: Progress) -> dict[int, float]:
    """The score of the slices that were tried. Raises InputError where none shows anything."""
    wanted = candidates(mri, options)
    if len(wanted) == 1:
        return {wanted[0]: 0.0}
    first = wanted if len(wanted) <= FEW else wanted[::2]
    found = _glances(mri, shown, first, options, progress.part(0, 0.8))
    if not found:
        raise InputError("no slice of the MRI shows anything", where="MRI", fix="check the file")
    best = max(found, key=found.__getitem__)
    beside = [k for k in wanted if abs(k - best) == 1 and k not in found]
    return dict(sorted((found | _glances(mri, shown, beside, options, progress.part(0.8, 1))).items()))


def _glances(mri: MriSide, shown: Picture, slices: Sequence[int], options: Options, progress: Progress) -> dict[int, float]:
    found = {}
    for number, index in enumerate(slices):
        progress(number / len(slices), f"Slice {index} by the pictures")
        plane = slice_plane(mri.volume, index)
        if np.ptp(mri.volume.array[index]) > 0:
            found[index] = registration.glance(*_given(mri, shown, plane), orientations=_allowed(options, plane))
    return found


def _given(mri: MriSide, shown: Picture, plane: SlicePlane) -> tuple[Any, ...]:
    """What registration.match takes first: MRI slice, its pixel, slide, its pixel, tissue, gland."""
    gland = None if mri.mask is None else mri.mask[plane.index]
    return np.asarray(mri.volume.array[plane.index]), plane.spacing_mm, shown.rgb, shown.pixel_mm, shown.tissue, gland


def _best(mri: MriSide, shown: Picture, plane: SlicePlane, options: Options) -> registration.Match:
    """By the pictures, from everywhere or from where the features say."""
    allowed = _allowed(options, plane)
    if options.method != "features":
        return _match(mri, shown, plane, None, allowed)
    placed = _placed(mri, shown, plane, allowed)
    match = _match(mri, shown, plane, placed.affine, ())
    doubts = match.doubts + registration_features.doubts(placed)
    scores = {name: float(count) for name, count in placed.scores.items()}
    return replace(match, scores=scores, lead=placed.lead, doubts=doubts)


def _placed(mri: MriSide, shown: Picture, plane: SlicePlane, allowed: Collection[str]) -> registration_features.Placed:
    module = models.build(models.default_of("register_slide", instead="take the {method} pictures").id)
    return registration_features.place(*_given(mri, shown, plane), orientations=allowed, module=module)


def _match(mri: MriSide, shown: Picture, plane: SlicePlane, start: np.ndarray | None, allowed: Collection[str]) -> registration.Match:
    return registration.match(*_given(mri, shown, plane), start=start, orientations=allowed)


def _middle(plane: SlicePlane) -> np.ndarray:
    """(2,) of the slice's picture, plane mm."""
    return (np.array(plane.shape[::-1]) - 1) / 2 * plane.spacing_mm


def _in_plane(affine: np.ndarray, plane: SlicePlane, centre_mm: np.ndarray) -> np.ndarray:
    """3x3, slide mm to plane mm, of a (2, 3) from the MRI's picture to the slide's, both about their middles."""
    linear = np.linalg.inv(affine[:, :2])
    found = np.eye(3)
    found[:2, :2], found[:2, 2] = linear, _middle(plane) - linear @ (centre_mm + affine[:, 2])
    return found


def _affine(in_plane: np.ndarray, plane: SlicePlane, centre_mm: np.ndarray) -> np.ndarray:
    """The other way."""
    linear = np.linalg.inv(in_plane[:2, :2])
    return np.column_stack([linear, linear @ (_middle(plane) - in_plane[:2, 2]) - centre_mm])


def _seen(match: registration.Match, plane: SlicePlane, shown: Picture, slices: dict[int, float]) -> Seen:
    in_plane = _in_plane(match.affine, plane, shown.centre_mm)
    scores = {_named(name, plane): score for name, score in match.scores.items()}
    return Seen(match, plane, in_plane, nearest_orientation(in_plane, plane), scores, slices)


def _named(name: str, plane: SlicePlane) -> str:
    """The task's name, beside the usual view, of an orientation beside the slice's own rows and columns."""
    return nearest_orientation(orientation_matrix(name), plane)


def _allowed(options: Options, plane: SlicePlane) -> tuple[str, ...]:
    """The orientations, beside the slice's rows and columns, that an option leaves; none: all."""
    if options.orientation == "auto":
        return ()
    wanted = plane.view @ orientation_matrix(options.orientation, options.rotation_deg)
    return (max(ORIENTATIONS, key=lambda name: float(np.sum(wanted * orientation_matrix(name)))),)
