"""What a click on the page "Interpolate slices" makes and shows, run under PySide6: real MRML, real child process."""

from __future__ import annotations

import types

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_slice_interp  # noqa: E402
import slicer  # noqa: E402
import vtk  # noqa: E402
from MedSRLib.jobs_specification import Outcome  # noqa: E402
from MedSRLib.scene import attributes, nodes, samples, segmentations, sequences  # noqa: E402
from MedSRLib.widgets import viewing  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402
from page_slice_interp import PAGE, with_stand_in  # noqa: E402
from pages import APP, StandInJob, settle, until  # noqa: E402

a_page, a_sample = page_slice_interp.a_page, page_slice_interp.a_sample


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
