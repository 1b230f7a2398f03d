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
from ..io.outline_files import VOLUMES, OutlineFile, read_outlines
from ..io.outline_trace import polygons_of
from ..io.series import stem_of, suffix_of
from ..io.slide_mpp import MppCheck, plausible_mpp
from ..io.slides import Slide, open_slide
from ..outlines import Outline, joined, of_classes
from ..volume import Volume
from .register_slide import Options

OUTLINES_ALONE = (*VOLUMES, ".geojson", ".json", ".xml")
"""Endings of what is no picture: given as the slide, it is the slide's outlines."""
GLAND_NAMES = ("prostate", "gland", "capsule", "cap", "whole gland", "prostate gland", "whole prostate")
OVERVIEW_PIXELS = 1500
"""Longest side of the picture that the tissue is looked for on."""


@dataclass(frozen=True)
class MriSide:
    """volume: as given. mask: (z, y, x) bool. picture: whether the volume is more than the mask."""

    volume: Volume
    mask: np.ndarray
    picture: bool


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


def mri_side(frames: Sequence[Volume], mri_mask: Volume | None) -> MriSide:
    """The MRI and its gland. Raises InputError for a 4-D image, and where there is no mask, an empty one, or one on another grid."""
    if len(frames) > 1:
        raise InputError(f"the MRI holds {len(frames)} frames, and a slide lies on one", where="MRI", fix="give one of them")
    volume = frames[0]
    name = str(volume.meta.get("name", "MRI"))
    if volume.array.ndim != 3:
        raise InputError("is a colour image, not an MRI", where=name)
    picture = not _is_mask(volume)
    mask = volume if mri_mask is None and not picture else mri_mask
    if mask is None:
        raise InputError("the gland's mask on the MRI is missing", where=name, fix="give {mri_mask}, a label volume on the MRI's grid")
    if not same_grid(volume, mask):
        raise InputError("the mask does not lie on the MRI's grid", where=str(mask.meta.get("name", "mask")), fix="export it on that grid")
    inside = np.asarray(mask.array) != 0
    if not inside.any():
        raise InputError("the mask is empty", where=str(mask.meta.get("name", "mask")))
    return MriSide(volume, inside, picture)


def _is_mask(volume: Volume) -> bool:
    values = np.unique(volume.array)
    return len(values) <= 2 and values[0] == 0


def slide_side(
    path: Path, outlines: Path | None, options: Options, known_mm: tuple[float, float], known_mm2: float, stack: ExitStack
) -> SlideSide:
    """Read the slide. known_mm, known_mm2: box and area of the gland on its MRI slice. stack: closes the slide's file at its end."""
    alone = suffix_of(path) in OUTLINES_ALONE
    slide = None if alone else stack.enter_context(open_slide(path))
    size = None if slide is None else slide.size
    number = options.slide_slice if options.slide_slice >= 0 else None
    files = [read_outlines(path, None, number)] if alone else []
    files += [read_outlines(outlines, files[0].size if alone else size, number)] if outlines else []
    drawn = _all_drawn(files, path if alone else None, outlines)
    gland = _drawn_gland(drawn, options, alone)
    said = [w for file in files for w in file.warnings] + list(slide.warnings if slide else ())
    source = "outline"
    if gland is None:
        assert slide is not None
        gland, more = _tissue_outline(slide, known_mm)
        said, source = said + list(more), "tissue"
    mpp, mpp_source, check = _mpp(options, slide, files, gland, known_mm, known_mm2)
    said += [check.warning] if check.warning else []
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


def _tissue_outline(slide: Slide, known_mm: tuple[float, float]) -> tuple[Outline, tuple[str, ...]]:
    """The tissue on a slide as one outline. Its sizes in µm follow from the gland's where the slide's own cannot be right."""
    step = max(1.0, max(slide.size) / OVERVIEW_PIXELS)
    grid = window(slide.box, (step, step))
    stated = None if slide.mpp_um is None else float(np.mean(slide.mpp_um))
    whole = plausible_mpp(stated, (float(slide.size[0]), float(slide.size[1])))
    mpp = stated if whole.plausible and stated else max(known_mm) * 1000 / max(slide.size)
    found = tissue.find(slide.read(grid), mpp * grid.step[0], slide.path.name)
    return Outline("tissue", polygons_of(found.mask)).moved(grid.matrix), found.warnings


def _mpp(
    options: Options,
    slide: Slide | None,
    files: Sequence[OutlineFile],
    gland: Outline,
    known_mm: tuple[float, float],
    known_mm2: float,
) -> tuple[tuple[float, float], str, MppCheck]:
    """Pixel size to begin with: as given, as the file says where that is plausible, else from the gland's area."""
    x0, y0, x1, y1 = gland.box
    stated = slide.mpp_um if slide is not None else next((file.mpp_um for file in files if file.mpp_um), None)
    given = (options.mpp_um, options.mpp_um) if options.mpp_um else None
    check = plausible_mpp(given or stated, (x1 - x0, y1 - y0), known_mm)
    if given:
        return given, "given", check
    if stated and check.plausible:
        return stated, slide.mpp_source if slide else "outlines", check
    size = float(np.sqrt(known_mm2 / gland.area_px)) * 1000
    return (size, size), "gland", check
