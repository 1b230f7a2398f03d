"""Volume: an image and where it lies in the patient, immutable.

Conventions, everywhere in MedSR: arrays are (z, y, x) or (z, y, x, channel); spacing, origin and direction are in
(x, y, z) order, in LPS millimetres; the origin is the centre of voxel (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import InputError

ORTHOGONAL_TOLERANCE = 1e-3
"""Largest |cosine| between two axes that still counts as a right angle (0.06 degrees; scanners write 6 digits)."""


@dataclass(frozen=True)
class Volume:
    """One 3-D image with its geometry.

    array: (z, y, x) or (z, y, x, channel), any real scalar type; made read-only.
    spacing_mm: (x, y, z) distance between voxel centres along each axis, > 0.
    origin_mm: (x, y, z) LPS position of the centre of voxel (0, 0, 0).
    direction: 3x3, columns are the unit LPS directions of the x, y and z voxel axes; may be left-handed, and sheared
        (a tilted gantry), see `is_sheared`.
    positions_mm: offsets of the slices along the z axis from the origin, where they are not evenly spaced; else None.
        spacing_mm[2] is then their median step.
    meta: facts that travel with the image: "modality", "name", "warnings" (tuple of sentences), "identity" (UIDs or
        sha256 of the source), "frame_time_ms", "dicom_files" (tuple of paths, one a slice), "units".
    Raises InputError where the parts do not fit together.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: np.ndarray = field(default_factory=lambda: np.eye(3))
    positions_mm: tuple[float, ...] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        array = np.asarray(self.array).view()
        array.flags.writeable = False
        direction = np.array(self.direction, dtype=np.float64).reshape(3, 3)
        direction.flags.writeable = False
        set_ = object.__setattr__
        set_(self, "array", array)
        set_(self, "direction", direction)
        set_(self, "spacing_mm", tuple(float(s) for s in self.spacing_mm))
        set_(self, "origin_mm", tuple(float(o) for o in self.origin_mm))
        set_(self, "meta", MappingProxyType(dict(self.meta)))
        if self.positions_mm is not None:
            set_(self, "positions_mm", tuple(float(p) for p in self.positions_mm))
        self._check()

    def _check(self) -> None:
        name = str(self.meta.get("name", "volume"))
        if self.array.ndim not in (3, 4):
            raise InputError(f"an image of {self.array.ndim} dimensions is not a volume", where=name)
        if not all(np.isfinite(self.spacing_mm)) or min(self.spacing_mm) <= 0:
            raise InputError(f"spacing {self.spacing_mm} mm is not positive", where=name)
        if not np.all(np.isfinite(self.direction)) or abs(np.linalg.det(self.direction)) < 1e-6:
            raise InputError("the direction matrix is singular", where=name)
        if self.positions_mm is not None and len(self.positions_mm) != self.array.shape[0]:
            raise InputError("there is not one position for each slice", where=name)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) size, without the channels."""
        return self.array.shape[:3]

    @property
    def affine(self) -> np.ndarray:
        """4x4, voxel index (x, y, z) to LPS mm. Where `positions_mm` is given it holds in the plane only."""
        affine = np.eye(4)
        affine[:3, :3] = self.direction * np.array(self.spacing_mm)
        affine[:3, 3] = self.origin_mm
        return affine

    @property
    def is_sheared(self) -> bool:
        """True where the axes are not at right angles: a tilted gantry, or a sheared affine."""
        unit = self.direction / np.linalg.norm(self.direction, axis=0)
        return bool(np.abs(unit.T @ unit - np.eye(3)).max() > ORTHOGONAL_TOLERANCE)

    @property
    def slice_positions_mm(self) -> np.ndarray:
        """(z,) offsets of the slice centres along the z axis from the origin, even or not."""
        if self.positions_mm is not None:
            return np.array(self.positions_mm)
        return np.arange(self.array.shape[0]) * self.spacing_mm[2]

    def with_(self, **changes: Any) -> Volume:
        """A copy with some fields changed; `meta` entries are merged, not replaced."""
        if "meta" in changes:
            changes["meta"] = {**self.meta, **changes["meta"]}
        return replace(self, **changes)


def frames_of(image: Volume | Sequence[Volume]) -> tuple[Volume, ...]:
    """The frames of an image: a single Volume is its only frame."""
    return (image,) if isinstance(image, Volume) else tuple(image)
