"""Where on the MRI a slide may lie: every flip, turn and scale, and all shifts of each at once.

For each flip, turn and scale the maps of the slide are laid on the MRI's grid and made orthonormal; their correlations with the MRI at
all shifts, by FFT, then say how much of the MRI's variation under the tissue they explain (R²), with the best weights at each shift.
The score is −n ln(1 − R²), n in mm²: twice the logarithm of the likelihood ratio, but for the area of an independent sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .registration_pictures import even, parts, places, read, resampled, without_slow

PIXEL_MM = 1.2
TURNS = 60
"""Turns by 6°: at 20 mm from the middle neighbours lie 2 mm apart, so each place is within a pixel of one."""
SCALES = (0.82, 0.9, 1.0, 1.1, 1.2)
"""Of the slide against the MRI, times the expected scale."""
LEAST_VARIANCE = 0.05
"""Of the MRI under the tissue, of 1 that is usual: less is nothing to explain."""
MOST = 0.99
"""R² above this is not believed."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """affine: (2, 3), MRI → slide in mm. score: of the search; comparable within one pair of pictures."""

    affine: np.ndarray
    score: float

    @property
    def orientation(self) -> str:
        return orientation(self.affine)


def orientation(affine: np.ndarray) -> str:
    """r0 to f270, nearest: f mirrors the slide left to right, then it is turned clockwise by the degrees, to lie on the MRI."""
    onto = np.linalg.inv(affine[:, :2])
    flip = bool(np.linalg.det(onto) < 0)
    turn = onto @ np.diag([-1.0 if flip else 1.0, 1.0])
    degrees = np.degrees(np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1]))
    return f"{'f' if flip else 'r'}{round(degrees / 90) % 4 * 90}"


def linears(scale: float) -> Iterator[np.ndarray]:
    """(2, 2): every flip, scale and turn of the search."""
    for factor in np.array(SCALES) * scale:
        for angle in np.arange(TURNS) * 2 * np.pi / TURNS:
            c, s = np.cos(angle), np.sin(angle)
            for side in (1.0, -1.0):
                yield factor * np.array([[c, -s], [s, c]]) @ np.diag([side, 1.0])


class Search:
    """mri: (h, w) float32 of mri_mm (x, y) pixels. maps (h, w, c), tissue (h, w) bool: of the slide, pixels of slide_mm.
    gland: (h, w) bool on the MRI, or none: what lies elsewhere then counts less, by Dice."""

    def __init__(
        self, mri: np.ndarray, mri_mm: tuple[float, float], maps: np.ndarray, tissue: np.ndarray, slide_mm: float,
        gland: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        from scipy import fft

        image = even(resampled(mri, mri_mm, PIXEL_MM), PIXEL_MM)
        self.slide_mm, self.grid = PIXEL_MM / 2, places(image.shape, (PIXEL_MM, PIXEL_MM))
        inside, shares = (resampled(a, (slide_mm, slide_mm), self.slide_mm) for a in (tissue.astype(np.float32), maps))
        self.maps = parts(np.dstack([without_slow(shares, inside, self.slide_mm), inside]))
        self.centre = places(inside.shape, (self.slide_mm,) * 2)[inside > 0.5].mean(0)
        self.size = [fft.next_fast_len(n, True) for n in image.shape]
        given = [image, image * image] + ([] if gland is None else [resampled(gland.astype(np.float32), mri_mm, PIXEL_MM)])
        self.spectra = [fft.rfft2(a, self.size) for a in given]
        self.gland_pixels = float(given[-1].sum())

    def candidates(self, scale: float = 1.0) -> list[Candidate]:
        """The best shift of each flip, turn and scale, best first."""
        found = [one for linear in linears(scale) if (one := self.best(linear)) is not None]
        return sorted(found, key=lambda one: -one.score)

    def best(self, linear: np.ndarray) -> Candidate | None:
        """None where the tissue is not on the grid, or shows nothing."""
        laid = read(self.maps, (self.slide_mm, self.slide_mm), self.grid @ linear.T.astype(np.float32) + self.centre)
        inside = (laid[..., -1] > 0.5).astype(np.float32)
        basis = orthonormal(laid[..., :-1], inside)
        if inside.sum() < 25 or not basis.shape[-1]:
            return None
        scores = self.scores(basis, inside)
        at = np.array(np.unravel_index(int(scores.argmax()), scores.shape))
        shift = np.where(at > np.array(scores.shape) // 2, at - scores.shape, at)[::-1] * PIXEL_MM
        return Candidate(np.column_stack([linear, self.centre - linear @ shift]), float(scores.max()))

    def scores(self, basis: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """At each shift in pixels, those beyond half of the picture negative ones."""
        from scipy import fft

        count = float(inside.sum())
        cover = np.conj(fft.rfft2(inside, self.size))
        explained = np.zeros(self.size)
        for k in range(basis.shape[-1]):
            explained += fft.irfft2(np.conj(fft.rfft2(basis[..., k], self.size)) * self.spectra[0], self.size) ** 2
        total, squares = (fft.irfft2(cover * spectrum, self.size) for spectrum in self.spectra[:2])
        share = explained / np.maximum(squares - total**2 / count, LEAST_VARIANCE * count)
        scores = -count * PIXEL_MM**2 * np.log1p(-np.minimum(share, MOST))
        if len(self.spectra) > 2:
            scores *= 2 * fft.irfft2(cover * self.spectra[2], self.size).clip(0) / (count + self.gland_pixels)
        return scores


def orthonormal(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(h, w, c) → (h, w, at most c): orthonormal over `inside`, of mean 0 there, 0 elsewhere; what is next to constant is left out."""
    made = maps * inside[..., None]
    made = made - inside[..., None] * (made.sum((0, 1)) / max(float(inside.sum()), 1.0))
    flat = made.reshape(-1, made.shape[-1])
    values, vectors = np.linalg.eigh((flat.T @ flat).astype(np.float64))
    kept = values > 1e-3 * max(float(values[-1]), 1e-6)
    return made @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
