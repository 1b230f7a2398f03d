"""A volume whose voxels hold their own world coordinate must still tell the truth after interpolation, whatever the method."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import models
from MedSRLib.tasks.interpolate_slices import Options, interpolate_slices
from MedSRLib.volume import Volume

SLICES, STEP, MARGIN = 14, 4.0, 5
"""Slices, their distance in mm, and how many slices and pixels at each edge are left out: kernels repeat or mirror edges."""

AXIAL = np.eye(3)
SAGITTAL = np.column_stack([[0, 1, 0], [0, 0, -1], [1, 0, 0]])
CORONAL = np.column_stack([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
OBLIQUE = np.linalg.qr(np.array([[1, 0.3, -0.2], [-0.25, 1, 0.4], [0.3, -0.35, 1]]))[0]
LEFT_HANDED = np.diag([1.0, -1.0, 1.0])
ORIENTATIONS = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL, "oblique": OBLIQUE, "left-handed": LEFT_HANDED}

TOLERANCE_MM = {"linear": 1e-4, "flow": 0.1, "bspline": 0.01, "lanczos": 0.25, "model": 0.9}
"""Linear is exact. Flow reads grey values of 8 bits. The spline's mirrored end is felt 5 slices in by 0.268⁵ of a step. The
windowed sinc of ITK is not normalised: a constant comes back up to 0.13 % too low, 0.2 mm of the largest coordinate here.
A learned model knows intensities, not coordinates: less than 2 % of their range; a slice one place off would be 1 mm wrong."""


def a_ramp(direction: np.ndarray, axis: int, component: int, positions: tuple[float, ...] | None = None) -> Volume:
    """Float32 volume, coarse along voxel axis `axis`, whose value is the world coordinate `component` of each voxel in mm."""
    order = [0, 1, 2]
    order[axis], order[2] = 2, axis
    spacing, size = np.array([1.1, 0.9, STEP])[order], np.array([26, 24, SLICES])[order]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    along = index * spacing
    if positions is not None:
        along = along.astype(float)
        along[..., 2] = np.array(positions)[index[..., 2]]
    world = along @ direction.T + [-30.0, 12.0, 40.0]
    array = world[..., component].transpose(2, 1, 0).astype(np.float32)
    return Volume(array, tuple(spacing), (-30.0, 12.0, 40.0), direction, positions)


def truth_of(volume: Volume, component: int) -> np.ndarray:
    """World coordinates of every voxel by the volume's own affine alone."""
    size = volume.array.shape[::-1]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    world = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return world[..., component].transpose(2, 1, 0)


def worst_error(result: Volume, component: int, axis: int, finer: float) -> float:
    inside = [slice(MARGIN, -MARGIN)] * 3
    inside[2 - axis] = slice(int(MARGIN * finer), -int(MARGIN * finer))
    return float(np.abs(result.array - truth_of(result, component))[tuple(inside)].max())


def methods() -> list[str]:
    learned = ["model"] if any(card.task == "interpolate_slices" for card in models.list_cards()) else []
    return ["linear", "bspline", "lanczos", "flow", *learned]


@pytest.mark.parametrize("method", methods())
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_still_says_where_it_is(method, orientation):
    for component in range(3):
        ramp = a_ramp(ORIENTATIONS[orientation], 2, component)
        result = interpolate_slices((ramp,), Options(factor=4, method=method, device="cpu")).volume[0]
        assert result.array.shape == (4 * (SLICES - 1) + 1, 24, 26)
        assert worst_error(result, component, 2, 4) < TOLERANCE_MM[method]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slices_along_another_voxel_axis_are_found_and_stay_in_place(axis, orientation):
    for component in range(3):
        ramp = a_ramp(ORIENTATIONS[orientation], axis, component)
        result = interpolate_slices((ramp,), Options(spacing_mm=1.3, method="linear")).volume[0]
        assert result.spacing_mm[axis] == pytest.approx(52 / 40)
        assert worst_error(result, component, axis, 3.0) < TOLERANCE_MM["linear"]


@pytest.mark.parametrize("method", ["linear", "bspline", "flow"])
def test_uneven_slices_are_taken_where_they_are(method):
    gaps = np.where(np.arange(SLICES - 1) % 4 == 1, 2 * STEP, STEP)
    positions = tuple(np.concatenate([[0.0], np.cumsum(gaps)]))
    for component in range(3):
        ramp = a_ramp(OBLIQUE, 2, component, positions)
        result = interpolate_slices((ramp,), Options(spacing_mm=1.0, method=method)).volume[0]
        assert worst_error(result, component, 2, 6.0) < TOLERANCE_MM[method]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_tilted_stack_is_straightened_in_place(orientation):
    tilt = np.deg2rad(15)
    direction = ORIENTATIONS[orientation] @ np.column_stack([[1, 0, 0], [0, 1, 0], [0, np.sin(tilt), np.cos(tilt)]])
    for component in range(3):
        ramp = a_ramp(direction, 2, component)
        result = interpolate_slices((ramp,), Options(factor=2, method="linear", allow_shear=True)).volume[0]
        assert not result.is_sheared
        error = np.abs(result.array - truth_of(result, component))
        middle = error[MARGIN:-MARGIN, error.shape[1] // 2 - 3 : error.shape[1] // 2 + 3, MARGIN:-MARGIN]
        assert middle.max() < 0.02
