"""How transform_outlines works: the place that a transform file says, and outlines through it, either way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OptionError
from ..geometry import same_grid
from ..geometry_slice import slice_under
from ..geometry_warp import Placement, Warp
from ..io import formats, transforms
from ..io.outline_files import read_outlines
from ..io.outline_masks import MOST_LABELS
from ..io.outline_trace import polygons_of
from ..outlines import DEFAULT_COLOUR, Outline, Polygon
from ..volume import Volume
from ..volume_layers import layers_of
from . import slide_outputs
from .slide_input import one_frame
from .slide_report import REPORT, read_mpp, read_report
from .transform_outlines import Options, Result

WARPED = "the registration was deformable, and its warp is left out: give warp.h5, which lies beside it, to bend the outlines too"


def placement(transform: Path, grid: Volume, warp: Path | None) -> Placement:
    """Where a transform file lays its slide on the slices of `grid`."""
    matrix = transforms.read_linear(transform)
    if warp is not None:
        _check_warp(transform, warp, matrix)
    plane = slice_under(grid, matrix)
    linear = Placement.of_matrix(plane, matrix)
    return linear if warp is None else Placement(plane, linear.in_plane, Warp.of_volume(transforms.read_warp(warp), plane))


def _check_warp(transform: Path, warp: Path, matrix: np.ndarray) -> None:
    """Raises InputError for a warp of another run: its own report, or that of the transform, says so."""
    other = "belongs to another registration"
    report, own = read_report(transform), read_report(warp).get("slide_to_patient")
    if report and not report.get("warp"):
        raise InputError(f"{other}: the one beside the transform is linear", where=str(warp), fix="leave {warp} out")
    if own is not None and np.shape(own) == (4, 4) and not np.allclose(np.asarray(own, float), matrix, atol=1e-6):
        fix = "give the warp.h5 that lies beside the transform, or leave {warp} out"
        raise InputError(f"{other} than the transform", where=str(warp), fix=fix)


def pixel_size(transform: Path, options: Options) -> tuple[float, float]:
    """(x, y) micrometres of the slide's finest pixel: as given, else as registration.json beside the transform says."""
    if options.mpp_um:
        return options.mpp_um, options.mpp_um
    found = read_mpp(transform)
    if found is None:
        what = f"the slide's pixel size is not known: there is no {REPORT} beside the transform"
        raise OptionError(what, where=str(transform), fix="give {mpp_um}, as the registration used it")
    return found


def to_mri(transform: Path, path: Path, options: Options, mri: Sequence[Volume] | None, warp: Path | None) -> Result:
    """Outlines of the slide as labels on the MRI's grid."""
    if mri is None:
        raise InputError("the MRI that the labels are for is missing", where="MRI", fix="give {mri}")
    grid = one_frame(mri)
    mpp, placed = pixel_size(transform, options), placement(transform, grid, warp)
    found = read_outlines(path, None, options.slide_slice if options.slide_slice >= 0 else None)
    moved = [slide_outputs.carried(outline, placed, mpp) for outline in found.outlines]
    labels = slide_outputs.labels(moved, placed, grid)
    if not labels.array.any():
        raise InputError("none of the outlines lies on the MRI", where=str(path), fix="check that they are this slide's")
    said = [*found.warnings, *_mpp_doubts(transform, mpp), *_beyond(moved, placed), *_unbent(transform, warp)]
    rows = [slide_outputs.scores(outline, placed) for outline in moved]
    return Result(labels, _report("to-mri", placed, rows, said))


def to_slide(transform: Path, path: Path, options: Options, mri: Sequence[Volume] | None, warp: Path | None) -> Result:
    """Labels on the MRI's slice as outlines along their pixels, in the slide's finest pixels."""
    frames = formats.read_labels(path)
    labels = frames[0]
    if len(frames) > 1 or (labels.array != np.rint(labels.array)).any():
        raise InputError("is no label volume", where=str(path), fix="give one frame of whole numbers")
    if mri is not None and not same_grid(mri[0], labels):
        raise InputError("the labels do not lie on the MRI's grid", where=str(path), fix="export them on that grid")
    mpp, placed = pixel_size(transform, options), placement(transform, labels, warp)
    plane, names = layers_of(labels)[placed.plane.index], labels.meta.get("segments", {})
    numbers = [int(n) for n in np.unique(plane) if n]
    if len(numbers) > MOST_LABELS:
        what = f"holds {len(numbers)} different values on slice {placed.plane.index}, so it is an image and no label volume"
        raise InputError(what, where=str(path), fix="give labels drawn on the MRI")
    if not numbers:
        raise InputError(f"holds no label on slice {placed.plane.index}, where the slide lies", where=str(path))
    colours = labels.meta.get("segment_colours", {})
    drawn = [Outline(str(names.get(n, f"Label {n}")), polygons_of((plane == n).any(-1)), colours.get(n, DEFAULT_COLOUR)) for n in numbers]
    moved = tuple(_onto_slide(outline, placed, mpp) for outline in drawn)
    rows = [{"outline": outline.name, "area_mm2": outline.area_px * mpp[0] * mpp[1] / 1e6} for outline in moved]
    return Result(moved, _report("to-slide", placed, rows, [*_mpp_doubts(transform, mpp), *_unbent(transform, warp)]))


def _mpp_doubts(transform: Path, mpp: tuple[float, float]) -> list[str]:
    """A sentence where the registration used another pixel size than was given."""
    used = read_mpp(transform)
    if used is None or np.allclose(used, mpp, rtol=1e-3):
        return []
    return [f"the registration used {used[0]:.4g} µm a pixel, and {mpp[0]:.4g} µm is given: outlines drawn on the same slide end elsewhere"]


def _onto_slide(outline: Outline, placed: Placement, mpp: tuple[float, float]) -> Outline:
    """An outline in the MRI slice's picture coordinates, in the slide's finest pixels. Bent edges are cut first."""

    def carry(ring: np.ndarray) -> np.ndarray:
        points = (ring - 0.5) * placed.plane.spacing_mm
        return placed.to_slide(slide_outputs.dense(points) if placed.warp else points) * 1000 / mpp

    polygons = tuple(Polygon(carry(p.exterior), tuple(carry(hole) for hole in p.holes)) for p in outline.polygons)
    return Outline(outline.name, polygons, outline.colour)


def _beyond(moved: Sequence[Outline], placed: Placement) -> list[str]:
    """A sentence for each outline that the MRI slice does not hold whole."""
    end = np.array(placed.plane.shape[::-1])
    out = [o.name for o in moved if (np.array(o.box[:2]) < 0).any() or (np.array(o.box[2:]) > end).any()]
    return [f"the outline {name!r} reaches beyond the MRI, and is cut there" for name in out]


def _unbent(transform: Path, warp: Path | None) -> list[str]:
    return [WARPED] if warp is None and (transform.parent / "warp.h5").is_file() else []


def _report(direction: str, placed: Placement, rows: list[dict[str, Any]], said: list[str]) -> dict[str, Any]:
    return {"task": "transform_outlines", "direction": direction, "slice": placed.plane.index, "outlines": rows, "warnings": said}
