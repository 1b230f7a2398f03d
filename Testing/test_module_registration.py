"""The page "Register slide to MRI", run under PySide6: real MRML, real child process, stand-ins for ctk and qMRML widgets."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "MedSR")]

import SimpleITK as sitk  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.scene import nudge, samples, slide_transform  # noqa: E402
from MedSRLib.tasks import register_slide  # noqa: E402
from pages import StandInJob, assert_fields_are_options, opened, settle, until  # noqa: E402
from slicer_host import host  # noqa: E402

PAGE, MODULE = host.load_module("MedSRRegistration")
from MedSRLib.widgets import dependencies  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402

SAMPLES = RESOURCES / "SampleData"


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRRegistrationWidget) as widget:
        yield widget


@pytest.fixture
def outlines_ready(a_page):
    """T2, gland and outlines of the sample, chosen as a user would."""
    mri, gland = samples.load_prostate(RESOURCES)
    a_page.ui.inputSelector.setCurrentNode(mri)
    a_page.ui.maskSelector.setCurrentNode(gland)
    a_page.ui.slidePathEdit.text = str(SAMPLES / samples.PROSTATE_OUTLINES.file)
    a_page.ui.sliceSpinBox.value = samples.OUTLINES_SLICE
    a_page.ui.mppUmSpinBox.value = samples.OUTLINES_UM
    a_page.ui.orientationComboBox.currentIndex = 1 + register_slide.ORIENTATIONS.index(samples.OUTLINES_ORIENTATION)
    return a_page


@pytest.fixture
def slide_ready(a_page):
    """The slide of the sample and the gland on its MRI, which is all that is published."""
    pytest.importorskip("openslide")
    a_page.ui.inputSelector.setCurrentNode(samples.load_slide_gland(RESOURCES))
    a_page.ui.slidePathEdit.text = str(SAMPLES / samples.SLIDE.file)
    a_page.ui.sliceSpinBox.value = 12
    return a_page


def click_and_wait(page, button="applyButton"):
    getattr(page.ui, button).click()
    assert page.panel.running, page.ui.errorLabel.text
    until(lambda: not page.panel.running, 120)
    assert page.ui.errorLabel.text == ""


def of_results():
    """How many nodes of each kind that a registration makes are in the scene."""
    kinds = ("vtkMRMLTransformNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode", "vtkMRMLVolumeNode", "vtkMRMLTextNode")
    return {kind: slicer.mrmlScene.GetNumberOfNodesByClass(kind) for kind in kinds}


# ------------------------------------------------------------------------------------------- parameters and options


def test_fields_limits_and_defaults_are_those_of_the_options():
    assert set(PAGE.OPTION_NAMES) == {f.name for f in dataclasses.fields(register_slide.Options)}
    assert_fields_are_options(PAGE.MedSRRegistrationParameterNode, register_slide.Options, PAGE.OPTION_NAMES)
    assert list(PAGE.METHOD_LABELS) == list(register_slide.METHODS)


def test_the_samples_are_those_that_were_shipped_and_may_be():
    for sample in (samples.PROSTATE, samples.PROSTATE_GLAND, samples.PROSTATE_OUTLINES, samples.SLIDE, samples.SLIDE_GLAND):
        samples.checked(RESOURCES, sample)
    assert "CC BY 3.0" in (SAMPLES / "prostate_LICENSE.txt").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------------ from files to files


def test_a_click_goes_from_files_to_exported_segmentation_and_dice(outlines_ready, tmp_path):
    """Outlines of a pathologist on a real T2: the Dice of the files is that of the exported labels, counted by SimpleITK."""
    page = outlines_ready
    assert page.ui.applyButton.enabled and not page.ui.exportButton.enabled
    click_and_wait(page)
    assert page.ui.statusLabel.text.startswith("Done in") and "Laid on slice 2, Dice 0.96" in page.ui.statusLabel.text
    assert "Slice 2, orientation r0 (determined)." in page.ui.resultLabel.text and "gland: Dice 0.96" in page.ui.resultLabel.text
    made = page.results()
    assert page.ui.transformSelector.currentNode() is made.transform and made.table is not None
    names = [made.segmentation.GetSegmentation().GetNthSegment(i).GetName() for i in range(2)]
    assert names == ["gland", "cancer"]
    files = {path.name: path for path in page.export(tmp_path)}
    assert set(files) == {"transform.h5", "registration.json", "labels.seg.nrrd", "labelmap.nii.gz", "dice.csv"}
    drawn = sitk.ReadImage(str(files["labelmap.nii.gz"])) > 0
    gland = sitk.ReadImage(str(SAMPLES / samples.PROSTATE_GLAND.file)) > 0
    drawn.CopyInformation(gland)  # NIfTI rounds the direction
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(drawn[:, :, 2], gland[:, :, 2])
    with files["dice.csv"].open(newline="", encoding="utf-8") as stream:
        rows = {row["outline"]: row for row in csv.DictReader(stream)}
    assert float(rows["gland"]["dice"]) == pytest.approx(overlap.GetDiceCoefficient(), abs=0.005) and overlap.GetDiceCoefficient() >= 0.96
    assert json.loads(files["registration.json"].read_text())["slice"] == 2
    assert sitk.GetArrayFromImage(drawn)[[0, 1, 3, 4]].sum() == 0


def test_a_real_slide_is_laid_on_its_gland_and_shown_under_its_transform(slide_ready, tmp_path):
    page = slide_ready
    click_and_wait(page)
    made = page.results()
    assert made.facts["dice"] >= 0.93 and 35 <= made.facts["mpp"]["found_um"][0] <= 46
    assert not made.facts["orientation"]["determined"] and "(undetermined)" in page.ui.resultLabel.text
    assert made.slide.GetParentTransformNode() is made.transform and made.fused is not None
    bounds = np.zeros(6)
    made.slide.GetRASBounds(bounds)
    gland = slicer.util.arrayFromVolume(made.mri)[12] > 0
    middle = np.append(np.argwhere(gland).mean(0)[::-1], 12)
    matrix = slicer.vtkMRMLVolumeNode.GetIJKToRASMatrix
    to_ras = slicer.util.vtkMatrixFromArray(np.eye(4))
    matrix(made.mri, to_ras)
    at = slicer.util.arrayFromVTKMatrix(to_ras) @ np.append(middle, 1)
    assert all(bounds[2 * i] < at[i] < bounds[2 * i + 1] for i in range(2)), "the slide lies over the gland"
    assert "fused.nrrd" in {path.name for path in page.export(tmp_path)}


# --------------------------------------------------------------------------------------------------------------- by hand


def test_moves_by_hand_move_the_slide_by_what_was_asked_and_are_taken_back(slide_ready):
    page = slide_ready
    assert not page.ui.leftButton.enabled and page.ui.layButton.enabled
    page.ui.layButton.click()
    transform = page._parameters.transform
    assert page._parameters.slideNode.GetParentTransformNode() is transform and page.ui.leftButton.enabled
    before = slide_transform.matrix_of(transform)
    centre = before @ slide_transform.centre_of(transform)
    page.ui.shiftSpinBox.value = 3.0
    page.ui.rightButton.click()
    moved = slide_transform.matrix_of(transform) @ slide_transform.centre_of(transform)
    assert np.linalg.norm(moved - centre) == pytest.approx(3.0, abs=1e-6)
    page.ui.scaleSpinBox.value = 10.0
    page.ui.largerButton.click()
    sides = np.linalg.norm(slide_transform.matrix_of(transform)[:3, :2], axis=0) / np.linalg.norm(before[:3, :2], axis=0)
    assert np.allclose(sides, 1.1)
    for _ in range(2):
        page.ui.undoButton.click()
    assert np.allclose(slide_transform.matrix_of(transform), before) and not page.ui.undoButton.enabled


def test_a_position_by_hand_is_scored_without_being_moved(slide_ready):
    page = slide_ready
    click_and_wait(page)
    found = page.results()
    best, matrix = found.facts["dice"], slide_transform.matrix_of(found.transform)
    page._parameters.slidePath, page._parameters.slideNode = "", found.slide
    page.ui.shiftSpinBox.value = 12.0
    page.ui.upButton.click()
    moved = slide_transform.matrix_of(found.transform)
    click_and_wait(page, "scoreButton")
    scored = page.results()
    assert np.allclose(slide_transform.matrix_of(scored.transform), moved, atol=1e-6) and not np.allclose(moved, matrix)
    assert 0.5 < scored.facts["dice"] < best - 0.2 and scored.facts["grade"] == "refused", "too bad to be believed, and scored"


# ----------------------------------------------------------------------------------------------------- errors and cancel


def test_what_cannot_be_is_one_sentence_and_leaves_the_scene_alone(outlines_ready):
    page = outlines_ready
    page.ui.sliceSpinBox.value = 40
    before = of_results()
    page.ui.applyButton.click()
    until(lambda: not page.panel.running)
    assert page.ui.errorLabel.text.count(";") <= 1 and "slice" in page.ui.errorLabel.text.lower()
    assert of_results() == before and page.ui.applyButton.text == "Register"


def test_cancel_leaves_nothing(slide_ready):
    page = slide_ready
    job = StandInJob({"event": "progress", "fraction": 0.4, "message": "Searching", "remaining_s": 12.0})
    page.logic.start = lambda specification: job
    page.ui.applyButton.click()
    settle()
    page.panel.poll()
    assert page.ui.applyButton.text == "Cancel" and page.ui.statusLabel.text == "Searching · about 10 s left"
    page.ui.applyButton.click()
    until(lambda: not page.panel.running)
    assert job.cancelled and page.ui.statusLabel.text == "Cancelled." and page.results() is None


def test_outlines_alone_ask_for_no_library_and_a_slide_for_those_of_slides(outlines_ready, monkeypatch):
    page, asked = outlines_ready, []
    monkeypatch.setattr(dependencies, "ensure", lambda path, requester: asked.append(Path(path).name))
    page.logic.start = lambda specification: StandInJob()
    page.ui.applyButton.click()
    assert asked == [] and page.panel.running
    page.panel.close()
    page.ui.slidePathEdit.text = str(SAMPLES / samples.SLIDE.file)
    page.ui.applyButton.click()
    assert asked == ["requirements-slides.txt"]
    page.panel.close()


def test_blend_and_checkerboard_change_what_the_second_view_shows(slide_ready):
    page = slide_ready
    click_and_wait(page)
    views = PAGE.viewing.registration_views()
    if len(views) < 2:
        for name in PAGE.viewing.BESIDE:
            view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", name)
            view.SetLayoutName(name)
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name).SetLayoutName(name)
        views = PAGE.viewing.registration_views()
    page.ui.sideBySideButton.click()
    (_, first), (_, second) = views
    made = page.results()
    assert first.GetForegroundVolumeID() in (None, "") and second.GetForegroundVolumeID() == made.slide.GetID()
    page.ui.blendSlider.value = 80
    assert second.GetForegroundOpacity() == pytest.approx(0.8)
    page.ui.checkerboardCheckBox.checked = True
    board = slicer.mrmlScene.GetNodeByID(second.GetForegroundVolumeID())
    assert board is not made.slide and "checkerboard" in board.GetName() and second.GetForegroundOpacity() == 1.0


def test_the_self_test_of_the_module_passes(scene):
    PAGE.MedSRRegistrationTest().runTest()


def test_the_page_is_worth_looking_at(outlines_ready, tmp_path):
    click_and_wait(outlines_ready)
    outlines_ready.parent.resize(480, 1100)
    settle()
    picture = Path(os.environ.get("MEDSR_PICTURES", tmp_path)) / "page.png"
    assert outlines_ready.parent.grab().save(str(picture)) and picture.stat().st_size > 5000
    assert nudge.nudged(outlines_ready.results().transform) == 0
