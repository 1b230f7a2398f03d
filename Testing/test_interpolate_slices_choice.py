"""How a method is chosen: what was tried, what is said of it, the expected error that comes of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import thick_stacks
from MedSRLib.tasks import slice_choice, slice_engine, slice_methods
from MedSRLib.tasks.interpolate_slices import Options, interpolate_slices
from MedSRLib.tasks.slice_candidates import Candidate
from MedSRLib.tasks.synthesis import Synthesis
from MedSRLib.volume import Volume
from thick_stacks import a_stack

a_heart = thick_stacks.a_heart


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
