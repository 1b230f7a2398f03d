"""The command as a process of its own: interrupted, on a terminal, without torch, into a closed pipe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import command_parts
import pytest
import SimpleITK as sitk
from command_parts import COMMAND, LIBRARY
from MedSRLib import __version__, errors

heart, out, own_model = command_parts.heart, command_parts.out, command_parts.own_model
STAND_IN = Path(__file__).parent / "stand_in_task"


@pytest.fixture
def stand_in_environment():
    """Environment of a process that knows the task `wait here`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(STAND_IN), str(LIBRARY)))}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_nothing_behind(heart, out, stand_in_environment, number, code):
    words = ["wait", "here", str(heart), str(out / "a.nrrd"), "--seconds", "40", "--steps", "400", "--json"]
    process = subprocess.Popen(
        [*COMMAND, *words], env=stand_in_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while "Step" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == code and said == "cancelled, nothing was written.\n"
    assert list(out.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_a_terminal_gets_a_bar_with_the_remaining_time(heart, out, stand_in_environment):
    import pty

    master, slave = pty.openpty()
    words = ["wait", "here", str(heart), str(out / "a.nrrd"), "--seconds", "2.5"]
    environment = {**stand_in_environment, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([*COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    seen = _all_of(master)
    assert process.communicate()[0] == f"{out / 'a.nrrd'}\n" and process.returncode == 0
    assert "━" in seen and "%" in seen and re.search(r"about \d+ s left", seen) and "Step" in seen


def _all_of(terminal: int) -> str:
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return b"".join(parts).decode("utf-8", "replace")


@pytest.fixture
def without_torch(tmp_path):
    """Environment of a process in which torch cannot be imported."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text("raise ImportError('there is no torch', name='torch')")
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "blocked"), str(LIBRARY)))}


@pytest.mark.parametrize("method", ["flow", "bspline", "auto"])
def test_without_torch_the_methods_that_need_none_still_run(heart, out, without_torch, method):
    words = ["interpolate-slices", str(heart), str(out / "a.nrrd"), "--method", method]
    done = subprocess.run([*COMMAND, *words], env=without_torch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sitk.ReadImage(str(out / "a.nrrd")).GetSize()[2] > 40


def test_without_torch_the_model_is_refused_in_one_sentence(heart, out, without_torch, own_model):
    words = ["interpolate-slices", str(heart), str(out / "a.nrrd"), "--model", "mine"]
    done = subprocess.run([*COMMAND, *words], env={**without_torch, "MEDSR_MODELS": str(own_model.parent)}, capture_output=True, text=True)
    assert done.returncode == errors.DependencyError.exit_code and "PyTorch" in done.stderr and done.stderr.count("\n") == 1
    assert list(out.iterdir()) == []


def test_it_runs_as_a_module_and_starts_fast():
    begun = time.perf_counter()
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(LIBRARY)})
    assert done.stdout == f"medsr {__version__}\n" and done.returncode == 0
    assert time.perf_counter() - begun < 5, "importing numpy and torch alone takes longer on a busy machine"


def test_a_closed_pipe_is_no_error(heart):
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(
        [*COMMAND, "completion", "bash"],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
    )
    assert done.returncode == 141 and done.stderr == ""
