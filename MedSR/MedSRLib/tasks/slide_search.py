"""Which MRI slice, which of eight orientations, and the affine: the search that masks allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry_slice import slice_plane
from ..outlines import Outline
from ..run import Progress
from .register_slide import ORIENTATIONS, Options
from .slide_fit import Fit, Target, best_fit, nearest_orientation, overlap, refine, target, upright_part
from .slide_input import MriSide

ENOUGH = 0.5
"""A slice is searched where it holds at least this share of the gland's largest area."""
CLEARLY = 0.05
"""Another orientation is taken where its overlap is larger than that of r0 by this much; less does not tell."""


@dataclass(frozen=True)
class Found:
    """fit: the best affine. target: the gland it was laid on. slices, orientations: overlap of each that was tried.

    determined: whether something other than the overlap says which way round the slide lies.
    """

    fit: Fit
    target: Target
    slices: dict[int, float]
    orientations: dict[str, float]
    determined: bool


def candidates(mri: MriSide, options: Options) -> list[int]:
    """The slices to try. Raises InputError where the one that was asked for holds nothing of the gland."""
    areas = mri.mask.sum((1, 2))
    if options.slice < 0:
        return np.flatnonzero(areas >= ENOUGH * areas.max()).tolist()
    slice_plane(mri.volume, options.slice)
    if not areas[options.slice]:
        there = np.flatnonzero(areas)
        fix = f"choose one of {there[0]} to {there[-1]}"
        raise InputError(f"the mask is empty on slice {options.slice}", where="MRI", fix=fix)
    return [options.slice]


def search(gland: Outline, mri: MriSide, options: Options, start: np.ndarray | None, progress: Progress) -> Found:
    """gland: in slide mm. start: 3x3, slide mm to plane mm of the slice that the options name, or None."""
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
        return Found(fit, fixed, slices, {fit.orientation: fit.dice}, True)
    others = _others(gland, fixed, options, progress.part(len(targets) / (len(targets) + len(ORIENTATIONS)), 1.0))
    winner = max(others, key=lambda other: other.dice)
    chosen = winner if winner.dice > fit.dice + CLEARLY else fit
    return Found(chosen, fixed, slices, {f.orientation: f.dice for f in (fit, *others)}, False)


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
