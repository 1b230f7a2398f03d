"""What a registration is given: the gland on the MRI, the gland on the slide, and how large the slide's pixels are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import tissue
from ..errors import InputError, OptionError
from ..geometry import same_grid
from ..geometry_plane import window
from ..geometry_slice import slice_plane
from ..io.outline_files import VOLUMES, OutlineFile, read_outlines
from ..io.outline_masks import MOST_LABELS
from ..io.outline_trace import polygons_of
from ..io.series import stem_of, suffix_of
from ..io.slide_mpp import MppCheck, plausible_mpp
from ..io.slides import Slide, open_slide
from ..outlines import Outline, joined, of_classes
from ..volume import Volume
from ..volume_layers import layers_of, numbers_of
from .register_slide import Options
from .slide_report import REPORT, read_mpp

OUTLINES_ALONE = (*VOLUMES, ".geojson", ".json", ".xml")
"""Endings of what is no picture: given as the slide, it is the slide's outlines."""
GLAND_NAMES = ("prostate", "gland", "capsule", "cap", "whole gland", "prostate gland", "whole prostate")
TISSUE_COLOUR = (41, 161, 61)
"""What was found, not drawn: apart from the reds of what a pathologist drew."""
USUAL_MM = 50.0
"""Longest side of a prostate, for the sizes of dust and clefts where nothing better is known."""
Known = tuple[tuple[float, float], float] | None
Sized = tuple[tuple[float, float], str]
"""Micrometres per pixel (x, y), and who says so."""
OVERVIEW_PIXELS = 1500
"""Longest side of the picture that the tissue is looked for on."""


@dataclass(frozen=True)
class MriSide:
    """volume: as given. mask: (z, y, x) bool of the gland, None where nobody drew it. picture: whether the volume is more than a mask."""

    volume: Volume
    mask: np.ndarray | None
    picture: bool

    def known(self, index: int) -> tuple[tuple[float, float], float] | None:
        """(sides of the gland's box in mm, its area in mm²) on a slice, or where that is negative on the one with the most of it.

        None without a mask. Raises InputError where the gland is not on the slice that was asked for.
        """
        if self.mask is None:
            return None
        k = index if index >= 0 else int(self.mask.sum((1, 2)).argmax())
        plane, at = slice_plane(self.volume, k), np.argwhere(self.mask[k])
        if not len(at):
            there = np.flatnonzero(self.mask.any((1, 2)))
            raise InputError(f"the mask is empty on slice {k}", where="MRI", fix=f"choose one of {there[0]} to {there[-1]}")
        height, width = (np.ptp(at, axis=0) + 1) * plane.spacing_mm[::-1]
        return (float(width), float(height)), len(at) * float(np.prod(plane.spacing_mm))


@dataclass(frozen=True)
class Noted:
    """A pixel size that is said beside the slide. mpp_um: (x, y). source: who says so. sure: whether a given transform is built on it."""

    mpp_um: tuple[float, float]
    source: str
    sure: bool

    @staticmethod
    def beside(transform: Path, slide: Path) -> Noted | None:
        """What the report beside a transform of an earlier run says it used for this slide; None where it says nothing of it."""
        used = read_mpp(transform, slide)
        return None if used is None else Noted(used, REPORT, sure=True)


@dataclass(frozen=True)
class SlideSide:
    """gland: outline that drives. outlines: all that are carried along, in level-0 pixels. slide: its picture, None where there is none.

    mpp_um: (x, y), checked. mpp_source: who says so. gland_source: "outline" or "tissue". check: against the gland on the MRI.
    """

    gland: Outline
    outlines: tuple[Outline, ...]
    slide: Slide | None
    mpp_um: tuple[float, float]
    mpp_source: str
    gland_source: str
    check: MppCheck
    warnings: tuple[str, ...]


def one_frame(mri: Sequence[Volume]) -> Volume:
    """The only frame of an MRI. Raises InputError for a 4-D one."""
    if len(mri) > 1:
        fix = "save the frame that is wanted as an image of its own"
        raise InputError(f"the MRI holds {len(mri)} frames, and a slide lies on one", where="MRI", fix=fix)
    return mri[0]


def mri_side(frames: Sequence[Volume], mri_mask: Volume | None) -> MriSide:
    """The MRI and its gland. Raises InputError for a 4-D image, and where the mask is empty or on another grid."""
    volume = one_frame(frames)
    name = str(volume.meta.get("name", "MRI"))
    if volume.array.ndim != 3:
        raise InputError("is a colour image, not an MRI", where=name)
    picture = not _is_mask(volume)
    mask = volume if mri_mask is None and not picture else mri_mask
    if mask is None:
        return MriSide(volume, None, picture)
    if not same_grid(volume, mask):
        raise InputError("the mask does not lie on the MRI's grid", where=str(mask.meta.get("name", "mask")), fix="export it on that grid")
    if len(numbers_of(mask)) > MOST_LABELS:
        what = f"the mask holds {len(numbers_of(mask))} different values, so it is an image and no label volume"
        raise InputError(what, where=str(mask.meta.get("name", "mask")), fix="give the gland drawn on the MRI's grid")
    inside = np.any(layers_of(mask), axis=-1)
    if not inside.any():
        raise InputError("the mask is empty", where=str(mask.meta.get("name", "mask")))
    return MriSide(volume, inside, picture)


def is_outlines(path: Path) -> bool:
    """Whether what was given as the slide is no picture."""
    return suffix_of(path) in OUTLINES_ALONE


def _is_mask(volume: Volume) -> bool:
    values = np.unique(volume.array)
    return len(values) <= 2 and values[0] == 0


def slide_side(path: Path, outlines: Path | None, options: Options, known: Known, noted: Noted | None, stack: ExitStack) -> SlideSide:
    """Read the slide. known: box (mm) and area (mm²) of the gland on its MRI slice, None where there is no mask of it. noted: pixel size.

    stack: closes the slide's file at its end. Raises InputError where nothing says how large the slide's pixels are.
    """
    alone = is_outlines(path)
    slide = None if alone else stack.enter_context(open_slide(path))
    size = None if slide is None else slide.size
    number = options.slide_slice if options.slide_slice >= 0 else None
    files = [read_outlines(path, None, number)] if alone else []
    files += [read_outlines(outlines, files[0].size if alone else size, number)] if outlines else []
    drawn = _all_drawn(files, path if alone else None, outlines)
    gland = _drawn_gland(drawn, options, alone)
    said = [w for file in files for w in file.warnings] + list(slide.warnings if slide else ())
    source = "outline"
    given, stated = _given(options, noted), _stated(slide, files, noted)
    if gland is None:
        assert slide is not None
        gland, more = _tissue_outline(slide, given, stated, known)
        said, source = said + list(more), "tissue"
    mpp, mpp_source, check, unlikely = _mpp(given, stated, gland, known)
    said += unlikely
    others = tuple(outline for outline in drawn if outline is not gland)
    return SlideSide(gland, (gland, *others), slide, mpp, mpp_source, source, check, tuple(said))


def _all_drawn(files: Sequence[OutlineFile], *paths: Path | None) -> tuple[Outline, ...]:
    """One outline a class, those of the first file first; a name that two files have gets its file's name before it."""
    groups = [joined(file.outlines) for file in files]
    names = [outline.name for group in groups for outline in group]
    stems = [stem_of(path) for path in paths if path is not None]
    return tuple(
        replace(outline, name=f"{stem} {outline.name}") if names.count(outline.name) > 1 else outline
        for group, stem in zip(groups, stems, strict=True)
        for outline in group
    )


def _drawn_gland(drawn: Sequence[Outline], options: Options, alone: bool) -> Outline | None:
    """The outline named, else one with a gland's name, else the largest where there is no picture; None: the tissue must serve."""
    if options.gland:
        try:
            return of_classes(drawn, [options.gland])[0]
        except InputError as error:
            raise OptionError(error.what, where="{gland}", fix=error.fix) from error
    named = [outline for outline in drawn if outline.name.casefold().rstrip(":") in GLAND_NAMES]
    if named:
        return named[0]
    return max(drawn, key=lambda outline: outline.area_px) if alone else None


def _given(options: Options, noted: Noted | None) -> Sized | None:
    """The pixel size that is not to be doubted."""
    if options.mpp_um:
        return (options.mpp_um, options.mpp_um), "given"
    return (noted.mpp_um, noted.source) if noted is not None and noted.sure else None


def _stated(slide: Slide | None, files: Sequence[OutlineFile], noted: Noted | None) -> list[Sized]:
    """Pixel sizes that somebody says, the slide's file (or its outlines') first, and who."""
    if slide is not None:
        own = [] if slide.mpp_um is None else [(slide.mpp_um, slide.mpp_source)]
    else:
        own = [(file.mpp_um, "outlines") for file in files if file.mpp_um][:1]
    return own + ([] if noted is None or noted.sure else [(noted.mpp_um, noted.source)])


def _tissue_outline(slide: Slide, given: Sized | None, stated: Sequence[Sized], known: Known) -> tuple[Outline, tuple[str, ...]]:
    """The tissue on a slide as one outline. Its sizes in µm follow from the gland's where the slide's own cannot be right."""
    step = max(1.0, max(slide.size) / OVERVIEW_PIXELS)
    grid, size = window(slide.box, (step, step)), (float(slide.size[0]), float(slide.size[1]))
    # The slide's picture, where nobody says more, is taken to be as long as the gland, or as a usual one.
    guess = max(known[0] if known else (USUAL_MM,)) * 1000 / max(size)
    believed = [given[0]] if given else [mpp for mpp, _ in stated if plausible_mpp(mpp, size).plausible]
    mpp = float(np.mean(believed[0])) if believed else guess
    try:
        found = tissue.find(slide.read(grid), mpp * grid.step[0], slide.path.name)
    except InputError as error:
        if given is None or plausible_mpp(given[0], size).plausible:
            raise
        what = f"at {mpp:.3g} µm per pixel the whole slide would be {max(size) * mpp / 1000:.3g} mm long, and no tissue was found on it"
        raise InputError(what, where=slide.path.name, fix="check {mpp}, or leave it out") from error
    return Outline("tissue", polygons_of(found.mask), TISSUE_COLOUR).moved(grid.matrix), found.warnings


def _mpp(
    given: Sized | None, stated: Sequence[Sized], gland: Outline, known: Known
) -> tuple[tuple[float, float], str, MppCheck, list[str]]:
    """(pixel size to begin with, who says it, its check, warnings): as given, as the first says that is plausible, else from the gland's
    area where that is known."""
    x0, y0, x1, y1 = gland.box
    box, known_mm = (x1 - x0, y1 - y0), known[0] if known else None
    tried = [(*one, plausible_mpp(one[0], box, known_mm)) for one in ([given] if given else stated)]
    for mpp, source, check in tried:
        if given or check.plausible:
            doubtful = [c.warning for _, _, c in tried if c.warning]
            return mpp, source, check, doubtful
    check = tried[0][2] if tried else plausible_mpp(None, box, known_mm)
    if known is None:
        fix = "give {mpp}, or {mri_mask}, whose size then says it"
        raise InputError(f"how large the slide's pixels are is not known: {check.warning}", where="slide", fix=fix)
    size = float(np.sqrt(known[1] / gland.area_px)) * 1000
    return (size, size), "gland", check, [check.warning]
