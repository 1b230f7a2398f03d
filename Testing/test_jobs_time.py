"""The remaining time, by a clock that stands still until a stand-in for a method moves it: no test here waits or is timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from MedSRLib.jobs_here import READ_END, TASK_END
from MedSRLib.jobs_time import SETTLE_SECONDS, WARM_UP, Remaining
from MedSRLib.run import Progress
from MedSRLib.tasks import slice_engine, slice_evaluation
from MedSRLib.tasks.evaluate_slices import Options as EvaluateOptions
from MedSRLib.tasks.evaluate_slices import evaluate_slices
from MedSRLib.tasks.interpolate_slices import Options, interpolate_slices
from MedSRLib.tasks.slice_candidates import Candidate
from MedSRLib.tasks.slice_methods import linear
from MedSRLib.tasks.synthesis import Synthesis
from MedSRLib.volume import Volume


@dataclass(frozen=True)
class Machine:
    """Seconds: to read, to load the model, for each pair and slice of model and flow, to score a slice, to write."""

    read: float
    load: float
    model: tuple[float, float]
    flow: tuple[float, float]
    score: float
    write: float


QUIET = Machine(0.2, 2.5, (0.07, 0.01), (0.04, 0.002), 0.02, 0.5)
BUSY = Machine(0.2, 3.8, (1.9, 0.03), (0.13, 0.004), 0.08, 1.1)
"""The shipped sample on two cores: nothing else running, and beside a training."""


class Watch:
    """The clock, and (seconds since the start, estimate) of each report."""

    def __init__(self) -> None:
        self.now, self.told = 0.0, []
        self._remaining = Remaining()

    def report(self, fraction: float, _message: str) -> None:
        self.told.append((self.now, self._remaining.update(fraction, self.now)))

    def wait(self, seconds: float) -> float:
        """Let time pass."""
        self.now += seconds
        return 0.0

    def method(self, name: str, costs: tuple[float, float]) -> Candidate:
        """A method that takes so long for each pair and slice, and reports pair by pair as the real ones do."""

        def run(slices, positions, targets, progress):
            pairs = np.unique(np.searchsorted(positions, targets) - 1)
            for done in range(len(pairs)):
                progress(done / len(pairs), name)
                self.wait(costs[0] + costs[1] * len(targets) / len(pairs))
            progress(1.0)
            made = linear(slices, positions, targets).values
            return Synthesis(made, np.zeros_like(made))

        return Candidate(name, run, {"id": "slice-refiner"} if name in ("model", "slice-refiner") else {})


def a_stack() -> Volume:
    """20 slices of 5 mm with pixels of 0.83 mm, as the sample, of few pixels."""
    values = np.random.default_rng(0).integers(0, 500, (20, 16, 16)).astype(np.int16)
    return Volume(values, (0.8333, 0.8333, 5.0))


def watched(machine: Machine, monkeypatch, task) -> Watch:
    """One job of `task` on that machine, where the model turns out best."""
    watch = Watch()

    def learned(*_ids, name="model", **_settings):
        watch.wait(machine.load if name == "model" else machine.load / 10)
        return watch.method(name, machine.model)

    def classical(name):
        return watch.method(name, {"flow": machine.flow}.get(name, (0.0, 0.001)))

    for module in (slice_engine, slice_evaluation):
        monkeypatch.setattr(module, "learned", learned)
        monkeypatch.setattr(module, "classical", classical)
    monkeypatch.setattr(slice_evaluation, "vif", lambda *_: watch.wait(machine.score))
    monkeypatch.setattr(slice_engine, "choose", lambda trials, names, why: slice_engine.Choice("model", "", trials))
    progress = Progress(watch.report)
    progress(0.0, "Reading")
    watch.wait(machine.read)
    task(progress.part(READ_END, TASK_END))
    progress(TASK_END, "Writing")
    watch.wait(machine.write)
    progress(1.0, "Done")
    return watch


def interpolate(progress: Progress) -> None:
    interpolate_slices(a_stack(), Options(), progress=progress)


def evaluate(progress: Progress) -> None:
    evaluate_slices(a_stack(), EvaluateOptions(methods=("linear", "flow", "slice-refiner")), progress=progress)


@pytest.mark.parametrize("task", [interpolate, evaluate])
@pytest.mark.parametrize("machine", [QUIET, BUSY])
def test_no_estimate_is_far_too_low(machine, task, monkeypatch):
    watch = watched(machine, monkeypatch, task)
    promised = [(at, left) for at, left in watch.told if left is not None]
    truth = {at: watch.now - at for at, _left in promised}
    low = [(round(at, 1), left, round(truth[at], 1)) for at, left in promised if left < 0.6 * truth[at] - 1.5]
    high = [(round(at, 1), left, round(truth[at], 1)) for at, left in promised if left > 2.5 * truth[at] + 3]
    assert low == [] and high == []
    if machine is BUSY:
        assert len(promised) > 20 and promised[0][0] < 0.4 * watch.now, "the estimate must come while it is still of use"


def test_reading_and_loading_promise_nothing():
    """A small file is read in no time; what follows is not as quick."""
    remaining = Remaining()
    assert [remaining.update(f, t) for f, t in ((0.0, 0.0), (0.02, 0.05), (WARM_UP - 0.01, 9.0), (WARM_UP, 10.0))] == [None] * 4
    assert remaining.update(WARM_UP + 0.1, 10.0 + SETTLE_SECONDS / 2) is None
    assert remaining.update(WARM_UP + 0.2, 20.0) == pytest.approx(0.75 / 0.2 * 10, rel=0.5)


def test_a_first_quick_step_does_not_set_the_pace():
    """A hundredth in 0.1 s, then one in 2 s each: a mean over steps would not forget the first for a minute."""
    remaining = Remaining()
    remaining.update(0.05, 0.0)
    told = [remaining.update(0.05 + 0.01 * (i + 1), 0.1 + 2.0 * i) for i in range(8)]
    truth = [(0.95 - 0.01 * (i + 1)) / 0.01 * 2.0 for i in range(8)]
    promised = [(left, true) for left, true in zip(told, truth, strict=True) if left is not None]
    assert told[:2] == [None, None] and len(promised) >= 5
    assert all(0.6 * true < left < 1.2 * true for left, true in promised) and told[-1] == pytest.approx(truth[-1], rel=0.15)


def test_shares_follow_one_another_and_are_as_wide_as_their_weights():
    told = []
    progress = Progress(lambda fraction, _message: told.append(round(fraction, 6))).part(0.5, 1.0)
    for share in progress.shares([1.0, 0.0, 3.0]):
        share(0.0)
        share(1.0)
    assert told == [0.5, 0.625, 0.625, 0.625, 0.625, 1.0]
    assert len(progress.shares([0.0, 0.0])) == 2


def test_the_remaining_time_of_a_steady_job_is_right():
    remaining = Remaining()
    told = [remaining.update(second / 100, second) for second in range(101)]
    assert told[0] is None and told[-1] == 0
    assert all(abs(left - (100 - second)) < 0.5 for second, left in enumerate(told) if left is not None)


def test_the_remaining_time_follows_a_job_that_slows_down():
    remaining = Remaining()
    for second in range(11):
        remaining.update(second / 20, second)
    slow = [remaining.update(0.5 + second / 200, 10.0 + second) for second in range(1, 41)]
    assert slow[-1] == pytest.approx((0.5 - 0.2) * 200, rel=0.15)
