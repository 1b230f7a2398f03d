"""The published evaluation: every other slice left out, rebuilt half-way between its neighbours, scored slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import volumes

CROP = 128
Rebuild = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(kept slices (n, h, w), their positions in mm, wanted positions) → slices at the wanted positions."""


@dataclass(frozen=True)
class Case:
    """One subject, prepared. slices: (n, 128, 128) float32 in [0, 1]."""

    name: str
    slices: np.ndarray
    spacing_mm: float

    def left_out(self) -> range:
        return range(1, len(self.slices) - 1, 2)


def prepare(path: Path) -> Case:
    """Scaled and clamped by the 1st and 99th percentile, in-plane 1.4 mm (cubic spline, clamped again), centre 128×128.

    The paper does not say which interpolation resamples in-plane; a cubic spline is harder for every method than linear,
    which smooths slices before they are compared.
    """
    volume, spacing = volumes.read(path)
    slices = np.clip(volumes.normalised(volume), 0, 1)
    slices = np.clip(volumes.resampled(slices, (spacing[1], spacing[2]), volumes.PAPER_PIXEL_MM), 0, 1)
    y, x = ((length - CROP) // 2 for length in slices.shape[1:])
    return Case(path.name.split("_")[0], slices[:, y : y + CROP, x : x + CROP], float(spacing[0]))


def cases(folder: Path) -> list[Case]:
    return [prepare(path) for path in sorted(folder.glob("*.nii.gz"))]


def score(case: Case, rebuild: Rebuild) -> list[dict[str, float | str | int]]:
    """A row for each left-out slice that has both neighbours. The method sees the kept slices only."""
    from skimage.metrics import structural_similarity

    positions = np.arange(len(case.slices)) * case.spacing_mm
    left_out = list(case.left_out())
    made = rebuild(case.slices[::2].copy(), positions[::2].copy(), positions[left_out])
    rows = []
    for k, value in zip(left_out, made, strict=True):
        true = case.slices[k]
        ssim = structural_similarity(true, value, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
        psnr = -10 * np.log10(np.mean((true - value) ** 2))
        rows.append({"subject": case.name, "slice": k, "psnr": psnr, "ssim": ssim, "sharpness": energy(value) / energy(true)})
    return rows


def energy(image: np.ndarray) -> float:
    """Mean squared gradient (forward differences)."""
    return float(np.mean(np.diff(image, axis=0) ** 2) + np.mean(np.diff(image, axis=1) ** 2))


def means(rows: list[dict], column: str) -> float:
    """Mean over the slices of a subject, then over subjects."""
    names = sorted({r["subject"] for r in rows})
    return float(np.mean([np.mean([r[column] for r in rows if r["subject"] == n]) for n in names]))
