"""The task on real data and on made-up stacks: what stays, what is refused, what is said."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from MedSRLib import geometry
from MedSRLib.errors import Cancelled, InputError, OptionError
from MedSRLib.io import formats
from MedSRLib.run import Progress, run_lanes
from MedSRLib.tasks import slice_choice, slice_engine, slice_methods
from MedSRLib.tasks.interpolate_slices import Options, interpolate_slices
from MedSRLib.tasks.slice_candidates import Candidate
from MedSRLib.tasks.synthesis import Synthesis
from MedSRLib.volume import Volume

METHODS = ("linear", "bspline", "lanczos", "flow")


@pytest.fixture
def a_heart(sample_dir) -> Volume:
    """The shipped pig heart, a corner of it: 6 slices of 72×80 pixels."""
    volume = formats.read(sample_dir / "pig_cine_ed.nrrd")[0]
    return volume.with_(array=volume.array[4:10, 60:132, 60:140])


def a_stack(dtype=np.int16, n=5, **more) -> Volume:
    """A blob that wanders through n slices of 4 mm."""
    z, y, x = np.mgrid[:n, :32, :36].astype(float)
    values = 100 * np.exp(-((x - 14 - z) ** 2 + (y - 15) ** 2) / 60) + 5 * np.sin(x + y)
    return Volume(values.astype(dtype), (1, 1, 4), **more)


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


def test_lanczos_refuses_uneven_slices():
    with pytest.raises(OptionError, match="evenly"):
        interpolate_slices((a_stack(positions_mm=(0, 4, 9, 12, 16)),), Options(spacing_mm=1, method="lanczos"))


def test_frames_are_interpolated_one_by_one_by_one_method(a_heart):
    brighter = a_heart.with_(array=a_heart.array + np.array(100, a_heart.array.dtype))
    result = interpolate_slices((a_heart, brighter), Options(factor=2, method="auto"))
    assert len(result.volume) == len(result.fidelity) == 2 and result.report["frames"] == 2
    alone = interpolate_slices((brighter,), Options(factor=2, method=result.report["method"])).volume[0]
    assert np.array_equal(result.volume[1].array, alone.array)


def test_frames_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="elsewhere"):
        interpolate_slices((a_stack(), a_stack(origin_mm=(9, 0, 0))), Options(factor=2))
    even, uneven = a_stack(), a_stack(positions_mm=tuple(a_stack().slice_positions_mm + [0, 1, 0, 0, 0]))
    with pytest.raises(InputError, match="elsewhere"):  # the same box, an inner slice elsewhere
        interpolate_slices((even, uneven), Options(factor=2))
    with pytest.raises(InputError, match="size or type"):
        interpolate_slices((a_stack(), a_stack(np.uint8)), Options(factor=2))


@pytest.mark.parametrize("method", ["auto", "lanczos", "bspline"])
@pytest.mark.parametrize("flat", [0, 1])
def test_a_constant_frame_stays_constant_and_is_named(a_heart, method, flat):
    """One empty frame does not cost the others; an acquired one is interpolated as it would be alone."""
    frames = [a_heart, a_heart.with_(array=a_heart.array[::-1].copy())]
    frames.insert(flat, a_heart.with_(array=np.full_like(a_heart.array, 321)))
    result = interpolate_slices(frames, Options(factor=3, method=method))
    assert np.all(result.volume[flat].array == 321) and np.all(result.fidelity[flat].array == 0)
    assert any(f"frame {flat + 1} is of one value" in w for w in result.report["warnings"])
    alone = interpolate_slices([a_heart], Options(factor=3, method=method))
    first = 0 if flat else 1
    assert np.array_equal(result.volume[first].array, alone.volume[0].array) and result.report["why"] == alone.report["why"]


def test_only_a_wholly_constant_image_is_refused():
    flat = [a_stack().with_(array=np.full((5, 20, 24), value, np.int16)) for value in (3, 4)]
    with pytest.raises(InputError, match="every frame is constant"):
        interpolate_slices(flat, Options(factor=2, method="linear"))


def test_a_voxel_that_is_no_number_is_found_in_any_frame_before_work_begins():
    spoiled = a_stack(np.float32).with_(array=nan_stack(np.nan).array)
    heard = []
    with pytest.raises(InputError, match="1 voxels of frame 2 are NaN"):
        interpolate_slices([a_stack(np.float32), spoiled], Options(factor=2), progress=Progress(lambda f, m: heard.append(m)))
    assert heard == []


def nan_stack(bad: float) -> Volume:
    array = a_stack(np.float32).array.copy()
    array[2, 3, 4] = bad
    return a_stack().with_(array=array)


SHEARED = np.column_stack([[1, 0, 0], [0, 1, 0], [0, 0.3, 0.954]])
REFUSED = {
    "a single slice": (lambda: Volume(np.zeros((1, 9, 9)), (1, 1, 5)), "single slice"),
    "a 2-D image with unit spacing": (lambda: Volume(np.zeros((1, 9, 9)), (1.4, 1.4, 1)), "single slice"),
    "colour": (lambda: Volume(np.zeros((4, 9, 9, 3), np.uint8), (1, 1, 5)), "channels"),
    "complex": (lambda: Volume(np.zeros((4, 9, 9), complex), (1, 1, 5)), "complex"),
    "constant": (lambda: Volume(np.full((4, 9, 9), 7), (1, 1, 5)), "nothing to interpolate"),
    "one pixel wide": (lambda: Volume(np.arange(36.0).reshape(4, 9, 1), (1, 1, 5)), "1 voxel wide"),
    "NaN": (lambda: nan_stack(np.nan), "1 voxels are NaN"),
    "infinite": (lambda: nan_stack(np.inf), "NaN or infinite"),
    "sheared": (lambda: a_stack(direction=SHEARED), "right angles"),
    "text": (lambda: Volume(np.full((4, 9, 9), "a"), (1, 1, 5)), "not numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_interpolated_is_refused_in_one_sentence(case):
    make, sentence = REFUSED[case]
    with pytest.raises(InputError, match=sentence) as caught:
        interpolate_slices((make(),), Options(factor=2, method="linear"))
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    "options",
    [
        Options(spacing_mm=4.0),
        Options(spacing_mm=9.0),
        Options(spacing_mm=-1.0),
        Options(spacing_mm=2.0, factor=2.0),
        Options(factor=0.5),
        Options(factor=1.0),
        Options(method="magic"),
        Options(spacing_mm=float("nan")),
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(OptionError):
        interpolate_slices((a_stack(),), options)


def test_an_isotropic_volume_has_nothing_to_interpolate():
    with pytest.raises(OptionError, match="already"):
        interpolate_slices((a_stack().with_(spacing_mm=(1, 1, 1)),), Options())


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


def test_auto_says_why_and_shows_its_figures(a_heart):
    report = interpolate_slices((a_heart,), Options(factor=2)).report
    tried = {row["method"]: row for row in report["trials"]}
    psnr = {name: row["psnr_db"] or 0 for name, row in tried.items()}
    assert {"flow", "linear"} <= set(tried) and report["method"] in psnr and report["method"] in report["why"]
    assert max(psnr.values()) - psnr[report["method"]] <= 0.3
    assert report["model"] is None or len(report["model"]["sha256"]) == 64
    assert tried["linear"]["slices"] == 4
    json.dumps(report)


@pytest.mark.parametrize(("method", "error", "told"), [("auto", 0.0, True), ("auto", 50.0, False), ("model", 50.0, True)])
def test_a_volume_outside_the_model_s_range_is_told_where_the_model_is_used(monkeypatch, method, error, told):
    def model(slices, positions_mm, targets_mm, progress):
        z, y, x = np.meshgrid(targets_mm / 4, np.arange(32.0), np.arange(36.0), indexing="ij")
        truth = 100 * np.exp(-((x - 14 - z) ** 2 + (y - 15) ** 2) / 60) + 5 * np.sin(x + y)
        return Synthesis((truth + error).astype(np.float32), np.ones(truth.shape, np.float32))

    card = SimpleNamespace(id="knees", valid_range={"modality": ("CT",)})
    monkeypatch.setattr(slice_engine, "learned", lambda *args, **settings: Candidate("model", model, {"id": "knees"}, card))
    report = interpolate_slices((a_stack(np.float32, meta={"modality": "MR"}),), Options(factor=2, method=method)).report
    assert (report["method"] == "model") == told
    assert any("knees was not made for this: the modality is MR" in warning for warning in report["warnings"]) == told


def test_auto_takes_linear_where_flow_misleads():
    """Slices that fade into each other without moving, over noise that lures the flow."""
    rng = np.random.default_rng(0)
    still = rng.normal(size=(48, 48))
    fade = np.linspace(1, 0, 7)[:, None, None]
    array = (100 * (fade * still + (1 - fade) * rng.normal(size=(48, 48)))).astype(np.float32)
    assert interpolate_slices((Volume(array, (1, 1, 5)),), Options(factor=2)).report["method"] == "linear"


@pytest.mark.parametrize(("side", "count"), [(16, 8), (256, 4), (160, 8), (220, 5)])
def test_fewer_of_large_slices_are_left_out(side, count):
    """As many as hold 2¹⁸ pixels, at least 4 and at most 8: the slice in the middle of two that are alike is rebuilt exactly."""
    slices = np.zeros((14, side, side), np.float32)
    slices[:, : side // 2] = 100
    trial = slice_choice.try_methods(slices, np.arange(14.0), {"linear": slice_methods.linear})[0]
    assert trial.psnr == (slice_choice.PSNR_CEILING,) * count


def test_leaving_out_rebuilds_from_both_direct_neighbours():
    seen = []

    def spy(slices, positions, targets, progress):
        seen.extend(
            zip(targets, [positions[positions < t].max() for t in targets], [positions[positions > t].min() for t in targets], strict=True)
        )
        return slice_methods.linear(slices, positions, targets)

    trial = slice_choice.try_methods(a_stack(np.float32, n=7).array, np.arange(7.0), {"spy": spy})[0]
    assert sorted(seen) == [(i, i - 1, i + 1) for i in range(1, 6)]
    assert len(trial.psnr) == 5


def test_the_expected_error_is_calibrated_on_the_volume():
    """Half the floor and the root of the slope of what was measured over the doubled gap."""
    rng = np.random.default_rng(0)
    raw = rng.uniform(0, 10, (3, 50, 50))
    made = slice_choice._calibrate([(r, 2 + 4 * r + rng.normal(0, 0.1, r.shape)) for r in raw])
    assert made.slope == pytest.approx(2, abs=0.02) and made.floor == pytest.approx(1, abs=0.05)
    unrelated = slice_choice._calibrate([(r, rng.uniform(0, 18, r.shape)) for r in raw])
    assert unrelated.floor == 0 and unrelated.slope == pytest.approx(np.sqrt(9 / 5), rel=0.02)
    silent = slice_choice._calibrate([(0 * r, 0 * r + 3) for r in raw])
    assert silent.floor == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("model", "flow", "linear", "chosen"),
    [
        (21.0, 20.5, 20.0, "model"),
        (20.4, 20.8, 20.0, "flow"),
        (20.4, 20.6, 20.0, "model"),
        (20.2, 20.45, 20.0, "linear"),
        (20.05, 20.09, 20.0, "linear"),
        (19.0, 19.0, 20.0, "linear"),
        (20.5, 20.5, 20.0, "model"),
    ],
)
def test_the_best_on_left_out_slices_is_chosen_and_linear_stays_unless_beaten(model, flow, linear, chosen):
    scores = {"model": model, "flow": flow, "linear": linear}
    choice = slice_choice.choose(tuple(slice_choice.Trial(name, (db,), (0.5,)) for name, db in scores.items()))
    assert choice.method == chosen and chosen in choice.why


def test_a_method_that_failed_is_not_chosen_and_the_reason_is_told():
    trials = (
        slice_choice.Trial("model", failed="no weights"),
        slice_choice.Trial("flow", (20.5,), (0.5,)),
        slice_choice.Trial("linear", (20.0,), (0.5,)),
    )
    choice = slice_choice.choose(trials, why_not="PyTorch is not installed")
    assert choice.method == "flow" and "PyTorch is not installed" in choice.why


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


def test_a_cancelled_job_stops(a_heart):
    calls = []
    progress = Progress(lambda fraction, message: calls.append(fraction), lambda: len(calls) > 3)
    with pytest.raises(Cancelled):
        interpolate_slices((a_heart,), Options(factor=2, method="flow"), progress=progress)
    assert len(calls) == 4


def test_progress_only_grows_and_ends_at_one(a_heart):
    seen = []
    interpolate_slices((a_heart,), Options(factor=2, method="auto"), progress=Progress(lambda f, m: seen.append(f)))
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_a_picture_is_drawn_when_asked(a_heart):
    pytest.importorskip("matplotlib")
    assert interpolate_slices((a_heart,), Options(factor=2, method="linear")).picture[:4] == b"\x89PNG"


def test_a_job_that_cannot_fit_is_refused_before_it_starts(monkeypatch):
    from MedSRLib import run
    from MedSRLib.errors import ResourceError

    monkeypatch.setattr(run, "available_memory_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match="GB"):
        interpolate_slices((a_stack(),), Options(factor=2, method="linear"))


def test_batches_shrink_and_move_to_the_cpu_when_memory_runs_out():
    from MedSRLib.run import run_batches

    done, said = [], []

    def work(start, stop, device):
        if device == "cuda" and stop - start > 0 and start >= 4:
            raise RuntimeError("CUDA out of memory")
        if stop - start > 2:
            raise MemoryError
        done.extend(range(start, stop))

    assert run_batches(work, 9, batch_size=8, device="cuda", warn=said.append) == "cpu"
    assert done == list(range(9)) and len(said) == 4


def test_lanes_run_side_by_side_in_order_and_are_told_in_this_thread():
    made, begun, told = [], [], []
    lanes = [[partial(made.append, (lane, i)) for i in range(3)] for lane in range(2)]
    here = threading.get_ident()
    progress = Progress(lambda fraction, message: told.append((fraction, message, threading.get_ident() == here)))
    run_lanes(lanes, begin=lambda: begun.append(threading.get_ident()), progress=progress, message="working")
    assert sorted(made) == [(lane, i) for lane in range(2) for i in range(3)]
    assert [[i for lane, i in made if lane == n] for n in range(2)] == [[0, 1, 2]] * 2
    assert len(set(begun)) == 2 and here not in begun
    assert [f for f, _, _ in told] == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1]) and all(
        m == "working" and h for _, m, h in told
    )


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_lane_that_fails_or_is_cancelled_stops_the_others(lanes):
    made = []

    def call(i):
        made.append(i)
        time.sleep(0.02)
        if i == 1:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_lanes([[partial(call, i) for i in range(50)]] * lanes)
    assert len(made) < 10 * lanes
    made.clear()
    with pytest.raises(Cancelled):
        run_lanes([[partial(call, 0)] * 50] * lanes, progress=Progress(cancelled=lambda: len(made) > 2))
    assert len(made) < 10 * lanes


def test_errors_that_are_not_about_memory_are_not_swallowed():
    from MedSRLib.run import run_batches

    def work(start, stop, device):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        run_batches(work, 3, batch_size=2, device="cpu")


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
