"""Find where a slide lies on an MRI slice from the two pictures alone, and say when the answer is not to be trusted.

All flips, turns and scales are searched (registration_search.py); the best of each of the eight flips and quarter turns are refined
from coarse to fine (registration_fit.py); the score of the finest resolution decides, since there a wrong place explains little.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from . import registration_pictures as pictures
from .errors import InputError
from .registration_fit import SCALE, Judged, Level, sane
from .registration_search import Candidate, Search, orientation
from .registration_stains import maps

LEVELS_MM = ((1.2, 1.5), (0.8, 0.8), (0.4, 0.4))
"""Pixel, and Gaussian beside the pixel's own, of each resolution."""
EACH = 2
"""Candidates of each orientation that are refined; the better one goes on to the finest resolution."""
FINEST_MM = 0.1
"""Finer slides are averaged to this first: nothing smaller shows on MRI."""
LEAST_ALIKE, LEAST_EXPLAINED, LEAST_LEAD, LEAST_OVERLAP, LEAST_INSIDE = 0.65, 0.3, 1.6, 0.6, 0.8
"""Below these a result is doubted: share of the tissue explained, R² over all of it, score over that of the best other flip, Dice with a
given gland, share of the tissue within the MRI. Chosen on pseudo-MRIs of the training slides: right pairs had at least 0.70, 0.37 and
2.0 of them, other glands at most 0.70, 0.29 and 1.7."""
STRAIGHT = 0.6
"""Of the diameter of a disc of the tissue's area: a straight side longer than this looks like a cut. A disc halved has 1.4, an oval
of 3 : 1 halved across 0.8, whole pieces up to 0.45."""
STRAIGHT_MM = 0.3
"""Unevenness of a straight side."""


Prepared = tuple[np.ndarray, tuple[float, float], np.ndarray, np.ndarray, float, np.ndarray | None]


@dataclass(frozen=True, eq=False)
class Match:
    """affine: (2, 3), MRI → slide, (x, y) in mm from each picture's middle. orientation: as registration_search.orientation.

    scores: the best score of each orientation, comparable within one pair. lead: the winner's over the best of the other flip.
    judged: explained R² and share at the finest resolution. doubts: sentences that say why not to trust it; empty for a sure one.
    """

    affine: np.ndarray
    orientation: str
    scores: dict[str, float]
    lead: float
    judged: Judged
    doubts: tuple[str, ...]

    @property
    def grade(self) -> str:
        """sure, doubtful (one reason), or not to be trusted (several)."""
        return ("sure", "doubtful", "not to be trusted")[min(len(self.doubts), 2)]


def match(
    mri: np.ndarray, mri_mm: tuple[float, float], slide: np.ndarray, slide_mm: float, tissue: np.ndarray,
    gland: np.ndarray | None = None, scale: float = 1.0, *, start: np.ndarray | None = None, orientations: Collection[str] = (),
) -> Match:  # fmt: skip
    """The affine from an MRI slice to a slide's picture, decided by the pictures.

    mri: (h, w), any units. mri_mm: its pixel (x, y). slide: (h, w, 3) or grey (h, w) uint8, pixels of slide_mm, best 0.1 to 0.2.
    tissue: (h, w) bool of the slide. gland: (h, w) bool of the MRI, where known. scale: expected mm on the slide per mm on the MRI;
    0.8 to 1.25 times that is searched. About 2 s for a field of 77 mm, more for a larger one without a gland.
    start: (2, 3) as Match.affine, from where it is refined and nothing else is tried; its own scale is then the expected one.
    orientations: those that are tried, all where empty. The lead is infinite where no other flip was tried.
    Raises InputError for masks of another size or empty ones, and for an MRI that is constant or not finite.
    """
    given, offset = _prepared(mri, mri_mm, slide, slide_mm, tissue, gland)
    levels = [Level(*given, *level) for level in LEVELS_MM]
    if start is None:
        found = starts_of([one for one in Search(*given).candidates(scale) if not orientations or one.orientation in orientations])
    else:
        first = np.column_stack([start[:, :2], start[:, 2] + start[:, :2] @ offset])
        found, scale = {orientation(first): [Candidate(first, 0.0)]}, float(np.sqrt(abs(np.linalg.det(start[:, :2]))))
    finalists = [finalist(starts, levels, scale) for starts in found.values()]
    return _decided(finalists, levels[-1], given[3], given[4], scale, offset)


def glance(
    mri: np.ndarray, mri_mm: tuple[float, float], slide: np.ndarray, slide_mm: float, tissue: np.ndarray,
    gland: np.ndarray | None = None, scale: float = 1.0, *, orientations: Collection[str] = (),
) -> float:  # fmt: skip
    """The best score of the search alone, without refinement: to choose among slices of one MRI. Given and raised: as by `match`."""
    given, _ = _prepared(mri, mri_mm, slide, slide_mm, tissue, gland)
    found = Search(*given).candidates(scale)
    return next((one.score for one in found if not orientations or one.orientation in orientations), 0.0)


def _prepared(
    mri: np.ndarray, mri_mm: tuple[float, float], slide: np.ndarray, slide_mm: float, tissue: np.ndarray, gland: np.ndarray | None
) -> tuple[Prepared, np.ndarray]:
    """(what Search and Level take, where the middle of the MRI's part that is searched lies, (2,) mm)."""
    _check(mri, slide, tissue, gland)
    offset = np.zeros(2)
    image = np.ascontiguousarray(mri, np.float32)
    if gland is not None:
        image, gland, offset = pictures.around(image, gland, mri_mm)
    shares, inside, pixel_mm = _slide(slide, tissue, slide_mm)
    return (image, mri_mm, shares, inside, pixel_mm, gland), offset


def _check(mri: np.ndarray, slide: np.ndarray, tissue: np.ndarray, gland: np.ndarray | None) -> None:
    if tissue.shape != slide.shape[:2] or (gland is not None and gland.shape != mri.shape):
        raise InputError("a mask and its picture differ in size", fix="give masks on the pixels of their pictures")
    if not tissue.any() or (gland is not None and not gland.any()):
        raise InputError("a mask is empty", fix="check the slide's tissue and the gland's mask")
    if not np.isfinite(mri).all() or np.ptp(mri) == 0:
        raise InputError("the MRI slice is constant or holds values that are not finite", fix="choose another slice")


def _slide(slide: np.ndarray, tissue: np.ndarray, slide_mm: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Maps (h, w, c), tissue (h, w) bool and their pixel in mm."""
    if slide_mm < 0.9 * FINEST_MM:
        pixel = slide_mm, slide_mm
        # Glass is bright: beyond the picture's edge, where reading gives 0, its negative is.
        slide = (255 - np.clip(np.rint(pictures.resampled(255 - slide.astype(np.float32), pixel, FINEST_MM)), 0, 255)).astype(np.uint8)
        tissue = pictures.resampled(tissue.astype(np.float32), pixel, FINEST_MM) > 0.5
        slide_mm = FINEST_MM
    return maps(slide, tissue, slide_mm), tissue, slide_mm


def starts_of(candidates: list[Candidate]) -> dict[str, list[Candidate]]:
    """The best of each orientation."""
    found: dict[str, list[Candidate]] = {}
    for one in candidates:
        kept = found.setdefault(one.orientation, [])
        if len(kept) < EACH:
            kept.append(one)
    return found


def finalist(starts: list[Candidate], levels: list[Level], scale: float) -> tuple[Judged, np.ndarray]:
    """The best start refined through all levels: (how good, affine)."""
    made = []
    for start in starts:
        affine = start.affine
        for level in levels[:-1]:
            affine = level.refined(affine, scale)
        made.append((levels[-1].judged(affine), affine))
    _, affine = max(made, key=lambda one: one[0].score)
    affine = levels[-1].refined(affine, scale)
    return levels[-1].judged(affine), affine


def _decided(
    finalists: list[tuple[Judged, np.ndarray]], level: Level, tissue: np.ndarray, pixel_mm: float, scale: float, offset: np.ndarray
) -> Match:
    if not finalists:
        raise InputError("the slide's tissue shows nothing that could be found on the MRI", fix="check the slide and its scale")
    ranked = sorted(finalists, key=lambda one: -one[0].score)
    judged, affine = ranked[0]
    scores: dict[str, float] = {}
    for one, place in ranked:
        scores.setdefault(orientation(place), round(one.score, 1))
    mirrored = np.linalg.det(affine[:, :2]) < 0
    others = [one.score for one, place in ranked if (np.linalg.det(place[:, :2]) < 0) != mirrored]
    lead = judged.score / max(*others, 1e-6) if others else np.inf
    doubts = _doubts(judged, lead, affine, level, scale) + _straight(tissue, pixel_mm)
    moved = np.column_stack([affine[:, :2], affine[:, 2] - affine[:, :2] @ offset])
    return Match(moved, orientation(affine), scores, float(lead), judged, doubts)


def _doubts(judged: Judged, lead: float, affine: np.ndarray, level: Level, scale: float) -> tuple[str, ...]:
    said = []
    if judged.alike < LEAST_ALIKE:
        said.append(f"only {judged.alike:.0%} of the tissue looks like its place on the MRI")
    if judged.explained < LEAST_EXPLAINED:
        said.append(f"the slide explains only {judged.explained:.0%} of how the MRI varies under it")
    if lead < LEAST_LEAD:
        said.append(f"the best place of the other flip scores nearly as well: {1 / max(lead, 1e-6):.0%}")
    if judged.overlap < LEAST_OVERLAP:
        said.append(f"tissue and gland overlap by a Dice of {judged.overlap:.2f} only")
    if not sane(affine, scale):
        said.append(f"the scale is beyond {SCALE[0]} to {SCALE[1]} times the expected one, or the slide is stretched")
    if (inside := level.inside(affine)) < LEAST_INSIDE:
        said.append(f"only {inside:.0%} of the tissue lies within the MRI's picture")
    return tuple(said)


def _straight(tissue: np.ndarray, pixel_mm: float) -> tuple[str, ...]:
    longest, diameter = straight_side_mm(tissue, pixel_mm), 2 * np.sqrt(tissue.sum() / np.pi) * pixel_mm
    if longest < STRAIGHT * diameter:
        return ()
    return (f"the tissue has a straight side of {longest:.0f} mm: a part of it may be cut off or blank",)


def straight_side_mm(tissue: np.ndarray, pixel_mm: float) -> float:
    """How much of the outline of the tissue (h, w) lies, at most, within STRAIGHT_MM of a straight line that all tissue is beside."""
    cv2 = pictures.opencv()
    outlines, _ = cv2.findContours(tissue.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(outlines)[:, 0] * pixel_mm
    longest = 0
    for angle in np.radians(np.arange(360)):
        across = points @ [np.cos(angle), np.sin(angle)]
        along = points[across > across.max() - STRAIGHT_MM] @ [-np.sin(angle), np.cos(angle)]
        # Steps of two pixels: an oblique outline has fewer points along its length.
        longest = max(longest, len(np.unique(np.round(along / (2 * pixel_mm)))))
    return longest * 2 * pixel_mm
