"""A given 4x4 that lays the slide in the patient, as a place on a slice of the MRI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry_slice import slice_plane, slide_frame
from ..volume import Volume
from .slide_input import SlideSide

DEGENERATE = 1e-6
"""Determinant below which a transform flattens the slide to a line."""


@dataclass(frozen=True, eq=False)
class Placed:
    """index: of the slice. in_plane: 3x3, slide mm to plane mm. offset_mm: from the slice's middle, along its z axis."""

    index: int
    in_plane: np.ndarray
    offset_mm: float


def on_plane(slide_to_patient: np.ndarray, side: SlideSide, volume: Volume, wanted: int = -1) -> Placed:
    """slide_to_patient: 4x4, slide frame to LPS mm. wanted: the slice that it should lie on; negative: the nearest.

    Raises InputError where the slide lies beside the MRI, beside the slice wanted, or across its slices.
    """
    points = _corners(side)
    there = points @ slide_to_patient[:3, :2].T + slide_to_patient[:3, 3]
    index = int(np.rint(np.linalg.solve(volume.affine, [*there.mean(0), 1.0])[2]))
    if not 0 <= index < volume.shape[0]:
        raise InputError("it lays the slide outside of the MRI", where="transform", fix="give the one that belongs to this MRI")
    plane = slice_plane(volume, index)
    if wanted not in (-1, index):
        raise InputError(f"it lays the slide on slice {index}, not {wanted}", where="transform", fix="leave {slice} out")
    depth = plane.to_plane(there)[:, 2]
    if np.ptp(depth) > plane.thickness_mm / 2:
        what = f"it lays the slide across the slices, by {np.ptp(depth):.1f} mm from one side of the gland to the other"
        raise InputError(what, where="transform", fix="give one that keeps the slide in a slice of this MRI")
    inside = np.linalg.inv(plane.frame) @ slide_to_patient
    in_plane = np.eye(3)
    in_plane[:2, :2], in_plane[:2, 2] = inside[:2, :2], inside[:2, 3]
    if not abs(np.linalg.det(in_plane)) > DEGENERATE:
        raise InputError("it flattens the slide", where="transform", fix="give another")
    return Placed(index, in_plane, float(depth.mean()))


def _corners(side: SlideSide) -> np.ndarray:
    """(4, 2) of the gland's box, slide mm."""
    x0, y0, x1, y1 = side.gland.box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) @ slide_frame(side.mpp_um)[:2, :2]
