"""The page "Interpolate slices", run under PySide6: real MRML, real child process, stand-ins for ctk and qMRML widgets."""

from __future__ import annotations

import builtins
import ctypes
import dataclasses
import importlib.util
import os
import runpy
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "MedSR")]

import slicer  # noqa: E402
import vtk  # noqa: E402
from MedSRLib.errors import DependencyError, InputError, ResourceError  # noqa: E402
from MedSRLib.jobs_specification import Outcome  # noqa: E402
from MedSRLib.scene import attributes, nodes, samples, segmentations, sequences  # noqa: E402
from MedSRLib.tasks import evaluate_slices, interpolate_slices  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from pages import APP, WAIT_SECONDS, StandInJob, assert_fields_are_options, opened, settle, under, until  # noqa: E402
from PySide6 import QtCore, QtWidgets  # noqa: E402
from slicer_host import application, host  # noqa: E402

PAGE, MODULE = host.load_module("MedSRSliceInterp")
from MedSRLib.widgets import dependencies, page, viewing  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRSliceInterpWidget) as widget:
        yield widget


@pytest.fixture
def a_sample(scene):
    return samples.load_volume(RESOURCES)


def with_stand_in(widget, job):
    widget.logic.start = lambda specification: setattr(job, "specification", specification) or job
    widget._parameters.method = "linear"
    return job


# ------------------------------------------------------------------------------------------- parameters and options


def test_fields_limits_and_defaults_are_those_of_the_options():
    assert set(PAGE.OPTION_NAMES) == {f.name for f in dataclasses.fields(interpolate_slices.Options)}
    assert_fields_are_options(PAGE.MedSRSliceInterpParameterNode, interpolate_slices.Options, PAGE.OPTION_NAMES)
    assert list(PAGE.METHOD_LABELS) == list(interpolate_slices.METHODS)
    assert set(PAGE.EVALUATION_NAMES) <= {f.name for f in dataclasses.fields(evaluate_slices.Options)}


def test_the_wrapper_would_refuse_annotations_as_text():
    """The stand-in is as strict as Slicer: `from __future__ import annotations` in the page's file would fail here."""
    from slicer_host import parameters

    lazy = type("Lazy", (), {"__annotations__": {"spacing_mm": "float"}, "__module__": __name__})
    with pytest.raises(TypeError, match="real types"):
        parameters.fields_of(lazy)


def test_the_page_reads_no_more_than_slicer_has_before_a_click():
    """Blocked: everything that Slicer does not bundle. In a process of its own, as this one has imported much already."""
    code = (
        "import builtins, sys\n"
        "real = builtins.__import__\n"
        "absent = ('torch', 'skimage', 'safetensors', 'highdicom', 'openslide', 'cv2', 'matplotlib', 'pandas')\n"
        "def guarded(name, *a, **k):\n"
        "    if name.split('.')[0] in absent: raise ImportError('not bundled: ' + name)\n"
        "    return real(name, *a, **k)\n"
        "builtins.__import__ = guarded\n"
        f"sys.path[:0] = [{str(ROOT / 'Testing')!r}]\n"
        "from slicer_host import host\n"
        "host.install()\n"
        "for name in host.MODULES: host.load_module(name)\n"
        "w = sys.modules['MedSRSliceInterp'].MedSRSliceInterpWidget()\n"
        "w.enter(); w.cleanup()\n"
        "assert not [m for m in absent if m in sys.modules]\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    assert run.returncode == 0, run.stderr


# ------------------------------------------------------------------------------------------------------ before Apply


def test_without_a_volume_there_is_nothing_to_click(a_page):
    assert a_page.ui.applyButton.enabled is False and a_page.ui.evaluateButton.enabled is False
    assert "Choose" in a_page.ui.previewLabel.text


def test_the_thick_sliced_volume_is_preselected_and_its_result_foretold(a_page, a_sample):
    nodes.add_node(slicer.mrmlScene, Volume(np.zeros((9, 9, 9), np.int16)), "isotropic")
    settle()
    assert a_page.ui.inputSelector.currentNode() is a_sample
    assert a_page.ui.applyButton.enabled is True
    assert a_page.ui.previewLabel.text == "20 slices of 5.00 mm → 115 of 0.83 mm, 95 new"
    assert a_page.ui.spacingSpinBox.value == 0.0 and a_page.ui.spacingSpinBox.specialValueText == "isotropic: 0.833 mm"


def test_a_volume_that_came_with_a_loaded_scene_is_preselected_too(a_page):
    """Slicer reads scenes, and several files at once, as one batch: nodes are added while nobody may look."""
    scene = slicer.mrmlScene
    scene.StartState(scene.BatchProcessState)
    sample = samples.load_volume(RESOURCES)
    settle()
    assert a_page._parameters.inputVolume is None
    scene.EndState(scene.BatchProcessState)
    settle()
    assert a_page._parameters.inputVolume is sample


def test_what_is_typed_is_foretold_and_refused_before_the_click(a_page, a_sample):
    settle()
    a_page.ui.factorSpinBox.value = 2.0
    assert a_page.ui.previewLabel.text == "20 slices of 5.00 mm → 39 of 2.50 mm, 19 new"
    assert a_page.ui.spacingSpinBox.enabled is False
    a_page.ui.factorSpinBox.value = 0.0
    a_page.ui.spacingSpinBox.value = 40.0
    assert a_page.ui.previewLabel.text.startswith("Spacing: 40 mm is coarser than the slices' own 5 mm;")  # no flag of the command
    assert a_page.ui.applyButton.enabled is False


def test_a_factor_goes_before_the_spacing_that_it_greys_out(a_page, a_sample):
    """The engine takes one of them only; the page leaves what was typed, for when the factor is taken back."""
    settle()
    a_page.ui.spacingSpinBox.value = 1.0
    a_page.ui.factorSpinBox.value = 2.0
    assert a_page.ui.previewLabel.text == "20 slices of 5.00 mm → 39 of 2.50 mm, 19 new"
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    assert (job.specification.options["spacing_mm"], job.specification.options["factor"]) == (0.0, 2.0)
    job.cancel()
    assert a_page._parameters.spacing_mm == 1.0


def test_a_transform_that_shears_is_told_before_the_click(a_page, a_sample):
    settle()
    under(a_sample, [[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    a_page.refresh()
    assert "not at right angles" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False
    a_page.ui.shearCheckBox.checked = True
    assert "new" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is True


def test_a_result_lies_where_its_volume_is_seen_under_a_transform(a_page, a_sample, errors_shown):
    """Rotated by 25 degrees and moved: corner voxels of both are at the same place of the world, and the page says how that came."""
    settle()
    c, s = np.cos(np.radians(25)), np.sin(np.radians(25))
    under(a_sample, [[1, 0, 0, 10], [0, c, -s, 20], [0, s, c, 30], [0, 0, 0, 1]])
    a_page._parameters.method, a_page._parameters.factor = "linear", 2.0
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    result = slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated")
    for source, made in (((0, 0, 0), (0, 0, 0)), ((175, 175, 19), (175, 175, 38))):
        assert in_world(result, made) == pytest.approx(in_world(a_sample, source), abs=0.01)
    assert "1 warning in the log." in a_page.ui.statusLabel.text and "hardened" in a_page.ui.logText.toPlainText()


def in_world(node, ijk):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    point = np.array(matrix.MultiplyPoint((*ijk, 1.0)))[:3]
    parent = node.GetParentTransformNode()
    if parent is not None:
        to_world = vtk.vtkGeneralTransform()
        parent.GetTransformToWorld(to_world)
        point = np.array(to_world.TransformPoint(point))
    return point


def test_the_model_and_its_licence_are_shown_before_apply(a_page, monkeypatch):
    card = types.SimpleNamespace(
        id="refine",
        task="interpolate_slices",
        title="Refiner",
        summary="Refines warped slices.",
        licence="CC BY-NC-SA 4.0",
        training_data=({"name": "ACDC", "licence": "CC BY-NC-SA 4.0"},),
        valid_range={"text": "MR, 3 to 10 mm"},
        known_failures=("Metal.",),
        cite=(),
    )
    a_page.options.offer([card])
    a_page._parameters.model = "refine"
    assert a_page.ui.modelComboBox.currentData == "refine"
    text = a_page.ui.cardBrowser.toPlainText()
    for part in ("Refiner", "Licence of the weights: CC BY-NC-SA 4.0", "Trained on: ACDC (CC BY-NC-SA 4.0)", "MR, 3 to 10 mm", "Metal."):
        assert part in text
    a_page._parameters.method = "linear"
    assert a_page.ui.modelComboBox.enabled is False and "neighbouring slices" in a_page.ui.cardBrowser.toPlainText()


def test_choosing_a_model_sets_the_parameter(a_page):
    a_page.ui.modelComboBox.addItem("Mine", "mine")
    a_page.ui.modelComboBox.currentIndex = a_page.ui.modelComboBox.findData("mine")
    assert a_page._parameters.model == "mine"


def test_methods_are_named_in_words_and_kept_by_their_identifiers(a_page):
    combo = a_page.ui.methodComboBox
    assert [combo.itemText(i) for i in range(combo.count)] == list(PAGE.METHOD_LABELS.values())
    combo.currentIndex = 2
    assert a_page._parameters.method == "flow"


def test_settings_are_kept_in_the_scene(a_page, a_sample, tmp_path):
    settle()
    a_page._parameters.batch_size = 3
    a_page._parameters.method = "bspline"
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    assert "MedSRSliceInterp" in [node.GetAttribute("ModuleName") for node in nodes]
    again = PAGE.MedSRSliceInterpLogic().getParameterNode()
    assert (again.batch_size, again.method, again.inputVolume) == (3, "bspline", a_sample)
    assert a_page.ui.batchSpinBox.value == 3


def test_choices_survive_leaving_and_entering_the_page(a_page, a_sample):
    """Slicer's connectGui gives no tag to disconnect by; a widget still connected would write its own first choice back."""
    settle()
    a_page._parameters.method, a_page._parameters.axis, a_page._parameters.factor = "flow", "k", 3.0
    left = a_page._parameters
    for _ in range(2):
        a_page.exit()
        a_page.ui.factorSpinBox.value = 2.0
        assert left.factor == 3.0
        a_page.enter()
    kept = a_page._parameters
    assert (kept.method, kept.axis, kept.factor) == ("flow", "k", 3.0)
    assert a_page.ui.methodComboBox.currentText == "Optical flow" and a_page.ui.factorSpinBox.value == 3.0


# ------------------------------------------------------------------------------------------------------------- Apply


def test_a_click_makes_a_volume_of_the_right_size_and_spacing(a_page, a_sample, errors_shown):
    settle()
    a_page._parameters.method, a_page._parameters.factor = "flow", 2.0
    fractions = []
    a_page.ui.progressBar.connect("valueChanged(int)", fractions.append)
    a_page.ui.applyButton.click()
    assert a_page.ui.applyButton.text == "Cancel" and a_page.ui.inputsCollapsibleButton.enabled is False
    until(lambda: not a_page.panel.running)
    assert errors_shown == []
    result = slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated")
    assert result.GetImageData().GetDimensions() == (176, 176, 39)
    assert result.GetSpacing() == pytest.approx((*a_sample.GetSpacing()[:2], 2.5), abs=1e-3)
    assert np.array_equal(slicer.util.arrayFromVolume(result)[::2], slicer.util.arrayFromVolume(a_sample))
    assert nodes.affine_from_node(result)[:3, 3] == pytest.approx(nodes.affine_from_node(a_sample)[:3, 3], abs=1e-3)
    facts = attributes.read(result)
    assert facts["method"] == "flow" and facts["source"] == "pig_cine"
    assert result.GetDisplayNode().GetWindow() == a_sample.GetDisplayNode().GetWindow()
    assert '"task"' in result.GetNodeReference("MedSR.provenance").GetText()
    error = slicer.util.arrayFromVolume(slicer.mrmlScene.GetFirstNodeByName("pig_cine expected error"))
    assert error.shape == (39, 176, 176) and error[::2].max() == 0 and error[1::2].max() > 0
    assert fractions == sorted(fractions[:-1]) + fractions[-1:] and len([f for f in fractions if 0 < f < 100]) >= 3
    assert a_page.ui.applyButton.text == "Interpolate slices" and a_page.ui.progressBar.visible is False
    said = a_page.ui.statusLabel.text
    assert said.startswith("Done in") and said.endswith("Made pig_cine interpolated by: Optical flow.")
    assert said in a_page.ui.logText.toPlainText()


def slice_views(scene, count=3):
    """What Slicer's layout manager makes: a composite node a slice view."""
    return [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(count)]


def test_the_map_is_brought_in_and_out_over_the_result(a_page, a_sample, errors_shown):
    views = slice_views(slicer.mrmlScene)
    settle()
    assert a_page.ui.showFidelityCheckBox.enabled is False
    a_page._parameters.method, a_page._parameters.factor = "linear", 2.0
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert errors_shown == [] and a_page.ui.showFidelityCheckBox.enabled is True
    result, error = (slicer.mrmlScene.GetFirstNodeByName(f"pig_cine {what}") for what in ("interpolated", "expected error"))
    assert {(v.GetBackgroundVolumeID(), v.GetForegroundVolumeID()) for v in views} == {(result.GetID(), error.GetID())}
    assert {v.GetForegroundOpacity() for v in views} == {0.0}
    a_page.ui.showFidelityCheckBox.checked = True
    assert {v.GetForegroundOpacity() for v in views} == {1.0}
    a_page.ui.showFidelityCheckBox.checked = False
    assert {v.GetForegroundOpacity() for v in views} == {0.0}
    slicer.mrmlScene.RemoveNode(error)
    a_page.refresh()
    assert a_page.ui.showFidelityCheckBox.enabled is False


def test_why_the_method_was_chosen_is_on_the_page(a_page, a_sample, errors_shown):
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page.ui.applyButton.click()
    wanted = dict(job.specification.outputs)
    a_page.panel._done = lambda outcome: PAGE.MedSRSliceInterpWidget._show_result(
        a_page, types.SimpleNamespace(volume=a_sample, fidelity=None), outcome, measured=True
    )
    why = "model rebuilt 10 left-out slices best (+2.37 dB over linear)"
    job.events = [{"event": "warning", "text": "uneven steps"}]
    job.end(Outcome(wanted, {"method": "model", "why": why}, 3.0, ("uneven steps",)))
    until(lambda: not a_page.panel.running, 5)
    said = "Made pig_cine by: Learned model. Model rebuilt 10 left-out slices best (+2.37 dB over linear). 1 warning in the log."
    assert a_page.ui.statusLabel.text == "Done in 3.0 s. " + said and a_page.ui.statusLabel.visible is True
    assert a_page.ui.logText.toPlainText().count("uneven steps") == 1


def test_a_sequence_gives_a_sequence_that_plays_in_step(a_page, errors_shown):
    shown = samples.load_sequence(RESOURCES)
    settle()
    assert a_page._parameters.inputVolume is shown and a_page.ui.allFramesCheckBox.visible is True
    a_page._parameters.method, a_page._parameters.factor = "linear", 2.0
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert errors_shown == []
    browser, _ = sequences.sequence_of(shown)
    made = [browser.GetProxyNode(s) for s in _synchronized(browser)]
    assert [m.GetName() for m in made] == [f"pig_cine_4phases{suffix}" for suffix in ("", " interpolated", " expected error")]
    assert [sequences.index_of(s)[2] for s in _synchronized(browser)] == [("10", "167", "325", "483")] * 3
    browser.SetSelectedItemNumber(2)
    APP.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    assert np.array_equal(slicer.util.arrayFromVolume(made[1])[::2], slicer.util.arrayFromVolume(shown))


def _synchronized(browser):
    found = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(found, True)
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]


def test_one_frame_of_a_sequence_gives_a_volume_of_its_own(a_page, errors_shown):
    shown = samples.load_sequence(RESOURCES)
    settle()
    browser, sequence = sequences.sequence_of(shown)
    browser.SetSelectedItemNumber(2)
    APP.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    a_page.ui.allFramesCheckBox.checked = False
    a_page._parameters.method, a_page._parameters.factor = "linear", 2.0
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert errors_shown == []
    made = slicer.mrmlScene.GetFirstNodeByName("pig_cine_4phases interpolated")
    assert sequences.sequence_of(made) is None and len(_synchronized(browser)) == 1
    assert np.array_equal(slicer.util.arrayFromVolume(made)[::2], slicer.util.arrayFromVolume(sequence.GetNthDataNode(2)))


def test_a_segmentation_is_carried_along_with_names_and_colours(a_page, a_sample, errors_shown):
    array = (slicer.util.arrayFromVolume(a_sample) > 200).astype(np.int16)
    labels = nodes.volume_from_node(a_sample).with_(array=array)
    ventricle = segmentations.Segment(1, "lv", "ventricle", (0.1, 0.7, 0.3))
    outline = segmentations.add_segmentation(slicer.mrmlScene, labels, "heart", [ventricle])
    settle()
    a_page._parameters.segmentation, a_page._parameters.method, a_page._parameters.factor = outline, "linear", 2.0
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert errors_shown == []
    result = slicer.mrmlScene.GetFirstNodeByName("heart interpolated")
    segment = result.GetSegmentation().GetSegment("lv")
    assert segment.GetName() == "ventricle" and segment.GetColor() == pytest.approx((0.1, 0.7, 0.3))
    fine = slicer.util.arrayFromSegmentBinaryLabelmap(result, "lv", slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated"))
    assert np.array_equal(fine[::2] > 0, array > 0)


def test_a_chosen_output_is_filled(a_page, a_sample):
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    settle()
    a_page._parameters.outputVolume, a_page._parameters.method, a_page._parameters.factor = output, "linear", 2.0
    a_page._parameters.makeFidelity = False
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert output.GetImageData().GetDimensions()[2] == 39 and output.GetDisplayNode() is not None
    assert slicer.mrmlScene.GetFirstNodeByName("pig_cine expected error") is None


def test_evaluate_fills_a_table_and_a_plot(a_page, a_sample, errors_shown):
    whole = nodes.volume_from_node(a_sample)
    slicer.mrmlScene.RemoveNode(a_sample)
    nodes.add_node(slicer.mrmlScene, whole.with_(array=whole.array[6:13, 60:108, 60:108]), "crop")
    settle()
    a_page.ui.evaluateButton.click()
    until(lambda: not a_page.panel.running, 120)
    assert errors_shown == [], a_page.ui.logText.toPlainText()
    table = slicer.mrmlScene.GetFirstNodeByName("crop slice evaluation").GetTable()
    names = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
    assert {"slice", "method", "ssim"} <= set(names)
    methods = {table.GetValueByName(i, "method").ToString() for i in range(table.GetNumberOfRows())}
    assert {"linear", "flow"} <= methods
    summary = slicer.mrmlScene.GetFirstNodeByName("crop slice evaluation by method").GetTable()
    assert {summary.GetValueByName(i, "method").ToString() for i in range(summary.GetNumberOfRows())} == methods
    rows = [i for i in range(table.GetNumberOfRows()) if table.GetValueByName(i, "method").ToString() == "linear"]
    by_hand = [table.GetValueByName(i, "ssim").ToDouble() for i in rows]
    assert summary.GetValueByName(_row(summary, "linear"), "ssim").ToDouble() == pytest.approx(np.mean(by_hand), abs=1e-3)
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() == len(methods)
    assert "Filled the table crop slice evaluation." in a_page.ui.statusLabel.text


def test_an_evaluation_is_shown_as_a_table_beside_a_plot(scene, monkeypatch):
    """The layout makes the views, so it comes first; real selection and view nodes then say what they show."""
    layouts, shown = [], []
    manager = types.SimpleNamespace(setLayout=lambda layout: layouts.append(layout) or shown.extend(view_nodes(scene)))
    monkeypatch.setattr(APP, "layoutManager", lambda: manager)
    table, chart = (scene.AddNewNodeByClass(kind) for kind in ("vtkMRMLTableNode", "vtkMRMLPlotChartNode"))
    viewing.show_evaluation(table, chart)
    assert layouts == [slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotTableView]
    assert (shown[0].GetTableNode(), shown[1].GetPlotChartNode()) == (table, chart)


def view_nodes(scene):
    return [scene.AddNewNodeByClass(kind) for kind in ("vtkMRMLTableViewNode", "vtkMRMLPlotViewNode")]


def _row(table, method: str) -> int:
    return next(i for i in range(table.GetNumberOfRows()) if table.GetValueByName(i, "method").ToString() == method)


# --------------------------------------------------------------------------------------------------- cancel and fail


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


# ------------------------------------------------------------------------------------------------------ dependencies


class Packaging:
    """slicer.packaging of Slicer 5.12, which notes what it is asked."""

    def __init__(self, fails=None):
        self.asked, self.fails = [], fails

    def load_requirements(self, path):
        return [line for line in Path(path).read_text().splitlines() if line and line[0] not in "#-"]

    def pip_ensure(
        self,
        requirements,
        constraints=None,
        skip_packages=None,
        prompt_install=True,
        prompt_restart=True,
        requester=None,
        skip_in_testing=True,
        show_progress=True,
    ):
        self.asked.append((requirements, Path(constraints).read_text(), requester))
        if self.fails:
            raise self.fails


def test_dependencies_are_ensured_with_slicers_own_libraries_pinned(monkeypatch):
    packaging = Packaging()
    monkeypatch.setattr(dependencies, "_slicer_packaging", lambda: packaging)
    dependencies.ensure(RESOURCES / "requirements.txt", "MedSR")
    requirements, pins, requester = packaging.asked[0]
    assert requester == "MedSR" and any(r.startswith("opencv-python-headless>=") for r in requirements)
    assert not any(r.startswith(("torch", "numpy", "SimpleITK", "scipy", "pydicom")) for r in requirements)
    assert all(">=" in r for r in requirements)
    for name in ("numpy", "scipy", "SimpleITK", "pydicom"):
        assert f"{name}=={importlib.metadata.version(name)}" in pins


@pytest.mark.parametrize("fault", [RuntimeError("User declined package installation"), subprocess.CalledProcessError(1, "pip")])
def test_a_refused_or_failed_installation_is_one_sentence(monkeypatch, fault):
    monkeypatch.setattr(dependencies, "_slicer_packaging", lambda: Packaging(fault))
    with pytest.raises(DependencyError, match="installed"):
        dependencies.ensure(RESOURCES / "requirements.txt", "MedSR")


def test_an_older_slicer_installs_by_pip_with_the_same_pins(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(dependencies, "_slicer_packaging", lambda: None)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a: True)
    monkeypatch.setattr(slicer.util, "pip_install", asked.append)
    (tmp_path / "requirements.txt").write_text("# note\nno-such-library>=1\nnumpy>=1\n", encoding="utf-8")
    dependencies.ensure(tmp_path / "requirements.txt", "MedSR")
    assert asked[0][:2] == ["no-such-library>=1", "-c"]


def without_torch(monkeypatch):
    monkeypatch.setattr(dependencies, "ensure", lambda *a: None)
    monkeypatch.setattr(dependencies, "torch_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)


def test_without_torch_the_model_says_so_and_auto_goes_on(a_page, a_sample, errors_shown, monkeypatch):
    without_torch(monkeypatch)
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page._parameters.method = "model"
    a_page.ui.applyButton.click()
    assert not a_page.panel.running and "PyTorch extension" in errors_shown[0] and errors_shown[0].count(".") == 1
    a_page._parameters.method = "auto"
    a_page.ui.applyButton.click()
    assert a_page.panel.running and "methods that can run are compared" in a_page.ui.logText.toPlainText()
    job.cancel()


def test_torch_comes_from_the_pytorch_extension_and_is_never_imported_here(monkeypatch):
    done = []

    class Utilities:
        class PyTorchUtilsLogic:
            def installTorch(
                self,
                askConfirmation=False,
                forceComputationBackend=None,
                torchVersionRequirement=None,
                torchvisionVersionRequirement=None,
            ):
                done.append(askConfirmation)

    monkeypatch.setitem(sys.modules, "PyTorchUtils", Utilities)
    monkeypatch.setattr(dependencies, "torch_installed", lambda: bool(done))
    real = builtins.__import__
    guard = lambda name, *a, **k: pytest.fail("torch imported") if name == "torch" else real(name, *a, **k)  # noqa: E731
    monkeypatch.setattr(builtins, "__import__", guard)
    dependencies.ensure_torch()
    assert done == [True]


def test_who_declines_torch_is_not_sent_for_the_extension_that_is_there(monkeypatch):
    """PyTorchUtils returns None where the user says no: it raises nothing."""
    logic = types.SimpleNamespace(installTorch=lambda askConfirmation: None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
    monkeypatch.setattr(dependencies, "torch_installed", lambda: False)
    with pytest.raises(DependencyError, match="allow the installation, or choose another method"):
        dependencies.ensure_torch()


def test_linear_needs_nothing_installed(monkeypatch):
    monkeypatch.setattr(dependencies, "ensure", lambda *a: pytest.fail("asked to install"))
    PAGE.MedSRSliceInterpLogic().ensure_dependencies("linear")


# ------------------------------------------------------------------------------------------- samples, self-tests, pages


def test_the_samples_are_offered_checked_and_loaded(scene):
    slicer.modules.sampleDataSources = {}
    APP.slots["startupCompleted()"][-1]()
    still, cine, thorax = slicer.modules.sampleDataSources["MedSR"]
    assert len(still.verify()) < 2**20 and still.verify()[:4] == b"NRRD"
    cine.verify()
    node = still.button_clicked()
    assert node.GetImageData().GetDimensions() == (176, 176, 20) and node.GetSpacing() == pytest.approx((0.8203, 0.8203, 5), abs=1e-3)
    _, sequence = sequences.sequence_of(cine.button_clicked())
    assert sequence.GetNumberOfDataNodes() == 4 and sequence.GetIndexUnit() == "ms"
    assert len(thorax.verify()) < 2**19
    node = thorax.button_clicked()
    assert node.GetImageData().GetDimensions() == (144, 144, 16) and node.GetSpacing() == pytest.approx((0.78125, 0.78125, 1))


def test_an_altered_sample_is_refused(tmp_path):
    (tmp_path / "SampleData").mkdir()
    (tmp_path / "SampleData" / samples.STILL.file).write_bytes(b"NRRD")
    with pytest.raises(InputError, match="not the file that was shipped"):
        samples.checked(tmp_path, samples.STILL)


@pytest.mark.parametrize("name", host.MODULES)
def test_the_modules_own_self_test_passes(name, scene):
    _, module = host.load_module(name)
    assert module.parent.title and module.parent.helpText and module.parent.icon
    slicer.selfTests[name]()


def test_the_script_for_slicer_itself_opens_and_tests_every_module(scene, monkeypatch):
    """Run by --testing --python-script, whose exit code an exit() of the script's own would hide."""
    opened, tested = [], []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    monkeypatch.setattr(slicer.util, "exit", lambda status=0: pytest.fail("it hides errors that Qt caught"), raising=False)
    monkeypatch.setattr(slicer, "selfTests", {name: lambda name=name: tested.append(name) for name in host.MODULES})
    script = ROOT / "Testing" / "in_slicer.py"
    runpy.run_path(str(script))
    assert opened == tested == list(host.MODULES)
    monkeypatch.setitem(slicer.selfTests, "MedSRSliceInterp", lambda: (_ for _ in ()).throw(AssertionError("a test failed")))
    with pytest.raises(AssertionError, match="a test failed"):
        runpy.run_path(str(script))
    assert "Testing/in_slicer.py" in (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")


def test_a_wrong_signature_or_property_would_fail_here_as_in_slicer(a_page):
    with pytest.raises(ValueError, match="no signal"):
        a_page.ui.inputSelector.connect("currentNodeChange(vtkMRMLNode*)", print)
    with pytest.raises(ValueError, match="no signal"):
        a_page.ui.applyButton.connect("clicked(int)", print)
    with pytest.raises(AttributeError, match="no property"):
        a_page.ui.statusLabel.caption = "text"
    with pytest.raises(TypeError):
        a_page.ui.applyButton.text()
    assert isinstance(slicer.app, application.Application)


def test_the_page_looks_like_itself(a_page, a_sample, tmp_path):
    """A picture for the eye is kept where MEDSR_SCREENSHOTS names a folder; here: nothing is cut off, nothing overlaps."""
    settle()
    top = a_page.parent
    top.resize(460, 900)
    top.show()
    settle()
    folder = Path(os.environ.get("MEDSR_SCREENSHOTS", str(tmp_path)))
    assert top.grab().save(str(folder / "slicer_page.png"))
    parts = [a_page.ui.inputsCollapsibleButton, a_page.ui.interpolationCollapsibleButton, a_page.ui.advancedCollapsibleButton]
    parts += [a_page.ui.outputsCollapsibleButton, a_page.ui.applyButton, a_page.ui.logCollapsibleButton]
    tops = [QtWidgets.QWidget.mapTo(part, top, QtCore.QPoint(0, 0)).y() for part in parts]
    assert tops == sorted(tops) and len(set(tops)) == len(tops)
    top.hide()
