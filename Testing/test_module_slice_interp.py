"""The page "Interpolate slices" before a click, and its looks, run under PySide6: real MRML, stand-ins for ctk and qMRML widgets."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_slice_interp  # noqa: E402
import slicer  # noqa: E402
import vtk  # noqa: E402
from MedSRLib.scene import nodes, samples  # noqa: E402
from MedSRLib.tasks import evaluate_slices, interpolate_slices  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402
from page_slice_interp import PAGE, ROOT, with_stand_in  # noqa: E402
from pages import StandInJob, assert_fields_are_options, settle, under, until  # noqa: E402
from PySide6 import QtCore, QtWidgets  # noqa: E402
from slicer_host import application  # noqa: E402

a_page, a_sample = page_slice_interp.a_page, page_slice_interp.a_sample


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
