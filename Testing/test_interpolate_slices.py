"""What the task makes, of real data and made-up stacks: methods, box, values, types, frames, labels, grids."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import thick_stacks
from MedSRLib import geometry
from MedSRLib.errors import InputError
from MedSRLib.io import formats
from MedSRLib.run import Progress
from MedSRLib.tasks import slice_engine, slice_methods
from MedSRLib.tasks.interpolate_slices import Options, interpolate_slices
from MedSRLib.volume import Volume
from thick_stacks import SHEARED, a_stack

a_heart = thick_stacks.a_heart
METHODS = ("linear", "bspline", "lanczos", "flow")


def itk_resampled(volume: Volume, spacing: float, slices: int, interpolator: int) -> np.ndarray:
    image = sitk.GetImageFromArray(volume.array.astype(np.float32))
    image.SetSpacing(volume.spacing_mm)
    size = (volume.shape[2], volume.shape[1], slices)
    origin, direction = image.GetOrigin(), image.GetDirection()
    spacings = (*volume.spacing_mm[:2], spacing)
    return sitk.GetArrayFromImage(
        sitk.Resample(image, size, sitk.Transform(), interpolator, origin, spacings, direction, 0.0, sitk.sitkFloat32)
    )


@pytest.mark.parametrize(
    ("method", "interpolator"), [("linear", sitk.sitkLinear), ("bspline", sitk.sitkBSpline), ("lanczos", sitk.sitkLanczosWindowedSinc)]
)
def test_classical_methods_equal_those_of_simpleitk(method, interpolator):
    volume = a_stack(np.float32, n=9)
    made = interpolate_slices((volume,), Options(factor=4, method=method)).volume[0]
    expected = itk_resampled(volume, 1.0, 33, interpolator)
    assert np.abs(made.array - expected).max() < 1e-4 * np.ptp(volume.array)


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_lanczos_equals_that_of_simpleitk_on_a_large_level_too(dtype):
    """Its weights do not sum to 1: what is added to all values must come back weighted as well.

    Closed form: both sum x·w over 10 slices, here of values centred and rounded to float32 (half a unit of 2⁻²⁴ each), with |w| summing
    to below 2; integers are then rounded to 0.5.
    """
    level = 1e6
    array = np.rint(a_stack(np.float64, n=9).array + level).astype(dtype)
    volume = a_stack(n=9).with_(array=array)
    made = interpolate_slices((volume,), Options(factor=4, method="lanczos")).volume[0].array
    image = sitk.GetImageFromArray(array.astype(np.float64))
    image.SetSpacing(volume.spacing_mm)
    grid = ((*array.shape[:0:-1], 33), sitk.Transform(), sitk.sitkLanczosWindowedSinc, image.GetOrigin(), (*volume.spacing_mm[:2], 1.0))
    expected = sitk.GetArrayFromImage(sitk.Resample(image, *grid, image.GetDirection(), 0.0, sitk.sitkFloat64))
    rounding = 10 * 2.0**-24 * 2 * np.abs(array - level).max()
    assert np.abs(made - expected).max() <= rounding + (0.5 if dtype is np.int32 else 0.0)
    positions = volume.slice_positions_mm
    made = slice_methods.lanczos(np.ones((9, 2, 2), np.float32), positions, np.array([1.0, 2.0, 17.0]))
    assert made.values[:, 0, 0] == pytest.approx(made.gain, abs=1e-6) and np.abs(made.gain - 1).max() > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_the_box_the_acquired_slices_the_range_and_the_type_are_kept(a_heart, method):
    result = interpolate_slices((a_heart,), Options(factor=3, method=method))
    made, fidelity = result.volume[0], result.fidelity[0]
    assert made.array.shape == (16, 72, 80) and made.array.dtype == a_heart.array.dtype
    assert geometry.corners_mm(made) == pytest.approx(geometry.corners_mm(a_heart), abs=1e-3)
    assert np.array_equal(made.array[::3], a_heart.array)
    assert np.all(fidelity.array[::3] == 0) and fidelity.array.dtype == np.float32
    assert fidelity.array[1::3].min() >= 0 and fidelity.array[1::3].mean() > 0
    reach = 0 if method in ("linear", "flow") else 0.35 * np.ptp(a_heart.array.astype(float))
    assert made.array.min() >= a_heart.array.min() - reach and made.array.max() <= a_heart.array.max() + reach
    assert result.report["grid"]["acquired_slices_kept"] == 6


def test_a_made_slice_is_between_its_neighbours_not_a_copy(a_heart):
    made = interpolate_slices((a_heart,), Options(factor=2, method="flow")).volume[0].array.astype(float)
    to_below, to_above = np.abs(made[1::2] - made[:-1:2]).mean(), np.abs(made[1::2] - made[2::2]).mean()
    gap = np.abs(made[2::2] - made[:-1:2]).mean()
    assert 0.2 * gap < to_below < 0.8 * gap and 0.2 * gap < to_above < 0.8 * gap


DTYPES = (np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_type_comes_back_as_it_was(dtype):
    volume = a_stack(np.float64)
    array = (volume.array > 50) if dtype is np.bool_ else np.rint(volume.array + 10).astype(dtype)
    made = interpolate_slices((volume.with_(array=array),), Options(factor=2, method="linear")).volume[0].array
    assert made.dtype == dtype
    assert np.array_equal(made[::2], array)
    if dtype is not np.bool_:
        middle = (array[:-1].astype(float) + array[1:].astype(float)) / 2
        expected = middle if np.dtype(dtype).kind == "f" else np.rint(middle)
        assert np.abs(made[1::2].astype(float) - expected).max() < 1e-4


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_large_numbers_keep_their_differences(dtype):
    offset = 3_000_000_000
    array = (np.rint(a_stack(np.float64).array) + offset).astype(dtype)
    made = interpolate_slices((a_stack().with_(array=array),), Options(factor=2, method="linear")).volume[0].array
    assert np.array_equal(made[::2], array)
    expected = (array[:-1].astype(float) + array[1:].astype(float)) / 2
    assert np.abs(made[1::2].astype(float) - expected).max() <= 0.5


def test_values_beyond_the_type_are_limited_and_counted():
    array = np.zeros((6, 12, 12), np.uint8)
    array[2:4, 4:8, 4:8] = 255
    result = interpolate_slices((Volume(array, (1, 1, 4)),), Options(factor=4, method="bspline"))
    sentence = next(w for w in result.report["warnings"] if "limited" in w)
    exact = slice_methods.bspline(array.astype(np.float32), np.arange(6) * 4.0, np.arange(21.0)).values
    assert int(sentence.split()[0]) == np.count_nonzero((np.rint(exact) < 0) | (np.rint(exact) > 255)) > 0
    assert interpolate_slices((Volume(array, (1, 1, 4)),), Options(factor=4, method="linear")).report["warnings"] == []


@pytest.mark.parametrize("method", ["linear", "bspline", "flow"])
def test_a_missing_slice_is_said_and_filled_at_its_true_place(method):
    full = a_stack(np.float32, n=7)
    at = np.array([0, 1, 2, 4, 5, 6])
    holed = full.with_(array=full.array[at], positions_mm=tuple(at * 4.0))
    result = interpolate_slices((holed,), Options(spacing_mm=2.0, method=method))
    assert any("1 slice is missing" in w for w in result.report["warnings"])
    made = result.volume[0]
    assert made.positions_mm is None and np.array_equal(made.array[[0, 2, 4, 8, 10, 12]], holed.array)
    wrong = np.abs(made.array[6] - full.array[3]).mean()
    assert wrong < 0.5 * np.abs(full.array[2] - full.array[3]).mean()


def test_frames_are_interpolated_one_by_one_by_one_method(a_heart):
    brighter = a_heart.with_(array=a_heart.array + np.array(100, a_heart.array.dtype))
    result = interpolate_slices((a_heart, brighter), Options(factor=2, method="auto"))
    assert len(result.volume) == len(result.fidelity) == 2 and result.report["frames"] == 2
    alone = interpolate_slices((brighter,), Options(factor=2, method=result.report["method"])).volume[0]
    assert np.array_equal(result.volume[1].array, alone.array)


@pytest.mark.parametrize("method", ["linear", "flow", "auto", "bspline"])
def test_two_slices_are_enough(method):
    result = interpolate_slices((a_stack(n=2),), Options(factor=4, method=method))
    assert result.volume[0].array.shape[0] == 5
    assert result.fidelity[0].array[2].mean() > 0
    if method == "auto":
        assert "too few slices" in result.report["why"]


def test_a_tilted_stack_is_straightened_where_that_is_allowed():
    result = interpolate_slices((a_stack(direction=SHEARED),), Options(factor=2, method="linear", allow_shear=True))
    assert not result.volume[0].is_sheared
    assert result.report["grid"]["acquired_slices_kept"] == 0
    assert any("right-angled" in w for w in result.report["warnings"])


def test_a_spacing_that_does_not_fit_is_adjusted_and_said():
    result = interpolate_slices((a_stack(),), Options(spacing_mm=1.5, method="linear"))
    assert result.volume[0].spacing_mm[2] == pytest.approx(16 / 11)
    assert any("1.455 mm instead of 1.5 mm" in w for w in result.report["warnings"])
    assert any("2 of 5 acquired slices lie on the new grid" in w and "1.333 mm keeps them all" in w for w in result.report["warnings"])
    kept = interpolate_slices((a_stack(),), Options(spacing_mm=4 / 3, method="linear"))
    assert kept.report["warnings"] == [] and kept.report["grid"]["acquired_slices_kept"] == 5


def test_the_result_does_not_depend_on_the_chunks_it_is_made_in(a_heart, monkeypatch):
    for method in METHODS:
        whole = interpolate_slices((a_heart,), Options(factor=4, method=method))
        monkeypatch.setattr(slice_engine, "CHUNK_VOXELS", 2 * 72 * 80)
        pieces = interpolate_slices((a_heart,), Options(factor=4, method=method))
        monkeypatch.undo()
        assert np.array_equal(whole.volume[0].array, pieces.volume[0].array)
        assert np.array_equal(whole.fidelity[0].array, pieces.fidelity[0].array)


def test_labels_are_carried_by_shape_not_by_nearest_slice():
    labels = np.zeros((3, 40, 40), np.uint8)
    y, x = np.mgrid[:40, :40]
    for z, radius in enumerate((6, 12, 6)):
        labels[z][(y - 20) ** 2 + (x - 20) ** 2 <= radius**2] = 3
    labels[:, :4, :] = 1
    volume = a_stack(n=3).with_(array=np.random.default_rng(0).normal(size=(3, 40, 40)))
    result = interpolate_slices((volume,), Options(factor=4, method="linear"), segmentation=volume.with_(array=labels))
    made = result.segmentation
    assert made.array.dtype == np.uint8 and set(np.unique(made.array)) == {0, 1, 3}
    assert np.array_equal(made.array[::4], labels)
    radius = np.sqrt((made.array == 3).sum(axis=(1, 2)) / np.pi)
    assert radius[:5] == pytest.approx([6, 7.5, 9, 10.5, 12], abs=0.35)
    assert np.all(made.array[:, :4] == 1)
    assert geometry.same_grid(made, result.volume[0])


def test_a_label_that_ends_shrinks_and_is_gone_half_way():
    labels = np.zeros((2, 30, 30), np.int16)
    y, x = np.mgrid[:30, :30]
    labels[0][(y - 15) ** 2 + (x - 15) ** 2 <= 64] = 1
    volume = a_stack(n=2).with_(array=np.random.default_rng(0).normal(size=(2, 30, 30)))
    made = interpolate_slices((volume,), Options(factor=8, method="linear"), segmentation=volume.with_(array=labels)).segmentation
    areas = (made.array == 1).sum(axis=(1, 2))
    assert np.all(np.diff(areas) <= 0) and areas[3] > 0 and areas[5] == 0


def test_labels_that_touch_leave_no_gap_when_they_move_far():
    """A ring around a disc, both shrinking by more than the ring is thick."""
    y, x = np.mgrid[:40, :40]
    radius = np.hypot(y - 20, x - 20)
    labels = np.zeros((2, 40, 40), np.uint8)
    for z, (inner, outer) in enumerate(((10, 14), (2, 6))):
        labels[z][radius < outer] = 2
        labels[z][radius < inner] = 1
    volume = a_stack(n=2).with_(array=np.random.default_rng(0).normal(size=(2, 40, 40)))
    made = interpolate_slices((volume,), Options(factor=2, method="linear"), segmentation=volume.with_(array=labels)).segmentation
    assert np.all(made.array[1][radius < 7.5] != 0) and np.all(made.array[1][radius > 13] == 0)


def test_labels_on_another_grid_are_refused():
    volume = a_stack()
    labels = volume.with_(array=np.zeros(volume.shape, np.uint8), origin_mm=(1, 0, 0))
    with pytest.raises(InputError, match="grid"):
        interpolate_slices((volume,), Options(factor=2, method="linear"), segmentation=labels)


def test_progress_only_grows_and_ends_at_one(a_heart):
    seen = []
    interpolate_slices((a_heart,), Options(factor=2, method="auto"), progress=Progress(lambda f, m: seen.append(f)))
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_a_picture_is_drawn_when_asked(a_heart):
    pytest.importorskip("matplotlib")
    assert interpolate_slices((a_heart,), Options(factor=2, method="linear")).picture[:4] == b"\x89PNG"


REAL = ("brain/ms_patient03", "brain/pyrad_brain1", "other/abdomen", "other/spine/sct_mt1.nii.gz", "cardiac/mnms", "brain/eun")


@pytest.mark.parametrize("folder", REAL)
def test_real_volumes_keep_box_acquired_slices_and_range(data_dir, folder):
    path = data_dir / folder
    path = next(p for p in sorted(path.iterdir())) if path.is_dir() else path
    volume = formats.read(path)[0]
    axis = geometry.through_plane_axis(volume)
    result = interpolate_slices((volume,), Options(factor=2, method="linear"))
    made = result.volume[0]
    assert geometry.corners_mm(made) == pytest.approx(geometry.corners_mm(volume), abs=1e-3)
    assert made.array.dtype == volume.array.dtype
    acquired = [slice(None)] * 3
    acquired[2 - axis] = slice(None, None, 2)
    assert np.array_equal(made.array[tuple(acquired)], volume.array)
    assert made.array.min() == volume.array.min() and made.array.max() == volume.array.max()
