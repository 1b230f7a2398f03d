"""A slide's place on a slice as a map of points both ways: the affine, and a smooth warp in the plane behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .geometry_slice import SlicePlane
from .volume import Volume

INVERSE_STEPS = 200
INVERSE_MM = 1e-6


@dataclass(frozen=True)
class Warp:
    """field: (rows, columns, 2) mm (u, v) at the slice's pixel centres: what is added to a point of the patient's plane to reach the
    plane that the affine lays the slide in. spacing_mm: (x, y). Between centres it is linear, beyond the slice there is none.
    """

    field: np.ndarray
    spacing_mm: tuple[float, float]

    def at(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) plane mm to (n, 2) displacements in mm."""
        from scipy.ndimage import map_coordinates

        where = (np.asarray(points, float) / self.spacing_mm).T[::-1]
        return np.column_stack([map_coordinates(self.field[..., i], where, order=1, mode="constant") for i in (0, 1)])

    def inverse(self, points: np.ndarray) -> np.ndarray:
        """Points q with q + displacement(q) = `points`, by fixed-point iteration, which holds where the warp does not fold."""
        found = np.array(points, float)
        for _ in range(INVERSE_STEPS):
            away = points - found - self.at(found)
            found = found + 0.7 * away  # damped: the plain step may swing where the warp stretches
            if np.abs(away).max(initial=0) < INVERSE_MM:
                break
        return found

    @classmethod
    def of_volume(cls, volume: Volume, plane: SlicePlane) -> Warp:
        """What `volume` gave for the same plane. Raises InputError for a field on another grid."""
        if volume.shape[1:] != plane.shape or not np.allclose(volume.spacing_mm[:2], plane.spacing_mm, rtol=1e-4):
            raise InputError("the warp does not lie on the pixels of this MRI slice", where="warp", fix="give the MRI that it was made for")
        return cls(volume.array[len(volume.array) // 2] @ plane.frame[:3, :2], plane.spacing_mm)

    @property
    def jacobian(self) -> np.ndarray:
        """(rows, columns): local change of area, patient to slide; below 0 the warp folds."""
        x, y = self.spacing_mm
        uy, ux = np.gradient(self.field[..., 0], y, x)
        vy, vx = np.gradient(self.field[..., 1], y, x)
        return (1 + ux) * (1 + vy) - uy * vx

    @property
    def bending(self) -> np.ndarray:
        """(rows, columns): squared second derivatives of both components, summed, in 1/mm²."""
        x, y = self.spacing_mm
        total = np.zeros(self.field.shape[:2])
        for part in np.moveaxis(self.field, -1, 0):
            dy, dx = np.gradient(part, y, x)
            (dyy, dyx), (dxy, dxx) = np.gradient(dy, y, x), np.gradient(dx, y, x)
            total += dxx**2 + dyy**2 + 2 * ((dxy + dyx) / 2) ** 2
        return total

    def volume(self, plane: SlicePlane) -> Volume:
        """(3, rows, columns, 3) LPS mm: the same on the slices before, at and behind, so that it holds across the slice's thickness."""
        flat = self.field @ plane.frame[:3, :2].T
        origin = plane.frame @ np.array([0, 0, -plane.thickness_mm, 1])
        spacing = (*plane.spacing_mm, plane.thickness_mm)
        return Volume(np.stack([flat] * 3), spacing, tuple(origin[:3]), plane.frame[:3, :3])


@dataclass(frozen=True)
class Placement:
    """plane: the MRI slice. in_plane: 3x3, slide mm to plane mm. warp: behind it, or None."""

    plane: SlicePlane
    in_plane: np.ndarray
    warp: Warp | None = None

    @classmethod
    def of_matrix(cls, plane: SlicePlane, slide_to_patient: np.ndarray) -> Placement:
        """Of a 4x4, slide frame to LPS mm, that lays the slide on this plane. What it turns out of the plane is dropped."""
        lifted = np.linalg.inv(plane.frame) @ slide_to_patient
        return cls(plane, lifted[np.ix_((0, 1, 3), (0, 1, 3))])

    @property
    def matrix(self) -> np.ndarray:
        """4x4 of the linear part, slide frame to LPS mm."""
        return self.plane.place(self.in_plane)

    def to_slide(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) plane mm to (n, 2) slide mm."""
        moved = points if self.warp is None else points + self.warp.at(points)
        back = np.linalg.inv(self.in_plane)
        return np.asarray(moved, float) @ back[:2, :2].T + back[:2, 2]

    def to_plane(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) slide mm to (n, 2) plane mm."""
        moved = np.asarray(points, float) @ self.in_plane[:2, :2].T + self.in_plane[:2, 2]
        return moved if self.warp is None else self.warp.inverse(moved)

    def to_patient(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) slide mm to (n, 3) LPS mm."""
        return self.plane.to_patient(self.to_plane(points))
