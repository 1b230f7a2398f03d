"""Lay one stain of a tissue on another by their pictures: serial sections, of any stains, nearly as large as each other.

It is the search and the refinement of registration.py with other maps: how dark a place is on one section is predicted from how dark it
is on the other, whatever either stain marks. No doubt is computed: its limits were never measured between stains. Where the darkness
of one stain says nothing about that of the other (a marker that stains only what the other leaves pale), it must fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .registration import LEVELS_MM, finalist, starts_of
from .registration_fit import Level
from .registration_search import Search, orientation
from .registration_stains import NUCLEI_MM, darkness, shades

LONGEST = 54.0
"""What the longer side of a picture is taken to be in mm: the search's and the levels' sizes are those of a gland."""
FINEST = (0.2, 0.2)
"""One resolution more than between slide and MRI: both are sharp."""


@dataclass(frozen=True, eq=False)
class Laid:
    """affine: (2, 3), pixels (x, y) of the fixed picture to those of the moving one, both from the corner of the first pixel.

    orientation: as of registration_search. scores: of each orientation. explained: R² of the darkness, finest resolution.
    """

    affine: np.ndarray
    orientation: str
    scores: dict[str, float]
    explained: float


def between(fixed: np.ndarray, moving: np.ndarray) -> Laid:
    """fixed, moving: (h, w, 3) uint8, pixels of one size, all of the same tissue and about the same part of it.

    Raises InputError for a picture that is blank, or where nothing alike is found.
    """
    for name, picture in (("fixed", fixed), ("moving", moving)):
        if np.ptp(picture) == 0:
            raise InputError("the picture is blank", where=name)
    pixel = LONGEST / max(fixed.shape[:2])
    image, other = (darkness(picture, NUCLEI_MM / pixel) for picture in (fixed, moving))
    given = image, (pixel, pixel), shades(other), np.ones(other.shape, bool), pixel, None
    *levels, last = (Level(*given, *level) for level in (*LEVELS_MM, FINEST))
    starts = starts_of(Search(*given).candidates())
    if not starts:
        raise InputError("nothing alike was found on the two pictures", fix="check that they show the same tissue")
    found = sorted((finalist(each, levels, 1.0) for each in starts.values()), key=lambda one: -one[0].score)
    scores: dict[str, float] = {}
    for judged, affine in found:
        scores.setdefault(orientation(affine), round(judged.score, 1))
    best = last.refined(found[0][1])
    return Laid(_in_pixels(best, fixed, moving, pixel), orientation(best), scores, last.judged(best).explained)


def _in_pixels(affine: np.ndarray, fixed: np.ndarray, moving: np.ndarray, pixel: float) -> np.ndarray:
    """Of an affine in mm from the pictures' middles."""
    middles = [np.array(picture.shape[1::-1]) / 2 for picture in (fixed, moving)]
    return np.column_stack([affine[:, :2], affine[:, 2] / pixel + middles[1] - affine[:, :2] @ middles[0]])
