"""Which MRI slice, which of eight orientations, and the affine: the search that masks allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..geometry_slice import SlicePlane, slice_plane
from ..outlines import Outline
from ..registration import Match
from ..run import Progress
from .register_slide import ORIENTATIONS, Options
from .slide_fit import Fit, Target, best_fit, nearest_orientation, overlap, refine, target, upright_part
from .slide_input import MriSide

ENOUGH = 0.5
"""A slice is searched where it holds at least this share of the gland's largest area."""
CLEARLY = 0.05
"""Another orientation is taken where its overlap is larger than that of r0 by this much; less does not tell. Nor does it tell slices."""
OPEN = ("orientation", "slice", "scale")
"""What a registration may leave open, and something given later can tell."""
UNDETERMINED = (
    "which way round the slide lies cannot be told from outlines alone, a mirrored or turned slide fits as well: give the orientation, "
    "landmarks or the case's description"
)


@dataclass(frozen=True)
class Found:
    """fit: the best affine. plane: its slice. target: the gland on it, None without a mask. slices, orientations: overlap, or where the
    pictures decided their score, of each that was tried.

    determined: whether something other than the overlap says which way round the slide lies. decided: what said it: "given",
    "landmarks", "transform", "pictures", "features" or "overlap". placed: what the affine follows: "masks", "pictures" or "transform".
    match: what the pictures said, where they were asked. doubts: {what is not known (of OPEN, or another word): sentence}; with any of
    them the place is not called good. earlier: the same, of the run that a given transform is of.
    """

    fit: Fit
    plane: SlicePlane
    target: Target | None
    slices: dict[int, float]
    orientations: dict[str, float]
    determined: bool
    decided: str
    placed: str = "masks"
    match: Match | None = None
    doubts: Mapping[str, str] = field(default_factory=dict)
    earlier: Mapping[str, str] = field(default_factory=dict)


def candidates(mri: MriSide, options: Options) -> list[int]:
    """The slices to try: those that hold enough of the gland, all where it was not drawn.

    Raises InputError where the one that was asked for holds nothing of the gland."""
    if options.slice >= 0:
        slice_plane(mri.volume, options.slice)
        mri.known(options.slice)
        return [options.slice]
    if mri.mask is None:
        return list(range(mri.volume.shape[0]))
    areas = mri.mask.sum((1, 2))
    return np.flatnonzero(areas >= ENOUGH * areas.max()).tolist()


def on_slice(mri: MriSide, index: int) -> Target | None:
    """The gland on a slice, None where it was not drawn there."""
    if mri.mask is None or not mri.mask[index].any():
        return None
    return target(slice_plane(mri.volume, index), mri.mask[index])


def search(gland: Outline, mri: MriSide, options: Options, start: np.ndarray | None, progress: Progress) -> Found:
    """By the masks. gland: in slide mm. start: 3x3, slide mm to plane mm of the slice that the options name, or None."""
    assert mri.mask is not None
    targets = [target(slice_plane(mri.volume, k), mri.mask[k]) for k in candidates(mri, options)]
    first = options.orientation if options.orientation != "auto" else ORIENTATIONS[0]
    fits = []
    for number, fixed in enumerate(targets):
        progress(number / (len(targets) + len(ORIENTATIONS)), f"Slice {fixed.plane.index}")
        fits.append(_fit(gland, fixed, first, options, start))
    best = int(np.argmax([fit.dice for fit in fits]))
    slices = {fixed.plane.index: fit.dice for fixed, fit in zip(targets, fits, strict=True)}
    fixed, fit = targets[best], fits[best]
    if start is not None or options.orientation != "auto":
        return Found(fit, fixed.plane, fixed, slices, {fit.orientation: fit.dice}, True, "given", doubts=unsure_slice(slices))
    others = _others(gland, fixed, options, progress.part(len(targets) / (len(targets) + len(ORIENTATIONS)), 1.0))
    winner = max(others, key=lambda other: other.dice)
    chosen = winner if winner.dice > fit.dice + CLEARLY else fit
    scores, doubts = {f.orientation: f.dice for f in (fit, *others)}, {"orientation": UNDETERMINED, **unsure_slice(slices)}
    return Found(chosen, fixed.plane, fixed, slices, scores, False, "overlap", doubts=doubts)


def unsure_slice(slices: dict[int, float]) -> dict[str, str]:
    """{"slice": a sentence} where other slices overlap nearly as well as the best. slices: {index: Dice}."""
    best = max(slices, key=lambda k: slices[k])
    near = [k for k in slices if k != best and slices[k] > slices[best] - CLEARLY]
    if not near:
        return {}
    others = f"{near[0]}" if len(near) == 1 else f"{near[0]} to {near[-1]}" if len(near) > 3 else ", ".join(map(str, near))
    sentence = (
        f"which slice the slide lies on cannot be told from outlines alone: {best} fits best, {others} within {CLEARLY:g} of its Dice; "
        "give the slice, or the case's description"
    )
    return {"slice": sentence}


def _fit(gland: Outline, fixed: Target, orientation: str, options: Options, start: np.ndarray | None) -> Fit:
    if start is None:
        return best_fit(gland, fixed, orientation, options.rotation_deg)
    found = refine(gland, start, fixed, upright_part(start[:2, :2]))
    return Fit(found, overlap(gland, found, fixed), nearest_orientation(found, fixed.plane))


def _others(gland: Outline, fixed: Target, options: Options, progress: Progress) -> Sequence[Fit]:
    found = []
    for number, name in enumerate(ORIENTATIONS[1:]):
        progress(number / len(ORIENTATIONS), f"Orientation {name}")
        found.append(best_fit(gland, fixed, name, options.rotation_deg))
    return found
