"""Cancelling and errors on the page "Interpolate slices", run under PySide6: what is said, and what is left behind."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_slice_interp  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.errors import ResourceError  # noqa: E402
from MedSRLib.jobs_specification import Outcome  # noqa: E402
from MedSRLib.scene import nodes, samples, sequences  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from MedSRLib.widgets import page  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402
from page_slice_interp import PAGE, with_stand_in  # noqa: E402
from pages import WAIT_SECONDS, StandInJob, settle, until  # noqa: E402

a_page, a_sample = page_slice_interp.a_page, page_slice_interp.a_sample


def test_cancel_ends_the_child_and_leaves_nothing_behind(a_page, a_sample, errors_shown):
    settle()
    a_page._parameters.method, a_page._parameters.spacing_mm = "flow", 0.2
    jobs = []
    start = a_page.logic.start
    a_page.logic.start = lambda spec: jobs.append(start(spec)) or jobs[0]
    before = slicer.mrmlScene.GetNumberOfNodes()
    a_page.ui.applyButton.click()
    until(lambda: a_page.ui.progressBar.value > 0)
    folder = Path(jobs[0]._spec.outputs["volume"]).parent
    assert folder.is_dir()
    a_page.ui.applyButton.click()
    assert "Cancelling" in a_page.ui.statusLabel.text
    until(lambda: not a_page.panel.running, 10)
    assert a_page.ui.statusLabel.text == "Cancelled." and a_page.ui.applyButton.text == "Interpolate slices" and errors_shown == []
    assert not folder.exists() and slicer.mrmlScene.GetNumberOfNodes() == before
    assert not _alive(jobs[0].pid)


@pytest.mark.skipif(sys.platform == "win32", reason="usleep is not in its C library")
@pytest.mark.parametrize("click_on_cancel", [False, True])
def test_the_child_is_heard_though_the_event_loop_keeps_pythons_lock(a_page, a_sample, errors_shown, click_on_cancel):
    """In Slicer, Python's threads rest while Qt has nothing for Python to do; PyDLL sleeps without letting go of the lock."""
    keep_the_lock = ctypes.PyDLL(None).usleep
    settle()
    a_page._parameters.method, a_page._parameters.spacing_mm = ("flow", 0.2) if click_on_cancel else ("linear", 2.5)
    a_page.ui.applyButton.click()
    a_page.panel._timer.stop()
    deadline = time.monotonic() + WAIT_SECONDS
    while a_page.panel.running and time.monotonic() < deadline:
        keep_the_lock(1000 * page.POLL_MS)
        if click_on_cancel and a_page.ui.progressBar.value > 0:
            a_page.ui.applyButton.click()
            click_on_cancel, deadline = False, time.monotonic() + 4
        a_page.panel.poll()
    assert not a_page.panel.running and errors_shown == []
    assert a_page.ui.statusLabel.text == "Cancelled." or slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated") is not None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_click_on_cancel_counts_even_where_the_result_is_on_its_way(a_page, a_sample):
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    a_page.panel._done = lambda outcome: pytest.fail("a cancelled result was shown")
    job.cancel = lambda: job.end(Outcome({}, {}, 1.0))
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running, 5)
    assert a_page.ui.statusLabel.text == "Cancelled."


@pytest.mark.parametrize("leave", ["cleanup", "close the scene"])
def test_leaving_cancels_the_running_child(a_page, a_sample, leave):
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    folder = Path(job.specification.outputs["volume"]).parent
    assert a_page.panel.running and folder.is_dir()
    a_page.cleanup() if leave == "cleanup" else slicer.mrmlScene.Clear(False)
    assert job.cancelled and job.waited and not a_page.panel.running and not folder.exists()


def test_observers_are_removed_at_cleanup(scene):
    widget = PAGE.MedSRSliceInterpWidget()
    widget.enter()
    assert len(widget.Observations) == 4
    widget.cleanup()
    assert widget.Observations == []
    samples.load_volume(RESOURCES)
    settle()
    assert widget._parameters is None


def test_an_error_is_one_sentence_in_the_page_and_in_slicers_display(a_page, a_sample, errors_shown):
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    job.end(error=ResourceError("memory ran out", fix="ask for a coarser spacing"))
    until(lambda: not a_page.panel.running, 5)
    sentence = "memory ran out; ask for a coarser spacing."
    assert a_page.ui.errorLabel.text == sentence and a_page.ui.errorLabel.visible is True and errors_shown == [sentence]
    a_page.ui.applyButton.click()
    assert a_page.ui.errorLabel.text == ""


def test_an_error_of_the_real_child_reaches_the_page(a_page, errors_shown):
    """The values are not numbers: only the engine can know."""
    bad = np.full((6, 8, 8), np.nan, np.float32)
    node = nodes.add_node(slicer.mrmlScene, Volume(bad, (1, 1, 5)), "broken")
    settle()
    assert a_page._parameters.inputVolume is node
    a_page._parameters.method = "linear"
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert len(errors_shown) == 1 and errors_shown[0] == a_page.ui.errorLabel.text and "\n" not in errors_shown[0]


def test_the_output_cannot_be_the_input(a_page, a_sample, errors_shown):
    settle()
    a_page._parameters.outputVolume, a_page._parameters.method = a_sample, "linear"
    a_page.ui.applyButton.click()
    assert "the output is the input itself" in errors_shown[0] and not a_page.panel.running


def test_an_input_removed_meanwhile_is_told(a_page, a_sample, errors_shown):
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    slicer.mrmlScene.RemoveNode(a_sample)
    job.end(Outcome({"volume": "nowhere.nrrd"}, {}, 1.0))
    until(lambda: not a_page.panel.running, 5)
    assert "removed before the job was done" in errors_shown[0]


def test_a_failure_on_the_way_into_the_scene_leaves_no_node_half_made(a_page, a_sample, errors_shown, monkeypatch):
    settle()
    a_page._parameters.method, a_page._parameters.factor = "linear", 2.0
    before = slicer.mrmlScene.GetNumberOfNodes()
    from MedSRLib.scene import jobs as node_jobs

    monkeypatch.setattr(node_jobs, "add_fidelity", lambda *a, **k: (_ for _ in ()).throw(MemoryError("no room")))
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert "no room" in errors_shown[0] and slicer.mrmlScene.GetNumberOfNodes() == before
    assert slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated") is None


def test_an_output_removed_meanwhile_is_made_anew(a_page, a_sample, errors_shown):
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    settle()
    a_page._parameters.outputVolume, a_page._parameters.method, a_page._parameters.factor = output, "linear", 2.0
    a_page.ui.applyButton.click()
    slicer.mrmlScene.RemoveNode(output)
    until(lambda: not a_page.panel.running)
    assert errors_shown == [] and slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated").GetImageData().GetDimensions()[2] == 39


def test_a_sequence_taken_apart_meanwhile_is_told(a_page, errors_shown):
    shown = samples.load_sequence(RESOURCES)
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    browser, _ = sequences.sequence_of(shown)
    slicer.mrmlScene.RemoveNode(browser)
    job.end(Outcome({"volume": "nowhere.nrrd"}, {}, 1.0))
    until(lambda: not a_page.panel.running, 5)
    assert "removed before the job was done" in errors_shown[0]


def test_a_fault_of_ours_leaves_the_page_ready(a_page, a_sample, errors_shown):
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    job.end(Outcome({"volume": 3}, {}, 1.0))
    until(lambda: not a_page.panel.running, 5)
    assert "something unexpected happened" in errors_shown[0] and a_page.ui.applyButton.text == "Interpolate slices"


def test_progress_and_warnings_are_shown_as_they_come(a_page, a_sample):
    settle()
    events = [
        {"event": "pid", "pid": 1},
        {"event": "progress", "fraction": 0.42, "message": "interpolating", "remaining_s": 31.0},
        {"event": "warning", "text": "uneven steps"},
        {"event": "log", "text": "a line"},
    ]
    job = with_stand_in(a_page, StandInJob(*events))
    a_page.ui.applyButton.click()
    until(lambda: a_page.ui.progressBar.value == 42, 5)
    assert a_page.ui.statusLabel.text == "interpolating · about 30 s left"
    log = a_page.ui.logText.toPlainText()
    assert "Warning: uneven steps" in log and "a line" in log
    job.cancel()


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (3, "a few seconds left"), (31, "about 30 s left"), (200, "about 3 min left")])
def test_the_time_left_is_said_in_words(seconds, text):
    assert page.time_left(seconds) == text
