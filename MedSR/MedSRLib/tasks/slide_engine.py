"""One registration from beginning to end: read both sides, search, refine, judge, carry everything along."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry_slice import slide_frame
from ..geometry_warp import Placement
from ..io.dicom_seg import can_refer
from ..io.landmarks import Landmarks, read_landmarks
from ..io.slides import open_slide
from ..outlines import Outline
from ..run import Progress
from ..volume import Volume
from . import slide_landmarks, slide_outputs
from .register_slide import Options, Paths, Result
from .slide_described import described, with_earlier
from .slide_gate import SCALE_UNTOLD, Verdict, doubted, judge
from .slide_input import MriSide, SlideSide, mri_side, slide_side
from .slide_place import BY_PICTURES, place, started, way
from .slide_pyramid import FusedSlide, fused_grid
from .slide_search import OPEN, Found


def run(frames: Sequence[Volume], given: Options, paths: Paths, mri_mask: Volume | None, progress: Progress) -> Result:
    """See register_slide.register_slide."""
    options, noted, differs = described(given, paths)
    mri = mri_side(frames, mri_mask)
    by = way(options, paths, mri)
    points = None if paths.landmarks is None else read_landmarks(paths.landmarks)
    with ExitStack() as stack:
        progress(0.0, "Reading the slide")
        side = slide_side(paths.slide, paths.outlines, options, mri.known(-1 if by == "given" else options.slice), noted, stack)
        progress(0.1, "Searching")
        gland, start = side.gland.moved(slide_frame(side.mpp_um)), started(paths, points, side, mri, options)
        found = with_earlier(place(by, gland, mri, side, options, start, progress.part(0.1, 0.6)), paths, points, options)
    placement = _refined(gland, found, points, side, options, progress.part(0.6, 0.9))
    side = replace(side, warnings=(*differs, *side.warnings))
    progress(0.9, "Carrying the outlines along")
    return _result(mri, side, found, placement, points, options, by)


def _refined(gland: Outline, found: Found, points: Landmarks | None, side: SlideSide, options: Options, progress: Progress) -> Placement:
    """The affine, corrected by landmarks where asked, with a warp where asked."""
    plane, in_plane = found.plane, found.fit.in_plane
    if points is not None and options.landmarks_as == "correction":
        in_plane = slide_landmarks.corrected(in_plane, points, side.mpp_um, plane)
    if not options.deformable:
        return Placement(plane, in_plane)
    if found.target is None:
        raise InputError("bending needs the gland's mask on this slice of the MRI", where="MRI", fix="give {mri_mask}")
    from .slide_warp import fit_warp

    progress(0.0, "Bending")
    return Placement(plane, in_plane, fit_warp(gland, in_plane, found.target))


def _result(
    mri: MriSide, side: SlideSide, found: Found, placement: Placement, points: Landmarks | None, options: Options, by: str
) -> Result:
    linear = Placement(placement.plane, placement.in_plane)
    reference = None if found.target is None else found.target.mask
    moved = [slide_outputs.carried(outline, placement, side.mpp_um) for outline in side.outlines]
    rows = [slide_outputs.scores(m, placement, reference if i == 0 else None) for i, m in enumerate(moved)]
    straight = slide_outputs.scores(slide_outputs.carried(side.gland, linear, side.mpp_um), linear, reference)
    jacobian = None if placement.warp is None else placement.warp.jacobian
    scale_known = side.mpp_source != "gland"
    mirrored = (found.fit.orientation[0] == "f") != (np.linalg.det(placement.plane.view) < 0)
    verdict = judge(placement.in_plane, straight["dice"], mirrored, scale_known, jacobian)
    if found.match is not None and not found.doubts:
        doubted(verdict, found.match, by in BY_PICTURES)
    untold = {**found.earlier, **({} if scale_known else {"scale": SCALE_UNTOLD}), **found.doubts}
    verdict.doubts += [doubt for doubt in untold.values() if doubt not in verdict.doubts]
    if verdict.refusals and not options.accept_any:
        fix = "check that slide, slice and mask belong together, or give {orientation}, {mpp} or landmarks"
        fix += ", or leave {deformable} out" if options.deformable else ""
        raise InputError("no believable place for the slide was found: " + "; ".join(verdict.refusals), where="slide", fix=fix)
    facts = _facts(side, found, placement, verdict, straight, rows) | {"method": by}
    facts["untold"] = {what: untold[what] for what in OPEN if what in untold}
    if points is not None:
        facts["landmarks"] = slide_landmarks.remaining(placement, points, side.mpp_um)
    draw = partial(_fused, side, moved[0], placement, mri, options.opacity)
    pyramid = _pyramid(side, moved[0], placement, mri, options)
    if pyramid is not None:
        facts["fused_slide"] = pyramid.facts
    warp = None if placement.warp is None else placement.warp.volume(placement.plane)
    labels = slide_outputs.labels(moved, placement, mri.volume)
    pair = None if warp is None else (placement.matrix, warp)
    return Result(placement, (placement.matrix, None), pair, facts, tuple(rows), labels, _as_dicom(labels, facts), pyramid, draw)


def _as_dicom(labels: Volume, facts: dict[str, Any]) -> Volume | None:
    """The labels, where they can become a DICOM SEG."""
    if not can_refer(labels) or not labels.array.any():
        return None
    if find_spec("highdicom") is None:
        facts["warnings"].append("highdicom is not installed, so there is no DICOM SEG")
        return None
    return labels


def _fused(side: SlideSide, gland: Outline, placement: Placement, mri: MriSide, opacity: float) -> Volume | None:
    if side.slide is None:
        return None
    with open_slide(side.slide.path) as slide:
        return slide_outputs.fused(slide, side.mpp_um, gland, placement, mri, opacity)


def _pyramid(side: SlideSide, gland: Outline, placement: Placement, mri: MriSide, options: Options) -> FusedSlide | None:
    if side.slide is None:
        return None
    grid = fused_grid(placement.plane, gland, options.fused_um)
    return FusedSlide(side.slide.path, side.mpp_um, gland, placement, mri, options.opacity, grid)


def _facts(
    side: SlideSide, found: Found, placement: Placement, verdict: Verdict, straight: dict[str, Any], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    scale = verdict.figures["scale"]
    warnings = list(dict.fromkeys([*side.warnings, *verdict.reasons]))
    facts: dict[str, Any] = {
        "slice": placement.plane.index,
        "slices": {str(k): v for k, v in found.slices.items()},
        "orientation": {
            "chosen": found.fit.orientation,
            "determined": found.determined,
            "decided_by": found.decided,
            "scores": found.orientations,
        },
        "placed_by": found.placed,
        "slide_to_patient": placement.matrix.tolist(),
        "in_plane": placement.in_plane.tolist(),
        "mpp": {
            "used_um": list(side.mpp_um),
            "source": side.mpp_source,
            "found_um": [m * scale for m in side.mpp_um],
            "plausible": side.check.plausible,
            "plausible_um": [side.check.low_um, side.check.high_um],
        },
        "gland": {"name": side.gland.name, "source": side.gland_source},
        "grade": verdict.grade,
        "reasons": verdict.reasons,
        "figures": verdict.figures,
        "dice": rows[0]["dice"],
        "dice_linear": straight["dice"],
        "outlines": rows,
        "warnings": warnings,
    }
    if found.match is not None:
        facts["pictures"] = {"grade": found.match.grade, "doubts": list(found.match.doubts), **vars(found.match.judged)}
    if placement.warp is not None:
        assert found.target is not None
        facts["warp"] = _warp_facts(placement, found.target.mask)
    return facts


def _warp_facts(placement: Placement, mask: np.ndarray) -> dict[str, float]:
    """Of the whole slice: Jacobian; over the gland: mean bending energy in 1/mm²; the longest displacement in mm."""
    assert placement.warp is not None
    jacobian, field = placement.warp.jacobian, placement.warp.field
    return {
        "jacobian_min": float(jacobian.min()),
        "jacobian_max": float(jacobian.max()),
        "folded_share": float((jacobian <= 0).mean()),
        "bending_energy_per_mm2": float(placement.warp.bending[mask].mean()),
        "longest_mm": float(np.linalg.norm(field, axis=-1).max()),
    }
