"""Evaluating super-resolved CT: against the truth, against the scan, of a region, by the command."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from MedSRLib import cli, metrics
from MedSRLib.errors import InputError
from MedSRLib.geometry_region import crop, finer_in_plane, place_of
from MedSRLib.io import formats
from MedSRLib.tasks.ct_parts import Enlarger
from MedSRLib.tasks.evaluate_ct import Options, evaluate_ct
from MedSRLib.volume import Volume
from test_ramp import OBLIQUE


def a_truth(z=2, h=16, w=12) -> Volume:
    """Fine structures in HU, 0.1 mm."""
    random = np.random.default_rng(0)
    image = np.cumsum(np.cumsum(random.normal(0, 3, (z, 8 * h, 8 * w)), 1), 2)
    return Volume((image - image.mean() - 500).astype(np.float32), (0.1, 0.1, 1.0), (5.0, -6.0, 7.0), OBLIQUE, meta={"name": "truth"})


def the_scan_of(truth: Volume) -> Volume:
    z, h, w = truth.array.shape
    array = truth.array.reshape(z, h // 8, 8, w // 8, 8).mean(axis=(2, 4))
    origin = truth.affine @ [3.5, 3.5, 0, 1]
    return Volume(array, (0.8, 0.8, 1.0), tuple(origin[:3]), OBLIQUE, meta={"name": "scan"})


def bicubic_of(scan: Volume) -> Volume:
    plain = Enlarger(scan.shape[1:], 8)
    return finer_in_plane(scan, np.stack([plain.bicubic(plane) for plane in scan.array]), 8)


def test_the_truth_itself_is_perfect_and_bicubic_is_measured_beside_it():
    truth = a_truth()
    result = evaluate_ct((truth,), result=(truth,))
    mine, plain = result.report["summary"]
    assert (mine["method"], plain["method"]) == ("result", "bicubic") and len(result.table) == 4
    assert mine["ssim"] == pytest.approx(1) and mine["departure_rms"] < 1e-3 and mine["power_2_4"] == pytest.approx(1)
    assert plain["ssim"] < 1 and plain["power_2_4"] < 0.5 and 10 < plain["psnr_db"] < 80
    assert result.plot[:4] == result.picture[:4] == b"\x89PNG"


def test_eight_bits_are_not_measured_on_a_scale_of_hu_without_a_word():
    truth = a_truth()
    grey = replace(truth, array=np.clip(truth.array / 8 + 128, 0, 255).astype(np.uint8))
    said = evaluate_ct((grey,), result=(grey,)).report["warnings"]
    assert len(said) == 1 and "255" in said[0]
    assert not evaluate_ct((grey,), Options(data_range=255.0), result=(grey,)).report["warnings"]
    assert not evaluate_ct((truth,), result=(truth,)).report["warnings"]


def test_bicubic_as_the_result_scores_as_bicubic():
    truth = a_truth()
    mine, plain = evaluate_ct((truth,), result=(bicubic_of(the_scan_of(truth)),)).report["summary"]
    assert {k: v for k, v in mine.items() if k != "method"} == pytest.approx({k: v for k, v in plain.items() if k != "method"}, rel=1e-3)


def test_against_the_scan_only_what_it_can_tell_is_measured():
    scan = the_scan_of(a_truth())
    result = evaluate_ct((scan,), result=(a_truth(),))
    mine, _ = result.report["summary"]
    assert mine["psnr_db"] is mine["ssim"] is mine["power_2_4"] is None and mine["departure_rms"] < 1e-3
    assert "not the truth" in result.report["warnings"][0]


def test_a_region_is_found_in_the_whole_reference_and_a_mask_narrows_it():
    truth = a_truth()
    part = crop(truth, ((1, 2), (16, 80), (8, 72)))
    assert place_of(part, truth) == ((1, 2), (16, 80), (8, 72))
    assert place_of(part, the_scan_of(truth), 8) == ((1, 2), (2, 10), (1, 9))
    labels = np.zeros(truth.shape, np.uint8)
    labels[1, 16:40, 8:72] = 1
    mask = truth.with_(array=labels)
    whole, narrow = (evaluate_ct((truth,), result=(bicubic_of(the_scan_of(part)),), mask=m).report["summary"][0] for m in (None, mask))
    assert whole["psnr_db"] != narrow["psnr_db"]


def test_a_result_that_lies_elsewhere_is_refused():
    truth = a_truth()
    for other in (truth.with_(origin_mm=(0, 0, 0)), truth.with_(direction=np.eye(3)), truth.with_(spacing_mm=(0.3, 0.3, 1.0))):
        with pytest.raises(InputError, match="not on the grid"):
            evaluate_ct((truth,), result=(other,))
    with pytest.raises(InputError, match="no multiple"):
        evaluate_ct((truth,), result=(crop(truth, ((0, 1), (0, 9), (0, 8))),))


def test_bands_hold_the_power_of_their_frequencies():
    x = np.arange(128)
    wave = 10 * np.sin(2 * np.pi * x / 8)[None] * np.ones((128, 1))
    low, high = metrics.band_powers(wave, [0.0, 0.1, 0.2])
    assert high > 1000 * low and np.isnan(metrics.band_powers(wave, [0.8, 0.9])).all()


def test_robust_noise_is_that_of_the_noise_whatever_edges_there_are():
    image = np.random.default_rng(0).normal(0, 10, (100, 100))
    image[:, 40:45] += 500
    assert metrics.robust_noise_level(image, np.ones(image.shape, bool)) == pytest.approx(10, rel=0.1)


def test_the_command_takes_reference_and_result(tmp_path, capsys):
    truth = a_truth()
    formats.write(tmp_path / "truth.nrrd", truth)
    formats.write(tmp_path / "made.nrrd", bicubic_of(the_scan_of(truth)))
    words = [str(tmp_path / "truth.nrrd"), str(tmp_path / "made.nrrd"), "--out", str(tmp_path / "out"), "--quiet"]
    assert cli.main(["evaluate", "ct", *words]) == 0
    said = capsys.readouterr().out
    assert "PSNR dB" in said and "bicubic" in said
    rows = list(csv.DictReader((tmp_path / "out" / "ct.csv").open(encoding="utf-8")))
    assert {row["method"] for row in rows} == {"result", "bicubic"} and len(rows) == 4
    assert {p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".png"} == {"plot.png", "picture.png"}
