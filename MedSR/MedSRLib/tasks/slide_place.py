"""Who decides where a slide lies: the pictures, the masks, both, or what was given (landmarks, a transform)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError, OptionError
from ..geometry_slice import slice_plane
from ..io import transforms
from ..io.landmarks import Landmarks
from ..outlines import Outline
from ..run import Progress
from . import slide_landmarks, slide_transform
from .register_slide import Options, Paths
from .slide_fit import Fit, nearest_orientation, overlap, refine, simplified, upright_part
from .slide_input import MriSide, SlideSide, is_outlines
from .slide_pictures import Seen, look
from .slide_search import Found, on_slice, search

UNTOLD = "the pictures do not say which way round the slide lies, the outlines decided: "
UNLIKE = "the pictures do not agree, the outlines alone placed the slide: "
KEPT = "the given transform was kept as it is: nothing but its overlap was checked"
BY_PICTURES = ("pictures", "features")
"""Methods that compare two pictures."""


@dataclass(frozen=True, eq=False)
class Start:
    """index: of the slice. in_plane: 3x3, slide mm to plane mm. said_by: "landmarks" or "transform". kept: whether it is the result."""

    index: int
    in_plane: np.ndarray
    said_by: str
    kept: bool = False
    offset_mm: float = 0.0
    """How far behind the slice's middle it lies."""


def way(options: Options, paths: Paths, mri: MriSide) -> str:
    """ "given", "pictures", "features", "mask" or "both". Raises InputError where what a method needs is missing."""
    if options.transform_as == "result":
        if paths.transform is None:
            raise OptionError("there is no transform to keep", where="{transform_as}", fix="give {transform}, or leave it out")
        return "given"
    pictured, name = mri.picture and not is_outlines(paths.slide), str(mri.volume.meta.get("name", "MRI"))
    if options.method in BY_PICTURES and not pictured:
        what = "the slide is outlines alone" if mri.picture else "the MRI is a mask alone"
        raise InputError(f"{what}, so there are no two pictures to compare", where="{method}", fix="give both pictures, or choose mask")
    if mri.mask is None and (options.method == "mask" or not pictured):
        raise InputError("the gland's mask on the MRI is missing", where=name, fix="give {mri_mask}, a label volume on the MRI's grid")
    if mri.mask is None and options.deformable:
        raise InputError("bending needs the gland's mask on the MRI", where=name, fix="give {mri_mask}, or leave {deformable} out")
    if options.method != "auto":
        return options.method
    return "mask" if not pictured else "pictures" if mri.mask is None else "both"


def started(paths: Paths, points: Landmarks | None, side: SlideSide, mri: MriSide, options: Options) -> Start | None:
    """What the search begins at, or keeps. Raises InputError where a given transform lies beside the MRI, or turned over unasked."""
    by_points = points is not None and options.landmarks_as == "start"
    if paths.transform is not None:
        if by_points:
            raise OptionError("landmarks and a transform both say where to start", where="{landmarks}", fix="give one of them")
        placed = slide_transform.on_plane(transforms.read_linear(paths.transform), side, mri.volume, options.slice)
        start = Start(placed.index, placed.in_plane, "transform", options.transform_as == "result", placed.offset_mm)
        _check_flip(start, mri, options)
        return start
    if not by_points:
        return None
    assert points is not None
    if options.slice < 0:
        raise OptionError("landmarks belong to one slice", where="{slice}", fix="say which")
    return Start(options.slice, slide_landmarks.start(points, side.mpp_um, slice_plane(mri.volume, options.slice)), "landmarks")


def _check_flip(start: Start, mri: MriSide, options: Options) -> None:
    lies = nearest_orientation(start.in_plane, slice_plane(mri.volume, start.index))
    if options.orientation != "auto" and options.orientation[0] != lies[0]:
        raise OptionError(f"the given transform lays the slide {lies}, not {options.orientation}", where="{orientation}", fix="choose auto")


def place(by: str, gland: Outline, mri: MriSide, side: SlideSide, options: Options, start: Start | None, progress: Progress) -> Found:
    """The affine, and who decided it. by: as `way` says. gland: in slide mm."""
    if start is not None:
        options = replace(options, slice=start.index)
    if by == "given":
        assert start is not None
        return _kept(gland, mri, start)
    if by == "mask":
        return _named(search(gland, mri, options, None if start is None else start.in_plane, progress), start)
    seen = look(mri, side, options, None if start is None else (start.index, start.in_plane), progress.part(0, 0.9))
    if by in BY_PICTURES:
        return _seen(gland, mri, seen, options, start)
    return _both(gland, mri, seen, options, start, progress.part(0.9, 1))


def _kept(gland: Outline, mri: MriSide, start: Start) -> Found:
    """The given transform, to the last digit: its plane lies where it lies, beside the slice's middle."""
    plane, fixed = slice_plane(mri.volume, start.index), on_slice(mri, start.index)
    frame = plane.frame.copy()
    frame[:3, 3] += start.offset_mm * frame[:3, 2]
    plane = replace(plane, frame=frame)
    fit = _fit(gland, mri, start.in_plane, start.index)
    scores = {} if fixed is None else {fit.orientation: fit.dice}
    return Found(fit, plane, fixed, {}, scores, True, start.said_by, "transform", doubts={"kept": KEPT})


def _fit(gland: Outline, mri: MriSide, in_plane: np.ndarray, index: int) -> Fit:
    fixed = on_slice(mri, index)
    dice = float("nan") if fixed is None else overlap(gland, in_plane, fixed)
    return Fit(in_plane, dice, nearest_orientation(in_plane, slice_plane(mri.volume, index)))


def _named(found: Found, start: Start | None) -> Found:
    return found if start is None else replace(found, decided=start.said_by)


def _asked(options: Options) -> str:
    return "features" if options.method == "features" else "pictures"


def _decider(options: Options, start: Start | None) -> str:
    return start.said_by if start is not None else _asked(options) if options.orientation == "auto" else "given"


def _seen(gland: Outline, mri: MriSide, seen: Seen, options: Options, start: Start | None) -> Found:
    """By the pictures alone: a mask on the MRI bounds the search, and is scored."""
    fit, decided = _fit(gland, mri, seen.in_plane, seen.plane.index), _decider(options, start)
    sure = decided != _asked(options) or not seen.match.doubts
    fixed = on_slice(mri, seen.plane.index)
    return Found(fit, seen.plane, fixed, seen.slices, seen.orientations, sure, decided, "pictures", seen.match)


def _both(gland: Outline, mri: MriSide, seen: Seen, options: Options, start: Start | None, progress: Progress) -> Found:
    """The pictures say which slice, which way round and how it is turned; from there on the masks place it, as they were drawn.

    Where the pictures are not to be trusted, the masks do it all.
    """
    if len(seen.match.doubts) > 1:
        found = _named(search(gland, mri, options, None if start is None else start.in_plane, progress), start)
        what, said = ("orientation", UNTOLD) if found.decided == "overlap" else ("pictures", UNLIKE)
        return replace(found, match=seen.match, doubts={**found.doubts, what: said + "; ".join(seen.match.doubts)})
    fixed = on_slice(mri, seen.plane.index)
    assert fixed is not None
    in_plane = refine(simplified(gland), seen.in_plane, fixed, upright_part(seen.in_plane[:2, :2]))
    found = _seen(gland, mri, seen, options, start)
    return replace(found, fit=_fit(gland, mri, in_plane, seen.plane.index), placed="masks")
