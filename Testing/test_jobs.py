"""The job runner: the same job here and in a child process, and what is left behind when it does not end well."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import jobs, jobs_files, tasks
from MedSRLib.errors import Cancelled, DependencyError, InputError, MedSRError, OptionError, OutputError, ResourceError
from MedSRLib.io import formats
from MedSRLib.jobs import Specification, run_here
from MedSRLib.jobs_time import Remaining
from MedSRLib.run import Progress
from MedSRLib.volume import Volume

STAND_IN = Path(__file__).parent / "stand_in_task"
SOON = 60.0
"""Seconds within which a child process must have done what takes it one or two, on a machine that is busy."""


@pytest.fixture
def stand_in(monkeypatch):
    """The task `waits`, in this process and in its children."""
    monkeypatch.setattr(tasks, "NAMES", tasks.NAMES)
    runpy.run_path(str(STAND_IN / "sitecustomize.py"))
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))


@pytest.fixture
def folder(tmp_path):
    """A folder whose name has spaces and accents, holding one volume of 4 slices."""
    folder = tmp_path / "coupe épaisse – Übung"
    folder.mkdir()
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    formats.write(folder / "cœur.nrrd", Volume(values, (1.0, 1.0, 5.0), (3.0, -4.0, 5.0)))
    return folder


@pytest.fixture
def spec(stand_in, folder):
    """A job on that volume; call it with options to change them."""

    def make(outputs=("volume",), **options):
        names = {"volume": "résultat.nrrd", "figures": "figures.csv", "picture": "picture.png"}
        paths = {port: str(folder / names[port]) for port in outputs}
        return Specification("waits", {"volume": str(folder / "cœur.nrrd")}, paths, options)

    return make


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


def test_a_specification_survives_the_pipe(spec):
    before = spec(seconds=1.5, deed="wait")
    line = before.to_json()
    assert line.isascii() and "\n" not in line
    assert Specification.from_json(line) == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task": "waits"}', '{"task": "waits", "inputs": {}, "colour": 3}'])
def test_a_specification_that_is_none_is_refused(text):
    with pytest.raises(OptionError):
        Specification.from_json(text)


def test_a_job_here_writes_its_outputs_and_their_provenance(spec, folder):
    outcome = run_here(spec(("volume", "figures"), steps=3))
    written = formats.read(folder / "résultat.nrrd")[0]
    assert written.array.flatten().tolist() == list(range(119, -1, -1))
    assert written.origin_mm == (3.0, -4.0, 5.0)
    rows = list(csv.DictReader((folder / "figures.csv").open()))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert outcome.warnings == ("the stand-in was at work",)
    assert names(folder) == ["cœur.nrrd", "figures.csv", "figures.csv.json", "résultat.nrrd", "résultat.nrrd.json"]


def test_the_provenance_tells_input_options_and_versions(spec, folder):
    run_here(spec(steps=3))
    text = (folder / "résultat.nrrd.json").read_text(encoding="ascii")
    facts = json.loads(text)
    digest = hashlib.sha256((folder / "cœur.nrrd").read_bytes()).hexdigest()
    assert facts["inputs"]["volume"]["identity"]["sha256"] == digest
    assert facts["options"]["steps"] == 3 and facts["options"]["deed"] == "wait"
    assert facts["software"]["numpy"] == np.__version__
    assert facts["warnings"] == ["the stand-in was at work"]
    assert facts["report"]["nothing"] is None, "NaN is no JSON"


def test_progress_goes_from_nothing_to_all(spec):
    heard = []
    run_here(spec(), Progress(lambda fraction, message: heard.append(fraction)))
    assert heard == sorted(heard) and heard[0] == 0 and heard[-1] == 1 and len(heard) > 20


def test_a_figure_that_could_not_be_drawn_is_a_warning(spec, folder):
    outcome = run_here(spec(("volume", "picture")))
    assert "picture" not in outcome.outputs and any("picture" in w for w in outcome.warnings)
    assert "picture.png" not in names(folder)


def test_a_result_may_replace_an_old_one(spec, folder):
    (folder / "résultat.nrrd").write_text("old")
    run_here(spec())
    assert formats.read(folder / "résultat.nrrd")[0].array.shape == (4, 5, 6)


def test_when_one_output_cannot_be_written_the_others_are_as_before(spec, folder, monkeypatch):
    """The second file fails at its last step, after the first was moved to its place."""
    (folder / "figures.csv").write_text("old")
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, target: refuse() if Path(target).name == "résultat.nrrd" else rename(self, target))

    def refuse():
        raise PermissionError(13, "no")

    with pytest.raises(OutputError):
        run_here(spec(("figures", "volume")))
    assert (folder / "figures.csv").read_text() == "old"
    assert names(folder) == ["cœur.nrrd", "figures.csv"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(spec, folder):
    """A limit on file size is what a full disk looks like to a program."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OutputError, match="disk is full"):
            run_here(spec())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(folder) == ["cœur.nrrd"]


def test_too_little_room_is_refused_before_the_work(spec, monkeypatch):
    monkeypatch.setattr(jobs_files.shutil, "disk_usage", lambda path: (1, 1, 100) and type("Usage", (), {"free": 100}))
    with pytest.raises(ResourceError, match="free"):
        run_here(spec(deed="bug"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"inputs": {"volume": "no such.nrrd"}}, InputError),
        ({"inputs": {}}, OptionError),
        ({"inputs": {"colour": "x"}}, OptionError),
        ({"outputs": {"colour": "x.nrrd"}}, OptionError),
        ({"outputs": {"volume": "{folder}/cœur.nrrd"}}, OutputError),
        ({"outputs": {"volume": "{folder}/a.jpg"}}, OutputError),
        ({"outputs": {"volume": "{folder}/no such folder/a.nrrd"}}, OutputError),
        ({"outputs": {"volume": "{folder}/cœur.nrrd/a.nrrd"}}, OutputError),
        ({"outputs": {"volume": "{folder}"}}, OutputError),
        ({"outputs": {"volume": "{folder}/a.nrrd", "segmentation": "{folder}/a.nrrd"}}, OutputError),
        ({"options": {"deed": "nonsense"}}, OptionError),
        ({"options": {"seconds": -1}}, OptionError),
        ({"task": "nonsense"}, OptionError),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(spec, folder, change, error):
    good = spec(deed="bug")
    filled = json.loads(json.dumps(change).replace("{folder}", str(folder)))
    with pytest.raises(error):
        run_here(Specification(**{**vars(good), **filled}))
    assert names(folder) == ["cœur.nrrd"]


def test_a_folder_never_takes_the_place_of_a_file(spec, folder):
    """A name without ending means a DICOM folder; a file that has that name stays."""
    (folder / "notes").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        run_here(dataclasses.replace(spec(), outputs={"volume": str(folder / "notes")}))
    assert (folder / "notes").read_text() == "mine"


@pytest.mark.parametrize(("deed", "error"), [("memory", ResourceError), ("import", DependencyError), ("bug", RuntimeError)])
def test_a_failing_task_leaves_nothing(spec, folder, deed, error):
    with pytest.raises(error):
        run_here(spec(deed=deed))
    assert names(folder) == ["cœur.nrrd"]


def test_a_series_cannot_be_chosen_of_several_images():
    with pytest.raises(OptionError, match="one image only"):
        run_here(Specification("evaluate_slices", {"volume": ["a", "b"]}, {}, {}, "1.2.3"))


def test_a_cancelled_job_leaves_nothing(spec, folder):
    with pytest.raises(Cancelled):
        run_here(spec(), Progress(cancelled=lambda: True))
    assert names(folder) == ["cœur.nrrd"]


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


def test_what_another_process_is_writing_is_left_alone(spec, folder):
    other = folder / f".medsr-{jobs_files._host()}-{os.getppid()}-00000000.part"
    elsewhere = folder / ".medsr-ffffffff-1-00000000.part"
    other.mkdir(), elsewhere.mkdir()
    run_here(spec())
    assert other.exists() and elsewhere.exists()


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
