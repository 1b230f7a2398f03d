"""The benchmark of registration: a pair whose truth is known by construction, and what is measured on it."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from MedSRLib import cli, cli_benchmark_pair, cli_benchmark_slide
from scipy.ndimage import binary_erosion

pytest.importorskip("cv2")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")


def test_the_truth_turns_the_slide_about_its_middle():
    """The middle of 40 mm goes to the middle of 160 pixels of 0.4 mm and (1.5, -2) mm on; 1 mm to the right to 0.93 mm, 20° clockwise."""
    truth = cli_benchmark_pair.truth()
    assert (truth @ [20, 20, 1])[:2] == pytest.approx([31.8 + 1.5, 31.8 - 2.0])
    assert (truth @ [1, 0, 0])[:2] == pytest.approx([0.93 * np.cos(np.pi / 9), 0.93 * np.sin(np.pi / 9)])
    assert cli_benchmark_pair.error_mm(truth) == 0
    assert cli_benchmark_pair.error_mm(cli_benchmark_pair.truth(shift_mm=(3.0, 4.0))) == pytest.approx(5)


def test_the_mri_shows_each_place_of_the_slide_where_the_truth_lays_it():
    """Lumen is bright and what holds many nuclei dark there; in a slide laid upside down they are alike."""
    share, lumen, tissue = cli_benchmark_pair.stained()
    image = cli_benchmark_pair.mri().array[0]
    kinds = binary_erosion(lumen, iterations=4), binary_erosion(tissue & ~lumen & (share > 0.9), iterations=4)
    assert all(kind.sum() > 100 for kind in kinds)

    def contrast(turned: bool) -> float:
        means = []
        for kind in kinds:
            at = (np.argwhere(kind)[:, ::-1] + 0.5) * 40 / 625
            at = 40 - at if turned else at
            truth = cli_benchmark_pair.truth()
            x, y = np.rint((at @ truth[:2, :2].T + truth[:2, 2]) / 0.4).astype(int).T
            means.append(image[y, x].mean())
        return means[0] / means[1]

    assert contrast(turned=False) > 2 and contrast(turned=True) < 1.5


def test_the_slide_is_a_pyramid_of_the_size_asked_for(tmp_path):
    cli_benchmark_pair.write_slide(tmp_path / "a.ome.tif", 1250)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        levels = [level.asarray() for level in file.series[0].levels]
        assert file.pages[0].tile == (512, 512) and 'PhysicalSizeX="32.0"' in file.ome_metadata
    assert [level.shape for level in levels] == [(1250, 1250, 3), (625, 625, 3)]
    glass = levels[0][:100, :100]
    assert np.abs(glass.astype(int) - 244).max() <= 3
    _, lumen, tissue = cli_benchmark_pair.stained()
    shown = cli_benchmark_pair.coarse_picture().astype(int)
    apart = np.abs(levels[1].astype(int) - shown)
    assert apart[~tissue].mean() < 2 and 2 < apart[tissue & ~lumen].mean() < 40, "cells darken the tissue, and nothing else"


def test_a_stopwatch_counts_the_calls_and_leaves_the_function_as_it_was():
    module = SimpleNamespace(wait=lambda seconds: time.sleep(seconds) or "done")
    before, watch = module.wait, cli_benchmark_slide.Stopwatch()
    with watch.around(module, "wait"):
        assert [module.wait(0.05), module.wait(0.05)] == ["done", "done"]
    module.wait(0.05)
    assert module.wait is before and 0.1 <= watch.seconds < 5


@pytest.mark.slow
def test_the_benchmark_of_registration(capsys, tmp_path, monkeypatch):
    """The fused picture covers the tissue's box on the MRI and 2 mm around it, by the slide's pixels of 16 µm."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["benchmark", "register-slide", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    near, searched, fused = found["methods"]
    reference = found["reference"]
    for row in (reference, near, searched):
        assert min(row["features_seconds"], row["seconds"]) > 0 and 50 < row["peak_mb"] < 2048
        assert row["features_seconds"] + row["seconds"] == pytest.approx(row["task_seconds"], rel=0.02)
    for row in (near, searched):
        assert row["ratio"] == pytest.approx(row["seconds"] / reference["seconds"], rel=0.02)
        assert row["task_ratio"] == pytest.approx(row["task_seconds"] / reference["task_seconds"], rel=0.02)
        assert row["error_mm"] < 0.2, "half a pixel of the MRI"
    assert reference["error_mm"] < 0.5 * cli_benchmark_pair.error_mm(cli_benchmark_pair.start())
    at = (np.argwhere(cli_benchmark_pair.stained()[2])[:, ::-1] + 0.5) * 40 / 625
    box = np.ptp(at @ cli_benchmark_pair.truth()[:2, :2].T, axis=0) + 4
    assert [int(n) for n in fused["fused_pixels"].split("×")] == pytest.approx((box / 0.016).tolist(), rel=0.01)
    assert fused["fuse_seconds"] > 0 and fused["peak_mb"] < 2048
    assert list(tmp_path.iterdir()) == []
