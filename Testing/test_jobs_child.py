"""The job runner in a child process: what it gives, says and leaves behind, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import waiting_jobs
from MedSRLib import jobs, jobs_files
from MedSRLib.errors import Cancelled, DependencyError, MedSRError, ResourceError
from MedSRLib.io import formats
from MedSRLib.jobs import Specification, run_here
from waiting_jobs import names

stand_in, folder, spec = waiting_jobs.stand_in, waiting_jobs.folder, waiting_jobs.spec
SOON = 60.0
"""Seconds within which a child process must have done what takes it one or two, on a machine that is busy."""


def alive(pid: int) -> bool:
    """Whether a process still runs; one that is dead but not yet reaped does not."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition, seconds=SOON):
    """Wait for a condition; fails where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def run_to_end(job):
    """All events of a job."""
    events = []
    until(lambda: events.extend(job.poll()) or job.finished)
    return events


def test_the_child_gives_what_running_here_gives(spec, folder):
    job = jobs.start(spec(deed="print", seconds=0.3))
    events = run_to_end(job)
    kinds = [event["event"] for event in events]
    assert kinds[0] == "pid" and kinds[-1] == "result" and {"progress", "warning", "log"} <= set(kinds)
    assert events[0]["pid"] == events[-1]["report"]["pid"] != os.getpid()
    assert "a library talks on standard output" in job.log and "and another one, in C" in job.log
    outcome = job.outcome()
    assert outcome.outputs == {"volume": str(folder / "résultat.nrrd")}
    assert formats.read(outcome.outputs["volume"])[0].array.max() == 119
    assert names(folder) == ["cœur.nrrd", "résultat.nrrd", "résultat.nrrd.json"]


def test_a_real_task_runs_in_the_child(sample_dir, tmp_path):
    outputs = {"volume": str(tmp_path / "a.nrrd"), "fidelity": str(tmp_path / "f.nrrd")}
    source = str(sample_dir / "pig_cine_4phases.seq.nrrd")
    job = jobs.start(Specification("interpolate_slices", {"volume": source}, outputs, {"method": "linear", "factor": 2.0}))
    events = run_to_end(job)
    assert {event["event"] for event in events} >= {"pid", "progress", "result"}
    frames = formats.read(outputs["volume"])
    assert len(frames) == 4 and frames[0].shape == (39, 144, 144)
    assert np.array_equal(frames[3].array[::2], formats.read(source)[3].array)


@pytest.mark.parametrize(
    ("deed", "error", "words"),
    [
        ("memory", ResourceError, "memory"),
        ("kill", ResourceError, "killed"),
        ("crash", MedSRError, "SIGABRT"),
        ("import", DependencyError, "there_is_no_such_library"),
        ("bug", MedSRError, "has a bug"),
    ],
)
def test_the_child_says_in_one_sentence_why_it_failed(spec, folder, deed, error, words):
    job = jobs.start(spec(deed=deed))
    last = run_to_end(job)[-1]
    assert last["event"] == "error" and last["exit_code"] == error.exit_code
    with pytest.raises(error, match=words) as caught:
        job.outcome()
    assert "\n" not in caught.value.sentence()
    assert names(folder) == ["cœur.nrrd"]


def test_cancel_is_heard_at_the_next_step(spec, folder):
    job = jobs.start(spec(seconds=30, steps=300))
    until(lambda: any(event["event"] == "progress" for event in job.poll()))
    begun = time.monotonic()
    job.cancel()
    assert job.wait(2.0) and time.monotonic() - begun < 2.0
    with pytest.raises(Cancelled):
        job.outcome()
    assert not alive(job.pid) and names(folder) == ["cœur.nrrd"]


def test_cancel_kills_the_whole_tree_of_a_worker_that_does_not_listen(spec):
    job = jobs.start(spec(deed="deaf"))
    until(lambda: "grandchild" in job.log)
    grandchild = int(job.log.split()[-1])
    assert alive(grandchild)
    begun = time.monotonic()
    job.cancel()
    until(lambda: not alive(job.pid) and not alive(grandchild), 2.0)
    assert job.wait(SOON) and time.monotonic() - begun < 4.0
    with pytest.raises(Cancelled):
        job.outcome()


def test_a_worker_whose_parent_dies_ends_too(spec, tmp_path):
    """The parent here is a process of its own that is killed without a chance to say goodbye."""
    code = (
        "import sys, time\nfrom MedSRLib import jobs\n"
        "job = jobs.start(jobs.Specification.from_json(sys.argv[1]))\n"
        "while job.pid == job._process.pid and not any(e['event'] == 'progress' for e in job.poll()): time.sleep(0.02)\n"
        "print(job.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, spec(seconds=50, steps=10).to_json()], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(worker), 5.0)


def test_what_a_killed_worker_was_writing_is_removed(spec, folder):
    """By its parent at once, and by the next job where the parent was killed as well."""
    job = jobs.start(spec(seconds=30, steps=300))
    until(lambda: any(event["event"] == "progress" for event in job.poll()))
    half = folder / f".medsr-{jobs_files._host()}-{job.pid}-00000000.part"
    half.mkdir()
    (half / "résultat.nrrd").write_text("half")
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait(SOON)
    assert names(folder) == ["cœur.nrrd"]
    half.mkdir()
    run_here(spec())
    assert names(folder) == ["cœur.nrrd", "résultat.nrrd", "résultat.nrrd.json"]


def test_in_slicer_the_worker_is_run_by_pythonslicer(monkeypatch, tmp_path):
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert jobs.worker_python() == str(launcher)
    launcher.unlink()
    with pytest.raises(DependencyError):
        jobs.worker_python()


def test_outside_slicer_the_worker_is_run_by_this_python(monkeypatch):
    monkeypatch.delenv("SLICER_HOME", raising=False)
    assert jobs.worker_python() == sys.executable


def test_a_launcher_between_parent_and_worker_is_seen_through(spec, tmp_path, folder):
    """PythonSlicer starts Python as a child of its own: the pid that counts is the worker's."""
    launcher = tmp_path / "Python Slicer"
    launcher.write_text(f'#!/bin/sh\nexec 3<&0\n"{sys.executable}" "$@" <&3 &\nexec 3<&-\nwait $!\n')
    launcher.chmod(0o755)
    job = jobs.start(spec(seconds=30, steps=300), str(launcher))
    until(lambda: any(event["event"] == "progress" for event in job.poll()))
    assert job.pid != job._process.pid
    job.cancel()
    assert job.wait(2.0)
    until(lambda: not alive(job.pid), 2.0)
    assert names(folder) == ["cœur.nrrd"]


def test_a_python_that_is_none_is_one_sentence(spec):
    with pytest.raises(DependencyError, match="cannot be started"):
        jobs.start(spec(), "/no/such/python")


def test_asking_never_waits(spec):
    job = jobs.start(spec(seconds=1))
    begun = time.monotonic()
    for _ in range(50):
        job.poll()
    assert time.monotonic() - begun < 0.8
    job.cancel()
    job.wait(SOON)
