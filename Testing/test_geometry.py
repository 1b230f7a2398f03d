"""Grids: where the slices of the result lie, and that no voxel moves in the patient."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import geometry
from MedSRLib.errors import InputError, OptionError
from MedSRLib.volume import Volume


def a_stack(n: int = 10, step: float = 5.0, **more) -> Volume:
    return Volume(np.zeros((n, 6, 7), np.int16), (1.5, 1.25, step), (10.0, -20.0, 30.0), **more)


@pytest.mark.parametrize(
    ("asked", "slices", "spacing"), [(5 / 8, 73, 0.625), (1.0, 46, 1.0), (1.4, 33, 45 / 32), (4.9, 10, 5.0), (2.0, 24, 45 / 23)]
)
def test_first_and_last_slice_stay_and_the_spacing_is_the_nearest_that_fits(asked, slices, spacing):
    plan = geometry.plan_slices(a_stack(), asked)
    assert len(plan.targets_mm) == slices
    assert plan.spacing_mm == pytest.approx(spacing)
    assert plan.targets_mm[[0, -1]] == pytest.approx([0, 45])
    assert np.diff(plan.targets_mm) == pytest.approx(spacing)
    assert plan.source[0] == 0 and plan.source[-1] == 9


def test_acquired_slices_are_found_on_a_grid_that_holds_them():
    plan = geometry.plan_slices(a_stack(), 1.25)
    assert plan.source[::4].tolist() == list(range(10))
    assert np.count_nonzero(plan.source >= 0) == 10


def test_uneven_slices_keep_their_true_places():
    plan = geometry.plan_slices(a_stack(4, positions_mm=(0.0, 5.0, 15.0, 20.0)), 2.5)
    assert plan.targets_mm == pytest.approx(np.arange(0, 20.1, 2.5))
    assert plan.source.tolist() == [0, -1, 1, -1, -1, -1, 2, -1, 3]


def test_a_first_slice_away_from_the_origin_moves_the_origin():
    volume = a_stack(3, positions_mm=(2.0, 7.0, 12.0))
    plan = geometry.plan_slices(volume, 2.5)
    placed = geometry.place_slices(volume, np.zeros((5, 6, 7)), plan)
    assert geometry.corners_mm(placed) == pytest.approx(geometry.corners_mm(volume))
    assert placed.origin_mm == pytest.approx((10, -20, 32))


@pytest.mark.parametrize("asked", [0.0, -1.0, float("nan"), 5.0, 6.0])
def test_a_spacing_that_makes_no_sense_is_refused(asked):
    with pytest.raises(OptionError):
        geometry.plan_slices(a_stack(), asked)


def test_a_missing_slice_may_be_filled_at_the_slices_own_spacing():
    plan = geometry.plan_slices(a_stack(4, positions_mm=(0.0, 5.0, 15.0, 20.0)), 5.0)
    assert plan.source.tolist() == [0, 1, -1, 2, 3]


def test_one_slice_twice_is_refused():
    with pytest.raises(InputError, match="same position"):
        geometry.plan_slices(a_stack(3, positions_mm=(0.0, 5.0, 5.0)), 1.0)


@pytest.mark.parametrize(
    ("spacing", "expected"), [((1, 1, 5), 2), ((5, 1, 1), 0), ((1, 5, 1), 1), ((1, 1, 1), 2), ((1, 1.005, 1), 2), ((0.5, 0.5, 0.3), 0)]
)
def test_the_axis_is_the_coarsest(spacing, expected):
    assert geometry.through_plane_axis(Volume(np.zeros((4, 4, 4)), spacing)) == expected


def test_uneven_slices_cannot_be_interpolated_along_another_axis():
    with pytest.raises(OptionError):
        geometry.through_plane_axis(a_stack(3, positions_mm=(0.0, 5.0, 6.0)), "i")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_exchanging_an_axis_moves_no_voxel_and_is_its_own_inverse(axis):
    rng = np.random.default_rng(0)
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    volume = Volume(rng.normal(size=(4, 5, 6)), (1, 2, 3), (7, 8, 9), direction)
    swapped, index = geometry.swap_axis(volume, axis), [1, 3, 2]
    moved = list(index)
    moved[axis], moved[2] = moved[2], moved[axis]
    assert swapped.array[moved[2], moved[1], moved[0]] == volume.array[index[2], index[1], index[0]]
    assert geometry.world_mm(swapped, tuple(moved)) == pytest.approx(geometry.world_mm(volume, tuple(index)))
    back = geometry.swap_axis(swapped, axis)
    assert np.array_equal(back.array, volume.array) and np.array_equal(back.direction, volume.direction)
    assert back.spacing_mm == volume.spacing_mm


@pytest.mark.parametrize(
    ("step", "in_plane", "expected"), [(5.0, 0.8203, 5 / 6), (6.0, 1.0, 1.0), (5.0, 1.4063, 1.4063), (3.6, 0.625, 0.6), (1.0, 1.0, 1.0)]
)
def test_the_default_spacing_is_isotropic_and_keeps_acquired_slices_where_it_can(step, in_plane, expected):
    assert geometry.default_spacing_mm(Volume(np.zeros((4, 4, 4)), (in_plane, in_plane, step))) == pytest.approx(expected)


def coordinates(volume: Volume) -> np.ndarray:
    """(z, y, x, 3) world position of each voxel, one by one."""
    nz, ny, nx = volume.shape
    return np.array([[[geometry.world_mm(volume, (i, j, k)) for i in range(nx)] for j in range(ny)] for k in range(nz)])


@pytest.mark.parametrize("positions", [None, (0.0, 4.0, 12.0, 16.0, 20.0)])
@pytest.mark.parametrize("tilt_degrees", [-18.5, 12.0])
def test_unshearing_makes_right_angles_and_moves_no_voxel(tilt_degrees, positions):
    tilt = np.deg2rad(tilt_degrees)
    direction = np.column_stack([[1, 0, 0], [0, 1, 0], [0, np.sin(tilt), np.cos(tilt)]])
    sheared = Volume(np.zeros((5, 24, 20)), (1.5, 1.2, 4.0), (5, 6, 7), direction, positions)
    assert sheared.is_sheared
    world = coordinates(sheared)
    for axis in range(3):
        straight = geometry.unshear(sheared.with_(array=world[..., axis]))
        assert not straight.is_sheared
        heights = straight.slice_positions_mm
        assert heights == pytest.approx(sheared.slice_positions_mm * np.cos(tilt))
        for k in range(5):
            truth = coordinates(straight)[k, ..., axis]
            inside = _well_inside(straight, sheared, k)
            assert inside.sum() > 100
            assert straight.array[k][inside] == pytest.approx(truth[inside], abs=5e-3)


def _well_inside(straight: Volume, sheared: Volume, k: int) -> np.ndarray:
    """Pixels of slice k that lie at least 4 pixels within the acquired slice: the cubic spline's mirrored edge bends a ramp."""
    offset = coordinates(straight)[k] - geometry.world_mm(sheared, (0, 0, k))
    at = offset[..., :2] / np.array(sheared.spacing_mm[:2])
    ny, nx = sheared.shape[1:]
    return (at[..., 0] > 4) & (at[..., 0] < nx - 5) & (at[..., 1] > 4) & (at[..., 1] < ny - 5)


def test_unshearing_loses_no_part_of_any_slice():
    tilt = np.deg2rad(20)
    direction = np.column_stack([[1, 0, 0], [0, 1, 0], [0, np.sin(tilt), np.cos(tilt)]])
    sheared = Volume(np.full((6, 10, 8), 7, np.int16), (1, 1, 4), direction=direction)
    straight = geometry.unshear(sheared)
    low, high = geometry.corners_mm(straight).min(axis=0), geometry.corners_mm(straight).max(axis=0)
    assert np.all(low <= geometry.corners_mm(sheared).min(axis=0) + 1e-6)
    assert np.all(high >= geometry.corners_mm(sheared).max(axis=0) - 1e-6)
    assert straight.array.dtype == np.int16


@pytest.mark.parametrize("spacing", [1.4, 0.9])
def test_another_pixel_size_moves_no_voxel(spacing):
    direction = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    volume = Volume(np.zeros((2, 40, 36)), (1.7, 1.21, 5), (3, 2, 1), direction)
    world = coordinates(volume)
    for axis in range(3):
        made = geometry.resample_in_plane(volume.with_(array=world[..., axis]), spacing)
        truth = coordinates(made)[..., axis]
        assert made.array[:, 8:-8, 8:-8] == pytest.approx(truth[:, 8:-8, 8:-8], abs=2e-3)
    assert made.spacing_mm == pytest.approx((spacing, spacing, 5))


def test_the_central_crop_says_where_it_is():
    volume = Volume(np.arange(2 * 9 * 11).reshape(2, 9, 11), (1.5, 1.25, 5), (1, 2, 3))
    crop = geometry.crop_centre(volume, 4, 6)
    assert crop.array.shape == (2, 4, 6)
    assert crop.array[0, 0, 0] == volume.array[0, 2, 2]
    assert crop.origin_mm == pytest.approx(geometry.world_mm(volume, (2, 2, 0)))
    assert geometry.crop_centre(volume, 99, 99).array.shape == volume.array.shape


def test_integers_are_rounded_half_to_even_and_limited_values_are_counted():
    values, limited = geometry.cast_like(np.array([-0.5, 0.5, 1.5, 2.5, 300.0, -7.0]), np.uint8)
    assert values.tolist() == [0, 0, 2, 2, 255, 0] and limited == 2


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_the_ends_of_every_integer_type_are_kept(dtype):
    info = np.iinfo(dtype)
    values, _ = geometry.cast_like(np.array([float(info.min), float(info.max)]), dtype)
    assert values[0] == info.min
    assert float(values[1]) == pytest.approx(float(info.max), rel=1e-15)


def test_the_same_grid_is_told_from_a_shifted_one():
    volume = a_stack()
    assert geometry.same_grid(volume, a_stack())
    assert not geometry.same_grid(volume, volume.with_(origin_mm=(10, -20, 30.5)))
    assert not geometry.same_grid(volume, a_stack(9))
