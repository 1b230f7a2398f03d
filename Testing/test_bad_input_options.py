"""Bad options, models and targets: one clear sentence on standard error, nothing written, an exit code that is not 0."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import bad_files
import numpy as np
import pytest
from bad_files import MODEL, OPTION, OUTPUT, saved, slices
from MedSRLib import cli

STAND_IN = Path(__file__).parent / "stand_in_task"
LIBRARY = Path(__file__).resolve().parents[1] / "MedSR"

attempt, refused = bad_files.attempt, bad_files.refused


# ---------------------------------------------------------------- options that make no sense


@pytest.fixture
def good(tmp_path):
    """A volume with nothing wrong, 1×1×5 mm."""
    return saved(tmp_path / "good.nrrd", slices())


@pytest.mark.parametrize("words", [("--spacing", "0"), ("--spacing", "-1"), ("--spacing", "nan"), ("--spacing", "inf"), ("--factor", "0")])
def test_a_spacing_that_is_none(refused, good, words):
    assert words[0] in refused(good, *words, code=OPTION)


@pytest.mark.parametrize("words", [("--spacing", "7"), ("--factor", "0.5")])
def test_a_spacing_coarser_than_the_input(refused, good, words):
    assert "coarser" in refused(good, *words, code=OPTION)


def test_a_spacing_and_a_factor(refused, good):
    refused(good, "--spacing", "1", "--factor", "2", code=OPTION)


def test_a_result_that_no_memory_holds(refused, tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (6, 300, 300)).astype(np.uint8)
    assert "memory" in refused(saved(tmp_path / "large.nrrd", array, (1.0, 1.0, 10000.0)), "--spacing", "0.01", code=6)


def test_a_file_that_becomes_dicom_says_that_its_modality_is_not_known(attempt, good):
    tried = attempt(good, out="dicom")
    assert tried.code == 0 and "Warning" in tried.said and "does not say its modality" in tried.said
    record = json.loads(tried.out.with_name("dicom.json").read_text())
    assert any("modality OT" in sentence for sentence in record["warnings"])
    assert "modality" not in attempt(good, out="b.nrrd").said


# ---------------------------------------------------------------- models


def test_an_unknown_model(refused, good):
    assert "nonsense" in refused(good, "--model", "nonsense", code=MODEL, method="")


def model(folder: Path, weights: bytes, name: str = "weights.safetensors", **card) -> None:
    """A model folder whose card says that these are its weights, and is otherwise complete."""
    facts = {
        "id": folder.name, "title": "x", "task": "interpolate_slices", "network": "slice_refiner", "arguments": {}, "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(), "licence": "CC0-1.0", "training_data": [{"name": "x", "licence": "CC0"}],
        "command": "x", "left_open": ["x"], "valid_range": {"text": "x"}, "figures": {"x": 1}, "ideas": [{"x": 1}], "known_failures": ["x"],
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({**facts, **card}))
    (folder / "LICENSE").write_text("CC0")
    (folder / name).write_bytes(weights)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of a user's own models."""
    monkeypatch.setenv("MEDSR_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


def test_weights_with_a_wrong_checksum(refused, good, own):
    model(own / "bad", b"0123456789", sha256="0" * 64)
    assert "checksum" in refused(good, "--model", "bad", code=MODEL, method="")


def test_truncated_weights(refused, good, own):
    model(own / "bad", b"0123456789", bytes=20)
    assert "10 bytes" in refused(good, "--model", "bad", code=MODEL, method="")


def test_weights_that_are_none(refused, good, own):
    model(own / "bad", b"0123456789")
    refused(good, "--model", "bad", code=MODEL, method="")


def test_pickled_weights(refused, good, own, tmp_path):
    """The pickle would make a file if it were ever read."""
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    model(own / "bad", pickle.dumps(Trap()), "weights.pth")
    assert "pickled" in refused(good, "--model", "bad", code=MODEL, method="")
    assert not (tmp_path / "sprung").exists()


def test_a_card_that_is_incomplete(refused, good, own):
    model(own / "bad", b"0123456789", licence="")
    assert "licence" in refused(good, "--model", "bad", code=MODEL, method="")


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("out", ["no such folder/a.nrrd", "a.jpg", "a.xyz", "a.dcm"])
def test_a_target_that_cannot_be(refused, good, out):
    refused(good, out=out, code=OUTPUT)


def test_a_target_inside_a_file(refused, good):
    refused(good, out=f"../{good.name}/a.nrrd", code=OUTPUT)


def test_a_target_that_is_the_input(refused, good):
    before = good.read_bytes()
    assert "input itself" in refused(good, out=f"../{good.name}", code=OUTPUT)
    assert good.read_bytes() == before


def test_a_folder_that_may_not_be_written_to(attempt, good, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    tried = attempt(good, out="../locked/a.nrrd")
    assert tried.code == OUTPUT and "may not be written" in tried.said and list(locked.iterdir()) == []


def test_a_folder_of_the_system(attempt, good):
    """Not even root makes a file there."""
    if not Path("/proc/self").exists():
        pytest.skip("no /proc")
    code = cli.main(["interpolate-slices", str(good), "/proc/a.nrrd", "--method", "linear", "--quiet"])
    assert code == OUTPUT


@pytest.mark.parametrize("out", ["a.nrrd", "a.nii.gz", "a.mha", "dicom"])
def test_a_full_disk(refused, tmp_path, out):
    """A limit on file size is what a full disk looks like to a program."""
    resource = pytest.importorskip("resource")
    source = saved(tmp_path / "good.nrrd", slices(6, 60, 60))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        assert "disk is full" in refused(source, out=out, code=OUTPUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_half_way(good, tmp_path):
    """SIGKILL gives no chance to tidy up: there must be nothing to tidy, and an old result must still be whole."""
    target = tmp_path / "results" / "a.nrrd"
    target.parent.mkdir()
    target.write_text("old")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(STAND_IN), str(LIBRARY)))}
    words = ["wait", "here", str(good), str(target), "--seconds", "40", "--steps", "400", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "MedSRLib", *words], env=environment, stdout=subprocess.PIPE, text=True)
    while "Step" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert [path.name for path in target.parent.iterdir()] == ["a.nrrd"] and target.read_text() == "old"
