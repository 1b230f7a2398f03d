"""Affine transforms and thin-plate warps of pictures, known exactly: drawn at random, applied to points, fitted, converted.

Positions are (x, y) in mm in a picture's own plane: the picture's middle is 0, x runs to the right, y down, and the centre of
pixel (column i, row j) of a picture of w × h pixels lies at ((i − (w − 1) / 2) · pixel_mm, (j − (h − 1) / 2) · pixel_mm).
An affine is a (2, 3) array that maps a position in the fixed picture (MRI) to one in the moving picture (slide), as a
SimpleITK transform does. Networks state the same map in halves of the picture's width and height (networks/matching.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
CONTROL = 6
"""Control points a side of a thin-plate warp, as ProsRegNet."""


@dataclass(frozen=True)
class Ranges:
    """What random affines are drawn from. flip: probability of a mirrored slide. rotation_degrees, shear and shift_mm (x and y, each):
    uniform between minus and plus that; scale: the same in both directions, uniform in 1 − scale to 1 + scale."""

    flip: float = 0.5
    rotation_degrees: float = 180.0
    shift_mm: float = 4.0
    shear: float = 0.1
    scale: float = 0.2


@dataclass(frozen=True)
class Parameters:
    """One draw; `affine` puts it together."""

    flip: bool
    rotation_degrees: float
    shift_mm: tuple[float, float]
    shear: float
    scale: float

    def affine(self) -> np.ndarray:
        """(2, 3): mirrored left to right, scaled, sheared (x by y), rotated (from x to y), shifted, in this order."""
        turn = np.deg2rad(self.rotation_degrees)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = rotation @ [[1, self.shear], [0, 1]] @ (self.scale * np.diag([-1 if self.flip else 1, 1]))
        return np.column_stack([linear, self.shift_mm])


def drawn(rng: np.random.Generator, ranges: Ranges = Ranges()) -> Parameters:
    """A random draw from `ranges`."""
    r = ranges
    flip, rotation = bool(rng.random() < r.flip), rng.uniform(-r.rotation_degrees, r.rotation_degrees)
    shift = tuple(rng.uniform(-r.shift_mm, r.shift_mm, 2).tolist())
    return Parameters(flip, rotation, shift, rng.uniform(-r.shear, r.shear), rng.uniform(1 - r.scale, 1 + r.scale))


def positions_mm(size: tuple[int, int], pixel_mm: float) -> np.ndarray:
    """(h, w, 2): where the pixel centres of a picture of `size` (h, w) lie."""
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel_mm for n in size)
    return np.stack(np.meshgrid(x, y), -1)


def to_pixels(points: np.ndarray, size: tuple[int, int], pixel_mm: float) -> np.ndarray:
    """Positions (…, 2) in mm → (column, row) of a picture of `size` (h, w), whole numbers at pixel centres."""
    return points / pixel_mm + (np.array(size[::-1]) - 1) / 2


def applied(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(…, 2) points → where the affine takes them."""
    return points @ affine[:, :2].T + affine[:, 2]


def inverse(affine: np.ndarray) -> np.ndarray:
    """Moving → fixed. Raises numpy.linalg.LinAlgError where there is none."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def composed(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """`first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], applied(second, first[:, 2])])


def fitted(points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The affine that takes points (n, 2) nearest to moved (n, 2), least squares."""
    given = np.column_stack([points, np.ones(len(points))])
    return np.linalg.lstsq(given, moved, rcond=None)[0].T


def mirrored(affine: np.ndarray) -> bool:
    """Whether it turns the picture over."""
    return bool(np.linalg.det(affine[:, :2]) < 0)


def to_theta(affine: np.ndarray, fixed_mm: tuple[float, float], moving_mm: tuple[float, float]) -> np.ndarray:
    """The affine as networks state it. fixed_mm, moving_mm: (width, height) of both pictures, from outer edge to outer edge."""
    halves = np.array([*(0.5 * np.array(fixed_mm)), 1.0])
    return affine * halves / (0.5 * np.array(moving_mm))[:, None]


def from_theta(theta: np.ndarray, fixed_mm: tuple[float, float], moving_mm: tuple[float, float]) -> np.ndarray:
    """What `to_theta` was given."""
    halves = np.array([*(0.5 * np.array(fixed_mm)), 1.0])
    return theta * (0.5 * np.array(moving_mm))[:, None] / halves


@dataclass(frozen=True)
class ThinPlate:
    """A smooth warp of a square field: the thin-plate spline through 6 × 6 control points. moved_mm: (36, 2), where they go."""

    field_mm: float
    moved_mm: np.ndarray

    def on_grid(self, size: int) -> np.ndarray:
        """(size, size, 2): where the pixel centres of a picture of the whole field go, in mm."""
        return (_matrix(size) @ self.moved_mm).reshape(size, size, 2)


def random_thin_plate(rng: np.random.Generator, field_mm: float, sigma_mm: float) -> ThinPlate:
    """Control points over the whole field, moved by a normal distribution of sigma_mm in x and in y."""
    line = np.linspace(-field_mm / 2, field_mm / 2, CONTROL)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return ThinPlate(field_mm, points + rng.normal(0, 1, points.shape) * sigma_mm)


@lru_cache(maxsize=4)
def _matrix(size: int) -> np.ndarray:
    """(size², 36) float32 (networks/matching.py), of the field scaled to −1 to 1: the map does not depend on its unit."""
    import torch
    from MedSRLib.networks import matching

    places = torch.from_numpy(positions_mm((size, size), 2 / size).reshape(-1, 2))
    return matching.thin_plate_matrix(matching.control_points(CONTROL).double(), places).float().numpy()
