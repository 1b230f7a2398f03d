"""The benchmark of the command: what it times and counts, and its own reference."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import cli_benchmark, cli_benchmark_child, cli_benchmark_ct, cli_benchmark_slices


def test_growth_is_the_exponent():
    assert cli_benchmark.growth_exponent([(28, 2.8), (63, 6.3), (133, 13.3)]) == pytest.approx(1)
    assert cli_benchmark.growth_exponent([(10, 1.0), (20, 4.0)]) == pytest.approx(2)
    assert cli_benchmark.growth_exponent([(10, 1.0)]) is None


def test_the_benchmark_measures_the_method_the_task_and_the_reference():
    module = cli_benchmark.SUBJECTS["interpolate-slices"]
    plan = {"module": module, "side": 48, "slices": 4, "factor": 8, "device": "cpu", "repeats": 1, "growth": [3, 4]}
    reference = cli_benchmark._measure({**plan, "method": cli_benchmark_slices.REFERENCE})
    found = cli_benchmark._measure({**plan, "method": "linear"})
    assert min(found["seconds"], found["task_seconds"], found["start_seconds"], reference["seconds"]) > 0
    assert [count for count, _ in found["growth"]] == [14, 21]
    assert 20 < found["peak_mb"] < 2000


def test_the_reference_of_the_benchmark_is_b_spline_resampling_to_8_times_the_slices():
    volume = cli_benchmark_slices.phantom(4, 32)
    made = cli_benchmark_slices._simpleitk(volume, 8)
    assert made.shape == (25, 32, 32)
    assert np.abs(made[::8].astype(int) - volume.array).max() <= 1, "a B-spline goes through its samples, up to rounding"


def test_the_benchmark_of_ct_measures_voxels_a_second_and_growth_with_the_region():
    plan = {
        "module": cli_benchmark.SUBJECTS["super-resolve-ct"],
        "side": 24,
        "slices": 2,
        "device": "cpu",
        "repeats": 1,
        "growth": [[16, 1]],
    }
    reference = cli_benchmark._measure({**plan, "method": cli_benchmark_ct.REFERENCE})
    found = cli_benchmark._measure({**plan, "method": "bicubic"})
    assert 0 < reference["seconds"] < found["task_seconds"] and found["voxels_a_second"] == pytest.approx(
        2 * 192**2 / found["task_seconds"]
    )
    assert [count for count, _ in found["growth"]] == [256, 1152]


def test_operations_are_counted():
    """One convolution 3×3 from 1 to 2 channels on 8×8 pixels: 2·2·9·64 operations."""
    torch = pytest.importorskip("torch")
    layer, image = torch.nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 8, 8)

    def run():
        with torch.inference_mode():
            layer(image)

    found = cli_benchmark_child.operations(run, 1e-3, {"device": "cpu"})
    assert found["gflop"] * 1e9 == 2304 and 0 < found["peak_share"] < 1
