"""Where a slide lies on an MRI slice by learned features of places: mutual nearest neighbours, a robust affine through them, and again.

The network learned of slides that are turned by at most 20 degrees, so the slide is shown to it in 24 ways, turned by every 30 degrees and
mirrored or not. The view with most neighbours on one affine wins, the slide is shown again as found there, and matched again. A place is
some 5 mm wide; so in the end each place of the MRI is compared with the slide's at quarters of a place around where it lies.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from .registration_pictures import applied, around, opencv, places, read, resampled
from .registration_search import orientation

PIXEL_MM, PATCH = 0.3, 16
"""Of the pictures that the network is shown, and pixels a side of a place."""
PLACE_MM = PIXEL_MM * PATCH
SLIDE_PLACES = 16
"""A side: the slide is shown on a field of 76.8 mm about its tissue's middle."""
TURN_DEGREES, ROUNDS = 30, 3
QUARTERS, FINE_ROUNDS = 4, 2
SCALE = (0.6, 1.7)
"""Affines that stretch or shrink more than this in any direction are not believed."""
FEW = 12
"""With fewer neighbours on the affine than this there is nothing to believe; an affine through any three points has three."""
LEAST_SHARE, LEAST_LEAD = 0.7, 1.3
"""Share of the tissue's places that were found, and neighbours over those of the other flip, below which a result is doubted. On
pseudo-MRIs of pieces that validated the training right pairs had at least 0.85 and 1.5, wrong ones with enough neighbours at most 0.62
of the first."""
GLASS = 245.0
"""What lies beyond the slide's picture, as in training."""


@dataclass(frozen=True, eq=False)
class Placed:
    """affine: (2, 3), MRI → slide, (x, y) in mm from each picture's middle. neighbours: places of the tissue on it; share: of all places
    of the tissue. scores: the most neighbours of each orientation (registration_search.orientation) that was tried."""

    affine: np.ndarray
    neighbours: int
    share: float
    scores: dict[str, int]

    @property
    def lead(self) -> float:
        """Neighbours over those of the best view of the other flip; infinite where none was tried."""
        flip = orientation(self.affine)[0]
        others = [count for name, count in self.scores.items() if name[0] != flip]
        return self.neighbours / max(*others, 1) if others else np.inf


def place(
    mri: np.ndarray, mri_mm: tuple[float, float], slide: np.ndarray, slide_mm: float, tissue: np.ndarray,
    gland: np.ndarray | None = None, *, module: Any, orientations: Collection[str] = (),
) -> Placed:  # fmt: skip
    """mri, mri_mm, slide, slide_mm, tissue, gland: as registration.match, of one scale. module: of networks.FEATURE_NAMES.

    orientations: those that are tried, all where empty. About 3 s with one core for a field of 77 mm.
    """
    cut, _, offset = (mri, None, np.zeros(2)) if gland is None else around(mri, gland, mri_mm)
    pair = _Pair(cut, mri_mm, slide, slide_mm, tissue, module)
    found = [pair.matched(view) for view in views(pair.middle) if not orientations or orientation(view) in orientations]
    scores: dict[str, int] = {}
    for affine, count in found:
        name = orientation(affine)
        scores[name] = max(count, scores.get(name, 0))
    affine, count = max(found, key=lambda one: one[1])
    for _ in range(ROUNDS - 1):
        closer, again = pair.matched(affine)
        if again < count:
            break
        affine, count = closer, again
    share = count / max(int(pair.on_tissue(affine, pair.places).sum()), 1)
    for _ in range(FINE_ROUNDS):
        affine = pair.finer(affine)
    moved = np.column_stack([affine[:, :2], affine[:, 2] - affine[:, :2] @ offset])
    return Placed(moved, count, share, scores)


def doubts(placed: Placed) -> tuple[str, ...]:
    """Sentences that say why not to trust it; empty for a sure one."""
    said = []
    if placed.neighbours < FEW or placed.share < LEAST_SHARE:
        said.append(f"only {placed.share:.0%} of the slide's places were found on the MRI by their features")
    elif placed.lead < LEAST_LEAD:
        said.append(f"the features fit the other flip nearly as well: {1 / placed.lead:.0%}")
    return tuple(said)


def views(middle: np.ndarray) -> list[np.ndarray]:
    """(2, 3) affines, MRI → slide, that turn and mirror and take the MRI's middle to `middle` (2,) mm of the slide."""
    made = []
    for angle, side in itertools.product(np.radians(np.arange(0, 360, TURN_DEGREES)), (1.0, -1.0)):
        c, s = np.cos(angle), np.sin(angle)
        made.append(np.column_stack([np.array([[c, -s], [s, c]]) @ np.diag([side, 1.0]), middle]))
    return made


def composed(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(2, 3): `inner` first, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def neighbours(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices (k,), (k,) of a (n, d) and b (m, d), of length 1 each, that are each other's nearest."""
    alike = a @ b.T
    forth, back = alike.argmax(1), alike.argmax(0)
    mutual = np.flatnonzero(back[forth] == np.arange(len(a)))
    return mutual, forth[mutual]


def robust(points: np.ndarray, moved: np.ndarray, tolerance_mm: float) -> tuple[np.ndarray, int]:
    """(affine (2, 3), neighbours on it) by RANSAC, then least squares; the identity and 0 where there is none to be believed."""
    cv2, nothing = opencv(), (np.eye(2, 3), 0)
    if len(points) < 4:
        return nothing
    cv2.setRNGSeed(1)
    affine, on = cv2.estimateAffine2D(points, moved, method=cv2.RANSAC, ransacReprojThreshold=tolerance_mm, maxIters=2000)
    if affine is None:
        return nothing
    scales = np.linalg.svd(affine[:, :2], compute_uv=False)
    believed = SCALE[0] <= scales.min() and scales.max() <= SCALE[1]
    return (affine, int(on.sum())) if believed else nothing


def features(module: Any, picture: np.ndarray, kind: str) -> np.ndarray:
    """picture (h, w) or (h, w, 3), about 0 to 1 → (places, d), row by row, of length 1.

    The mean over the picture is taken away: it says nothing of a place, and differs between the two networks.
    """
    import torch

    given = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(picture).transpose(2, 0, 1), np.float32))
    with torch.inference_mode():
        found = module.dense(given[None], kind)[0].flatten(1).T.numpy()
    found = found - found.mean(0)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


class _Pair:
    """Both pictures as the network sees them; given as to `place`. middle: (2,) mm, the tissue's on the slide."""

    def __init__(
        self, mri: np.ndarray, mri_mm: tuple[float, float], slide: np.ndarray, slide_mm: float, tissue: np.ndarray, module: Any
    ) -> None:
        self.module, self.slide_mm = module, max(slide_mm, PIXEL_MM / 1.5)
        # Glass is bright: beyond the picture's edge, where reading gives 0, the difference from it is.
        self.stain = resampled(GLASS - slide.astype(np.float32), (slide_mm, slide_mm), self.slide_mm)
        self.tissue = resampled(tissue.astype(np.float32), (slide_mm, slide_mm), self.slide_mm)
        self.middle = places(self.tissue.shape, (self.slide_mm,) * 2)[self.tissue > 0.5].mean(0).astype(np.float64)
        rows, columns = (max(SLIDE_PLACES, int(np.ceil(n * mm / PLACE_MM - 1e-6))) for n, mm in zip(mri.shape, mri_mm[::-1], strict=True))
        low, high = np.percentile(mri, (1, 99))
        image = (np.asarray(mri, np.float32) - low) / max(high - low, 1e-6)
        grid = places((rows * PATCH, columns * PATCH), (PIXEL_MM, PIXEL_MM))
        self.fixed = features(module, read(image.astype(np.float32), mri_mm, grid), "mri")
        self.fixed_places, self.places = (_place_centres(shape) for shape in ((rows, columns), (SLIDE_PLACES, SLIDE_PLACES)))

    def _moving(self, view: np.ndarray) -> np.ndarray:
        grid = applied(view, places((SLIDE_PLACES * PATCH,) * 2, (PIXEL_MM, PIXEL_MM)))
        shown = GLASS - read(self.stain, (self.slide_mm, self.slide_mm), grid)
        return features(self.module, shown / 255, "slide")

    def on_tissue(self, view: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(n,) bool: whether `view` takes points (n, 2) into the slide's tissue."""
        return read(self.tissue, (self.slide_mm, self.slide_mm), applied(view, points[None]))[0] > 0.5

    def matched(self, view: np.ndarray) -> tuple[np.ndarray, int]:
        """(affine, neighbours on it), from the slide shown by `view`, an affine MRI → slide."""
        here, there = neighbours(self.fixed, self._moving(view))
        on = self.on_tissue(view, self.places)[there]
        affine, count = robust(self.fixed_places[here[on]], self.places[there[on]], PLACE_MM)
        return composed(view, affine), count

    def finer(self, view: np.ndarray) -> np.ndarray:
        """The affine through the most alike places at most a place from where `view` has them; `view` where none is to be believed."""
        steps = (np.arange(QUARTERS) - (QUARTERS - 1) / 2) * PLACE_MM / QUARTERS
        shifts = [np.array(shift) for shift in itertools.product(steps, steps)]
        moving = np.concatenate([self._moving(composed(view, np.column_stack([np.eye(2), shift]))) for shift in shifts])
        there = np.concatenate([self.places + shift for shift in shifts])
        on = self.on_tissue(view, self.fixed_places)
        apart = np.linalg.norm(self.fixed_places[on, None] - there[None], axis=-1)
        nearest = np.where(apart <= PLACE_MM, self.fixed[on] @ moving.T, -1).argmax(1)
        affine, count = robust(self.fixed_places[on], there[nearest], PLACE_MM / 2)
        return composed(view, affine) if count >= FEW else view


def _place_centres(shape: tuple[int, int]) -> np.ndarray:
    """(places, 2) float64 mm, row by row, of a picture of so many places."""
    return places(shape, (PLACE_MM, PLACE_MM)).reshape(-1, 2).astype(np.float64)
