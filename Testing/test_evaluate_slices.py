"""The evaluation: nothing peeks at the left-out slices, and its figures are those others measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from MedSRLib.errors import InputError, OptionError
from MedSRLib.io import formats
from MedSRLib.metrics import psnr
from MedSRLib.run import Progress
from MedSRLib.tasks import slice_evaluation
from MedSRLib.tasks.evaluate_slices import Options, evaluate_slices, score_cohort
from MedSRLib.volume import Volume

FAST = ("linear", "bspline", "flow")
SUBJECTS = 12


@pytest.fixture
def a_heart(sample_dir) -> Volume:
    """The shipped pig heart, a corner of it: 9 slices of 48×56 pixels."""
    volume = formats.read(sample_dir / "pig_cine_ed.nrrd")[0]
    return volume.with_(array=volume.array[4:13, 72:120, 72:128])


def rebuilt(volume: Volume, options: Options):
    """(the left-out slices by each method, what the default chose)."""
    parts = slice_evaluation.split(volume, options)
    contest = slice_evaluation.enter(parts, options)
    return slice_evaluation.rebuild(parts, contest, options), contest.choice


@pytest.mark.parametrize("protocol", ["as-is", "published"])
def test_the_left_out_slices_are_never_seen(a_heart, protocol):
    noise = np.random.default_rng(0).integers(0, 4 * int(a_heart.array.max()), a_heart.array.shape)
    spoiled = a_heart.array.copy()
    spoiled[1::2] = noise[1::2].astype(spoiled.dtype)
    options = Options(protocol=protocol)
    clean, choice = rebuilt(a_heart, options)
    dirty, other = rebuilt(a_heart.with_(array=spoiled), options)
    assert {"linear", "bspline", "lanczos", "flow", "flow-smoothed", "default"} <= set(clean) == set(dirty)
    assert [t.psnr for t in choice.trials] == [t.psnr for t in other.trials]
    for name in clean:
        assert np.array_equal(clean[name].values, dirty[name].values), name
        assert np.array_equal(clean[name].expected_error, dirty[name].expected_error), name


def test_every_left_out_slice_is_scored_by_every_method(a_heart):
    result = evaluate_slices((a_heart,), Options(methods=FAST))
    assert {(row["slice"], row["method"]) for row in result.table} == {(s, m) for s in (1, 3, 5, 7) for m in (*FAST, "default")}
    assert all(row.keys() == result.table[0].keys() for row in result.table)
    row = next(r for r in result.table if r["method"] == "linear" and r["slice"] == 3)
    middle = (a_heart.array[2].astype(float) + a_heart.array[4]) / 2
    low, high = np.percentile(a_heart.array[::2], (1, 99))
    assert row["psnr_db"] == pytest.approx(psnr(a_heart.array[3], middle, high - low), abs=1e-3)
    assert row["mean_error"] == pytest.approx(np.abs(middle - a_heart.array[3]).mean(), rel=1e-3)
    assert row["position_mm"] == pytest.approx(15.0, abs=0.01)
    json.dumps(result.report)


def test_the_default_is_what_leave_out_on_the_kept_slices_chose(a_heart):
    result = evaluate_slices((a_heart,), Options(methods=FAST))
    (chosen,) = result.report["chosen"].values()
    trials = {t["method"]: t["psnr_db"] for t in next(iter(result.report["trials"].values()))}
    assert max(trials.values()) - trials[chosen["method"]] <= 0.3
    summary = {row["method"]: row for row in result.report["summary"]}
    assert summary["default"]["psnr_db"] == summary.get(chosen["row"], summary["default"])["psnr_db"]


def test_two_slices_are_too_few(a_heart):
    with pytest.raises(InputError, match="too few"):
        evaluate_slices((a_heart.with_(array=a_heart.array[:2]),))


def test_an_unknown_method_is_refused_with_those_that_exist(a_heart):
    with pytest.raises(OptionError, match="lanczos"):
        evaluate_slices((a_heart,), Options(methods=("magic",)))


def test_several_volumes_are_scored_together_and_told_apart(a_heart):
    brighter = a_heart.with_(array=(a_heart.array * 2).astype(a_heart.array.dtype))
    both = score_cohort({"dark": (a_heart,), "bright": (brighter,)}, Options(methods=("linear",)))
    names = list(dict.fromkeys(row["volume"] for row in both.table))
    assert names == ["dark", "bright"] and both.report["volumes"] == 2 and both.report["left_out_slices"] == 8
    scores = [[r["ssim"] for r in both.table if r["volume"] == n and r["method"] == "linear"] for n in names]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_every_frame_is_scored(a_heart):
    """Each frame's rows are what that frame alone gives; a constant one is left out by name; progress grows through all of them."""
    second = a_heart.with_(array=a_heart.array[::-1].copy())
    flat = a_heart.with_(array=np.full_like(a_heart.array, 5))
    heard: list[tuple[float, str]] = []
    options = Options(methods=("linear", "lanczos"))
    result = evaluate_slices((a_heart, flat, second), options, progress=Progress(lambda f, m: heard.append((f, m))))
    assert {row["frame"] for row in result.table} == {0, 2}
    for number, volume in ((0, a_heart), (2, second)):
        mine = [r | {"frame": 0} for r in result.table if r["frame"] == number and r["method"] != "default"]
        assert mine == [r for r in evaluate_slices((volume,), options).table if r["method"] != "default"]
    assert result.report["left_out_slices"] == 8
    assert any("frame 2 is of one value" in w for w in result.report["warnings"])
    fractions = [f for f, _ in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and {"frame 1 of 3", "frame 3 of 3"} <= {m for _, m in heard}


@pytest.mark.parametrize("level", [0, 1_000_000])
def test_what_is_added_to_all_values_does_not_change_the_errors_but_lanczos(a_heart, level):
    """Lanczos weights w of a target half-way sum to 1 + e: its error changes by e·level, that of the others not at all."""
    options = Options(methods=("linear", "lanczos"))
    volume = a_heart.with_(array=a_heart.array.astype(np.int32) + level)
    rows = {(r["slice"], r["method"]): r["mean_error"] for r in evaluate_slices((volume,), options).table}
    kept = volume.array[::2].astype(float)
    for i, slice_ in enumerate((1, 3, 5, 7)):
        middle = (kept[i] + kept[i + 1]) / 2
        assert rows[slice_, "linear"] == pytest.approx(np.abs(middle - volume.array[slice_]).mean(), rel=1e-3)
        columns = np.arange(i - 4, i + 6)
        weights = np.sinc(i + 0.5 - columns) * np.sinc((i + 0.5 - columns) / 5)
        made = np.tensordot(weights, kept[columns.clip(0, len(kept) - 1)], 1)
        assert rows[slice_, "lanczos"] == pytest.approx(np.abs(made - volume.array[slice_]).mean(), rel=1e-3)


def test_figures_are_drawn(a_heart):
    pytest.importorskip("matplotlib")
    result = evaluate_slices((a_heart,), Options(methods=FAST))
    assert result.plot[:4] == result.picture[:4] == b"\x89PNG"


def test_without_matplotlib_the_figures_still_come_as_numbers(a_heart, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = evaluate_slices((a_heart,), Options(methods=("linear",)))
    assert result.plot is None and result.picture is None and len(result.table) == 8
    assert any("matplotlib" in w for w in result.report["warnings"])


def test_the_expected_error_of_the_default_is_near_the_actual_one(a_heart):
    summary = evaluate_slices((a_heart,), Options(methods=("linear",))).report["summary"]
    ratio = next(row["expected_over_actual_error"] for row in summary if row["method"] == "default")
    assert 0.6 < ratio < 1.6


def test_the_published_protocol_gives_the_figures_measured_elsewhere(data_dir):
    """Linear and B-spline on the 12 hearts with 5 mm slices: 19.77 dB / 0.541 and 19.40 dB / 0.517 were measured independently."""
    paths = sorted((data_dir / "cardiac" / "acdc_5mm").glob("*.nii.gz"))
    assert len(paths) == SUBJECTS
    hearts = {path.name: formats.read(path) for path in paths}
    rows = []
    for name, frames in hearts.items():
        parts = slice_evaluation.split(frames[0], Options(protocol="published"))
        assert parts.kept.shape[1:] == (128, 128) and parts.pixel_mm == pytest.approx((1.4, 1.4))
        for method in ("linear", "bspline"):
            made = slice_evaluation.classical(method).run(parts.kept, parts.kept_mm, parts.truth_mm, slice_evaluation.Progress())
            rows += [slice_evaluation._row(parts, name, 0, method, made, i) for i in range(len(parts.index))]
    for method, db, index in (("linear", 19.77, 0.541), ("bspline", 19.40, 0.517)):
        means = [[np.mean([r[m] for r in rows if r["volume"] == n and r["method"] == method]) for n in hearts] for m in ("psnr_db", "ssim")]
        assert np.mean(means[0]) == pytest.approx(db, abs=0.05)
        assert np.mean(means[1]) == pytest.approx(index, abs=0.006)


@pytest.mark.parametrize(
    ("path", "every"),
    [("brain/ms_patient03/patient03_study2_FLAIR.nii.gz", 1), ("other/spine/sct_mt1.nii.gz", 1), ("brain/eun/eun_uchar_8.nii.gz", 2)],
)
def test_the_default_is_never_worse_than_linear_on_real_volumes(data_dir, path, every):
    """FLAIR, spine, and isotropic T1 thinned four times; the middle of each, to keep this fast."""
    volume = formats.read(data_dir / path)[0]
    depth, height, width = volume.shape
    middle = volume.array[depth // 2 % every :: every][:, height // 3 : -height // 3, width // 3 : -width // 3]
    middle = middle[max(0, len(middle) // 2 - 8) : len(middle) // 2 + 9]
    thin = volume.with_(array=middle, spacing_mm=(*volume.spacing_mm[:2], every * volume.spacing_mm[2]))
    summary = score_cohort({path: (thin,)}, Options(methods=("linear",), axis="k")).report["summary"]
    by_method = {row["method"]: row["psnr_db"] for row in summary}
    assert by_method["default"] >= by_method["linear"] - 0.02
