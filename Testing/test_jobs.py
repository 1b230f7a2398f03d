"""The job runner in this process: specifications, what is written and told, and what is left behind when a job does not end well."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import waiting_jobs
from MedSRLib import jobs_files
from MedSRLib.errors import Cancelled, DependencyError, InputError, OptionError, OutputError, ResourceError
from MedSRLib.io import formats
from MedSRLib.jobs import Specification, run_here
from MedSRLib.run import Progress
from waiting_jobs import names

stand_in, folder, spec = waiting_jobs.stand_in, waiting_jobs.folder, waiting_jobs.spec


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


def test_what_another_process_is_writing_is_left_alone(spec, folder):
    other = folder / f".medsr-{jobs_files._host()}-{os.getppid()}-00000000.part"
    elsewhere = folder / ".medsr-ffffffff-1-00000000.part"
    other.mkdir(), elsewhere.mkdir()
    run_here(spec())
    assert other.exists() and elsewhere.exists()
