"""What the task refuses, and how it ends where memory, a lane or the user says stop."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest
import thick_stacks
from MedSRLib.errors import Cancelled, InputError, OptionError
from MedSRLib.run import Progress, run_lanes
from MedSRLib.tasks.interpolate_slices import Options, interpolate_slices
from MedSRLib.volume import Volume
from thick_stacks import SHEARED, a_stack

a_heart = thick_stacks.a_heart


def test_lanczos_refuses_uneven_slices():
    with pytest.raises(OptionError, match="evenly"):
        interpolate_slices((a_stack(positions_mm=(0, 4, 9, 12, 16)),), Options(spacing_mm=1, method="lanczos"))


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


def test_a_cancelled_job_stops(a_heart):
    calls = []
    progress = Progress(lambda fraction, message: calls.append(fraction), lambda: len(calls) > 3)
    with pytest.raises(Cancelled):
        interpolate_slices((a_heart,), Options(factor=2, method="flow"), progress=progress)
    assert len(calls) == 4


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
