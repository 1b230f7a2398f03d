"""Figures of enlarged CT against micro-CT: fidelity by structure, texture, spectrum, airway walls. Images are (8h, 8w) in HU.

Peak signal-to-noise ratio and structural similarity take RANGE_HU as the data range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from MedSRLib import metrics
from scipy import ndimage

from . import lung_phantom

RANGE_HU = 1000.0
"""Air to water: what lung spans, and 1 in the networks' units."""
RIM = 2
"""Micro-CT pixels around walls and vessels that count with them: their edges are what is to be sharp."""
SOLID_HU = -500.0
"""Above it a pixel is tissue; half-way between air and water."""


def regions(labels: np.ndarray) -> dict[str, np.ndarray]:
    """(8h, 8w) labels of a phantom → masks: everything; walls and vessels with their rim; foam without that rim; nodule."""
    structure = ndimage.binary_dilation(np.isin(labels, (lung_phantom.WALL, lung_phantom.VESSEL)), iterations=RIM)
    return {
        "all": np.ones(labels.shape, bool),
        "walls_vessels": structure,
        "foam": (labels == lung_phantom.FOAM) & ~structure,
        "nodule": (labels == lung_phantom.NODULE) & ~structure,
    }


def fidelity(true: np.ndarray, made: np.ndarray, inside: dict[str, np.ndarray]) -> dict[str, float]:
    """psnr_… in dB and ssim_… for each region that is not empty; the SSIM map is computed over the whole image."""
    whole = metrics.ssim_map(true.astype(np.float64), made.astype(np.float64), RANGE_HU)
    out = {}
    for name, mask in inside.items():
        if mask.any():
            out |= {f"psnr_{name}": metrics.psnr(true, made, RANGE_HU, mask), f"ssim_{name}": float(whole[mask].mean())}
    return out


LEVELS, PATCH, PROJECTIONS = 4, 7, 128


class SlicedWasserstein:
    """Distance of two sets of images by what their patches look like; 0 where alike, 1 where they differ by as much as they vary.

    Sliced Wasserstein distance of 7×7 patches of a Laplacian pyramid, as in Karras et al., "Progressive growing of GANs", ICLR 2018,
    section 5, but in units of the true patches' standard deviation at that level, so that lost contrast counts. It needs no trained
    features, and is not the Fréchet inception distance. The same seed gives the same places and directions.
    """

    def __init__(self, patches_per_image: int = 1024, seed: int = 2020) -> None:
        self.count, self.seed = patches_per_image, seed
        directions = np.random.default_rng(seed).standard_normal((PATCH * PATCH, PROJECTIONS))
        self.directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)

    def features(self, image: np.ndarray, key: int) -> np.ndarray:
        """(LEVELS, patches, PROJECTIONS) float32: random patches of an image, projected. key: the same places for the same key."""
        rng, out = np.random.default_rng((self.seed, key)), []
        for level in laplacian_pyramid(image.astype(np.float32)):
            windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH))
            y, x = (rng.integers(n, size=self.count) for n in windows.shape[:2])
            out.append(windows[y, x].reshape(self.count, -1) @ self.directions)
        return np.stack(out)

    @staticmethod
    def distances(true: list[np.ndarray], made: list[np.ndarray]) -> np.ndarray:
        """(LEVELS,), finest first: mean over directions of the distance between sorted projections, over the true ones' deviation."""
        a, b = (np.sort(np.concatenate(parts, 1), 1) for parts in (true, made))
        return np.abs(a - b).mean((1, 2)) / a.std(1).mean(1)


def laplacian_pyramid(image: np.ndarray) -> list[np.ndarray]:
    """LEVELS images, each half as large as the one before: what each scale adds, and last what is left."""
    out = []
    for _ in range(LEVELS - 1):
        smooth = ndimage.gaussian_filter(image, 1.0)
        out.append(image - smooth)
        image = smooth[::2, ::2]
    return [*out, image]


INSIDE_MM, OUTSIDE_MM, STEP_MM = 0.7, 1.3, 0.02
LEAST_LUMEN_MM = 0.7
"""Radius of the airways whose walls are measured: a blurred edge must have room to fall."""
MOST_WALL_MM = 0.9
SHARP_MM = 0.25
"""Walls that cross the slice so obliquely that the true edge is wider are left out."""


class Profiles(NamedTuple):
    """Where walls are measured: (k, 2) pixels (y, x) on the lumen's border, and (k, 2) unit normals that point outwards."""

    points: np.ndarray
    normals: np.ndarray
    micro_mm: float


def wall_profiles(labels: np.ndarray, micro_mm: float, most: int = 400) -> Profiles:
    """Points on the border of wide lumina from where, going outwards, a wall and then nothing but foam is met. Evenly thinned out."""
    lumen = labels == lung_phantom.LUMEN
    wide = ndimage.distance_transform_edt(lumen) >= LEAST_LUMEN_MM / micro_mm
    near = ndimage.binary_dilation(wide, iterations=round(1.5 * LEAST_LUMEN_MM / micro_mm)) & lumen
    signed = ndimage.gaussian_filter(ndimage.distance_transform_edt(~lumen) - ndimage.distance_transform_edt(lumen), 1.5)
    border = np.argwhere(near & ndimage.binary_dilation(~lumen))
    normals = np.stack([g[tuple(border.T)] for g in np.gradient(signed)], 1)
    long = np.linalg.norm(normals, axis=1)
    border, normals = border[long > 0.5], normals[long > 0.5] / long[long > 0.5, None]
    met = sampled(labels.astype(np.float32), Profiles(border, normals, micro_mm), order=0)
    at = offsets()
    foam_after = (met[:, at > MOST_WALL_MM - 0.2] == lung_phantom.FOAM).all(1)
    only_wall = np.isin(met[:, (at > 0) & (at <= MOST_WALL_MM)], (lung_phantom.LUMEN, lung_phantom.WALL, lung_phantom.FOAM)).all(1)
    good = np.flatnonzero(foam_after & only_wall & (met == lung_phantom.WALL).any(1))
    good = good[:: max(1, -(-len(good) // most))]
    return Profiles(border[good].astype(float), normals[good], micro_mm)


def sharp(true: np.ndarray, profiles: Profiles) -> Profiles:
    """Those whose edge in the true image is at most SHARP_MM wide."""
    good = walls(true, profiles)[:, 0] <= SHARP_MM
    return Profiles(profiles.points[good], profiles.normals[good], profiles.micro_mm)


def offsets() -> np.ndarray:
    """Positions along a profile in mm, from inside the lumen outwards."""
    return np.arange(-INSIDE_MM, OUTSIDE_MM, STEP_MM)


def sampled(image: np.ndarray, profiles: Profiles, order: int = 1) -> np.ndarray:
    """(k, positions): the image along each profile."""
    where = profiles.points[:, None] + profiles.normals[:, None] * (offsets() / profiles.micro_mm)[None, :, None]
    return ndimage.map_coordinates(image, where.transpose(2, 0, 1), order=order, mode="nearest")


def walls(image: np.ndarray, profiles: Profiles) -> np.ndarray:
    """(k, 2) mm: edge width (10 to 90 % of the rise from lumen to wall) and wall thickness (full width at half of both sides' rise).

    nan where the image shows no wall there: no peak 50 HU above the foam outside.
    """
    along, at = sampled(image, profiles), offsets()
    lumen = along[:, at < -0.1].min(1)
    zone = np.where(at[None] <= MOST_WALL_MM, along, -np.inf)
    peak = zone.argmax(1)
    height, foam = zone.max(1), along[:, at > MOST_WALL_MM].mean(1)
    widths = []
    for i in range(len(along)):
        rise = along[i, : peak[i] + 1][::-1]  # from the peak inwards
        low, high = (_first_below(rise, lumen[i] + part * (height[i] - lumen[i])) for part in (0.1, 0.9))
        inner = _first_below(rise, (lumen[i] + height[i]) / 2)
        outer = _first_below(along[i, peak[i] :], (foam[i] + height[i]) / 2)
        widths.append((low - high, inner + outer))
    out = np.array(widths).reshape(-1, 2) * STEP_MM
    out[height < foam + 50] = np.nan
    return out


def _first_below(values: np.ndarray, level: float) -> float:
    """Index, between samples, where `values` first falls below `level`; nan where it never does."""
    below = np.flatnonzero(values < level)
    if not below.size or below[0] == 0:
        return float("nan")
    k = int(below[0])
    return k - (level - values[k]) / (values[k - 1] - values[k])


def tissue(image: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """(mean HU, share of pixels above SOLID_HU) inside a mask."""
    return float(image[inside].mean()), float((image[inside] > SOLID_HU).mean())
