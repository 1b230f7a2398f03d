"""Refinement of an affine between MRI and slide at one resolution: Gauss–Newton on the picture that the slide's maps predict.

The MRI is modelled as a weighted sum of the slide's maps. Each step solves, by least squares over the tissue, for the weights and for a
change of the affine together. Places that fit much worse than the usual, tissue lost on the way from one to the other, count less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .registration_pictures import applied, blurred, even, parts, places, read, resampled, without_slow

STEPS = 8
LARGEST_STEP_MM, SMALLEST_STEP_MM = 3.0, 0.02
"""No place moves further in one step; below the second the fit has converged."""
NEAR_MM = 2.0
"""Standard deviation of the neighbourhood over which misfit and likeness are judged."""
RIDGE = 1e-4
LEAST_PIXELS = 50
STRETCH, SCALE = 1.4, (0.65, 1.45)
"""Ratio of the longest to the shortest direction, and mean scale, beyond which a fit has run away."""
ALIKE = 0.3
"""Local correlation of MRI and prediction from which a place counts as explained."""


@dataclass(frozen=True, eq=False)
class Judged:
    """score: registration_search, at this level. explained: R² over the tissue. alike: share of the tissue that is explained locally.
    overlap: Dice of tissue and gland, 1 without a gland."""

    score: float
    explained: float
    alike: float
    overlap: float


NOTHING = Judged(0.0, 0.0, 0.0, 0.0)


def sane(affine: np.ndarray, scale: float = 1.0) -> bool:
    """Whether an affine neither stretches nor scales beyond what tissue does. scale: the expected one."""
    if not np.isfinite(affine).all():
        return False
    long, short = np.linalg.svd(affine[:, :2])[1]
    return bool(long < STRETCH * short and SCALE[0] * scale < np.sqrt(long * short) < SCALE[1] * scale)


class Level:
    """Both pictures at pixels of pixel_mm, smoothed by sigma_mm. The rest as registration_search.Search."""

    def __init__(
        self, mri: np.ndarray, mri_mm: tuple[float, float], maps: np.ndarray, tissue: np.ndarray, slide_mm: float,
        gland: np.ndarray | None, pixel_mm: float, sigma_mm: float,
    ) -> None:  # fmt: skip
        self.pixel_mm, self.slide_mm = pixel_mm, max(pixel_mm / 2, slide_mm)
        self.image = even(blurred(resampled(mri, mri_mm, pixel_mm), sigma_mm / pixel_mm), pixel_mm)
        self.tissue, shares = (resampled(a, (slide_mm, slide_mm), self.slide_mm) for a in (tissue.astype(np.float32), maps))
        sigma = sigma_mm / self.slide_mm
        self.maps = without_slow(blurred(shares, sigma), blurred(self.tissue, sigma), self.slide_mm)
        self.parts = parts(self.maps)
        self.grid = places(self.image.shape, (pixel_mm, pixel_mm))
        self.gland = None if gland is None else resampled(gland.astype(np.float32), mri_mm, pixel_mm) > 0.5

    def _read(self, picture: np.ndarray | tuple[np.ndarray, ...], affine: np.ndarray) -> np.ndarray:
        return read(picture, (self.slide_mm, self.slide_mm), applied(affine, self.grid))

    def _model(self, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(h, w) bool where tissue lies, and (n, c + 1) the maps there and a constant."""
        inside = self._read(self.tissue, affine) > 0.5
        maps = self._read(self.parts, affine)[inside].astype(np.float64)
        return inside, np.column_stack([maps, np.ones(len(maps))])

    def inside(self, affine: np.ndarray) -> float:
        """Share of the slide's tissue that lies within the MRI's picture."""
        area = abs(float(np.linalg.det(affine[:, :2]))) * self.pixel_mm**2 * float(self._read(self.tissue, affine).sum())
        return area / (float(self.tissue.sum()) * self.slide_mm**2)

    def refined(self, affine: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """(2, 3): after at most STEPS steps; the one given where they run away."""
        made, trust = affine, np.ones(self.image.shape)
        for _ in range(STEPS):
            inside, model = self._model(made)
            if inside.sum() < LEAST_PIXELS:
                return affine
            change, residual = self._step(made, inside, model, trust)
            largest = np.linalg.norm(applied(change, self.grid[inside]), axis=-1).max()
            made = made + change * min(1.0, LARGEST_STEP_MM / max(largest, 1e-9))
            if largest < SMALLEST_STEP_MM or not np.isfinite(made).all():
                break
            trust = self._trust(residual, inside)
        return made if sane(made, scale) else affine

    def _step(self, affine: np.ndarray, inside: np.ndarray, model: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The change of the affine (2, 3), and the residual (n,) before it."""
        values, weight = self.image[inside].astype(np.float64), trust[inside]
        weights = solved(model, values, weight)
        slope_y, slope_x = np.gradient(self.maps @ weights[:-1].astype(np.float32), self.slide_mm)
        slope = self._read(np.dstack([slope_x, slope_y]), affine)[inside].astype(np.float64)
        at = np.column_stack([self.grid[inside], np.ones(len(slope))])
        both = np.column_stack([model, slope[:, :1] * at, slope[:, 1:] * at])
        return solved(both, values, weight)[model.shape[1] :].reshape(2, 3), values - model @ weights

    def _trust(self, residual: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(h, w): 1 where the neighbourhood fits, less where its misfit is beyond the usual."""
        misfit = self._near(spread(residual**2, inside)) / (self._near(inside.astype(np.float64)) + 1e-3)
        return 1 / (1 + (misfit / (np.median(misfit[inside]) + 1e-6)) ** 2)

    def _near(self, values: np.ndarray) -> np.ndarray:
        return blurred(values, NEAR_MM / self.pixel_mm)

    def judged(self, affine: np.ndarray) -> Judged:
        """How well the slide's maps, at the best weights, predict the MRI under an affine."""
        inside, model = self._model(affine)
        if inside.sum() < LEAST_PIXELS:
            return NOTHING
        values = self.image[inside].astype(np.float64)
        predicted = model @ solved(model, values, np.ones(len(values)))
        variation = float(np.square(values - values.mean()).sum())
        explained = 1 - float(np.square(values - predicted).sum()) / variation if variation > 0 else 0.0
        overlap = 1.0 if self.gland is None else 2 * float((inside & self.gland).sum() / (inside.sum() + self.gland.sum()))
        score = -float(inside.sum()) * self.pixel_mm**2 * float(np.log1p(-np.clip(explained, 0, 0.999))) * overlap
        return Judged(score, explained, self._alike(values, predicted, inside), overlap)

    def _alike(self, values: np.ndarray, predicted: np.ndarray, inside: np.ndarray) -> float:
        a, b, one = spread(values, inside), spread(predicted, inside), self._near(inside.astype(np.float64)) + 1e-6
        mean_a, mean_b = self._near(a) / one, self._near(b) / one
        both = self._near(a * b) / one - mean_a * mean_b
        each = (self._near(a * a) / one - mean_a**2) * (self._near(b * b) / one - mean_b**2)
        return float((both / np.sqrt(np.maximum(each, 1e-4)) > ALIKE)[inside].mean())


def spread(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(h, w) of values (n,) at the places inside, 0 elsewhere."""
    made = np.zeros(inside.shape)
    made[inside] = values
    return made


def solved(columns: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares with a small ridge, so that maps which show nothing here do no harm."""
    normal = (columns * weight[:, None]).T @ columns
    ridge = np.diag(RIDGE * np.diag(normal) + 1e-9)
    return np.linalg.solve(normal + ridge, columns.T @ (weight * values))
