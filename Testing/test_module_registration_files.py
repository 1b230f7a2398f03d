"""The page "Register slide to MRI", run under PySide6 on the samples that ship: real MRML, real child process, exported files."""

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
import vtk  # noqa: E402
from MedSRLib.errors import DependencyError  # noqa: E402
from MedSRLib.io import formats  # noqa: E402
from MedSRLib.scene import nodes, samples_pairs  # noqa: E402
from MedSRLib.scene.registration_results import RegistrationResults  # noqa: E402
from MedSRLib.scene.slide_transform import matrix_of  # noqa: E402
from MedSRLib.tasks import register_slide  # noqa: E402
from pages import StandInJob, assert_fields_are_options, opened, settle, until  # noqa: E402
from slicer_host import host, ui_files  # noqa: E402

PAGE, MODULE = host.load_module("MedSRRegistration")
from MedSRLib.widgets import dependencies  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402

DATA = RESOURCES / "SampleData"
UI = RESOURCES / "UI" / "RegisterSlide.ui"
BESIDE_THE_OPTIONS = {"transform_as"}
"""Two buttons stand for it."""


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRRegistrationWidget) as widget:
        yield widget


@pytest.fixture
def outlines_chosen(a_page):
    """The T2, its gland, and the outlines of the slide of slice 14 as a file."""
    samples_pairs.load_pair(RESOURCES, samples_pairs.OUTLINES)
    settle()
    return a_page


@pytest.fixture
def slide_chosen(a_page):
    """The H&E slide of another patient, and the mask of the gland alone."""
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    samples_pairs.load_pair(RESOURCES, samples_pairs.SLIDE)
    settle()
    a_page._parameters.orientation = "r0"  # a quarter of the time of all eight
    return a_page


def register(page, button="applyButton"):
    """Click, wait for the end, and give the results."""
    getattr(page.ui, button).click()
    until(lambda: page.panel.running, 10)
    until(lambda: not page.panel.running, 180)
    settle()
    assert page.ui.errorLabel.text == ""
    return RegistrationResults(page._parameters.registration)


def laid_by_hand(page):
    page.ui.layButton.click()
    settle()
    return page._parameters.registration


def node_names() -> list[str]:
    return sorted(node.GetName() or node.GetClassName() for node in slicer.util.getNodesByClass("vtkMRMLNode"))


def ring_area(points) -> float:
    """Of a closed ring, in its own unit."""
    x, y = np.asarray(points, float).T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


# ------------------------------------------------------------------------------------------- parameters and options


def test_fields_limits_and_defaults_are_those_of_the_options():
    assert set(PAGE.OPTION_NAMES) | BESIDE_THE_OPTIONS == {f.name for f in dataclasses.fields(register_slide.Options)}
    assert_fields_are_options(PAGE.MedSRRegistrationParameterNode, register_slide.Options, PAGE.OPTION_NAMES)
    assert list(PAGE.WORDS["methodComboBox"]) == list(register_slide.METHODS)
    assert list(PAGE.WORDS["orientationComboBox"]) == ["auto", *register_slide.ORIENTATIONS]
    assert list(PAGE.WORDS["landmarksComboBox"]) == list(register_slide.LANDMARK_USES)


def test_numbers_on_the_page_have_the_options_limits():
    options, shown = {f.name: f for f in dataclasses.fields(register_slide.Options)}, ui_files.parameters(UI)
    numbers = {name for name, f in options.items() if isinstance(f.default, (int, float)) and not isinstance(f.default, bool)}
    for name in (numbers - {"opacity"}) & set(shown):
        meta = options[name].metadata
        found = (shown[name]["minimum"], shown[name]["maximum"], shown[name]["value"])
        assert found == (meta["minimum"], meta["maximum"], options[name].default), name
    assert {"slice", "mpp_um", "rotation_deg"} <= set(shown)


# ---------------------------------------------------------------------------------------------- from files to files


def test_a_click_goes_from_files_to_exported_segmentation_and_dice(a_page, tmp_path):
    """Chosen by hand, as a user does with own files; Dice and area are counted here, from files, without the engine."""
    mri, gland = (formats.read(DATA / file)[0] for file in ("prostate_t2.nrrd", "prostate_t2_gland.nrrd"))
    a_page.ui.inputSelector.setCurrentNode(nodes.add_node(slicer.mrmlScene, mri, "T2"))
    a_page.ui.maskSelector.setCurrentNode(nodes.add_node(slicer.mrmlScene, gland, "gland", labels=True))
    a_page.ui.slidePathLine.text = str(DATA / "prostate_outlines_D1D2D3D4.geojson")
    a_page._parameters.slice, a_page._parameters.mpp_um, a_page._parameters.orientation = 14, 7.2, "r0"
    settle()
    results = register(a_page)
    a_page._parameters.exportPath = str(tmp_path / "out")
    a_page.ui.exportButton.click()
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"transform.h5", "registration.json", "labels.seg.nrrd", "labelmap.nii.gz", "dice.csv"} <= written

    image = sitk.ReadImage(str(tmp_path / "out" / "labelmap.nii.gz"))
    gland = sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / "prostate_t2_gland.nrrd")))[14] != 0
    labels = sitk.GetArrayFromImage(image)
    drawn = labels[14] > 0  # cancer lies on the prostate, and takes its label
    rows = {row["outline"]: row for row in csv.DictReader((tmp_path / "out" / "dice.csv").open())}
    by_hand = 2 * (drawn & gland).sum() / (drawn.sum() + gland.sum())
    assert by_hand > 0.95 and float(rows["prostate"]["dice"]) == pytest.approx(by_hand, abs=0.003)
    assert not np.delete(labels, 14, axis=0).any()
    assert a_page.ui.resultBrowser.toPlainText().startswith("Good")
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_the_exported_transform_gives_the_cancer_its_area(outlines_chosen, tmp_path):
    """Area on the slide by the ring's coordinates, times what the transform's file says of areas: the voxels that were counted."""
    register(outlines_chosen)
    outlines_chosen._parameters.exportPath = str(tmp_path / "out")
    outlines_chosen.ui.exportButton.click()
    matrix = np.array(sitk.ReadTransform(str(tmp_path / "out" / "transform.h5")).GetInverse().GetParameters()[:9]).reshape(3, 3)
    collection = json.loads((DATA / "prostate_outlines_D1D2D3D4.geojson").read_text())
    features = [f for f in collection["features"] if f["properties"]["classification"]["name"] == "cancer"]
    shapes = [f["geometry"] for f in features]
    polygons = [p for s in shapes for p in ([s["coordinates"]] if s["type"] == "Polygon" else s["coordinates"])]
    on_slide = sum(ring_area(p[0]) - sum(ring_area(hole) for hole in p[1:]) for p in polygons) * 0.0072**2
    rows = {row["outline"]: row for row in csv.DictReader((tmp_path / "out" / "dice.csv").open())}
    assert float(rows["cancer"]["area_mm2"]) == pytest.approx(on_slide * abs(np.linalg.det(matrix)), rel=0.02)


def test_a_slide_is_laid_on_the_gland_and_its_doubts_are_said(slide_chosen):
    results = register(slide_chosen)
    facts = results.facts
    assert results.slide.GetTransformNodeID() == results.transform.GetID()
    assert facts["slice"] == 12 and facts["dice"] > 0.93
    text = slide_chosen.ui.resultBrowser.toPlainText()
    assert "Doubtful" in text and "At the stated 7.21 µm per pixel the tissue would be 7 mm long" in text
    # The tissue's middle, by Slicer's road from the picture's pixels to the gland's mask, without the engine's.
    picture = slicer.util.arrayFromVolume(results.slide)[0].astype(float)
    pink = picture.max(-1) - picture.min(-1) > 30
    row, column = np.argwhere(pink).mean(0)
    general = vtk.vtkGeneralTransform()
    results.transform.GetTransformToWorld(general)
    ijk = vtk.vtkMatrix4x4()
    results.slide.GetIJKToRASMatrix(ijk)
    found = np.array(general.TransformPoint(ijk.MultiplyPoint((column, row, 0, 1))[:3]))
    gland = np.argwhere(slicer.util.arrayFromVolume(results.mri)[12] != 0).mean(0)
    middle = (nodes.RAS_TO_LPS @ nodes.affine_from_node(results.mri) @ (gland[1], gland[0], 12, 1))[:3]
    assert np.linalg.norm(found - middle) < 2.0  # mm; the gland is 35 mm wide


# ---------------------------------------------------------------------------------------------------------- by hand


def test_moves_by_hand_do_what_they_say_and_are_taken_back(slide_chosen):
    page = slide_chosen
    transform = laid_by_hand(page)
    before = matrix_of(transform)
    page.ui.shiftSpinBox.value = 3.0
    page.ui.rightButton.click()
    moved = matrix_of(transform)
    assert np.linalg.norm((moved - before)[:3, 3]) == pytest.approx(3.0) and np.allclose(moved[:3, :3], before[:3, :3])
    page.ui.turnSpinBox.value = 90.0
    for _ in range(4):
        page.ui.turnRightButton.click()
    assert np.allclose(matrix_of(transform), moved)
    page.ui.scaleSpinBox.value = 10.0
    page.ui.largerButton.click()
    assert np.linalg.norm(matrix_of(transform)[:3, 0]) == pytest.approx(1.1 * np.linalg.norm(before[:3, 0]))
    for _ in range(6):
        page.ui.undoButton.click()
    assert np.allclose(matrix_of(transform), before) and page.ui.undoButton.enabled is False


def test_a_position_by_hand_is_scored_where_it_lies(slide_chosen):
    page = slide_chosen
    found = register(page)
    page.ui.shiftSpinBox.value = 10.0
    page.ui.leftButton.click()
    there = matrix_of(found.transform)
    scored = register(page, "scoreButton")
    assert np.allclose(matrix_of(scored.transform), there, atol=1e-6)
    assert scored.facts["dice"] < found.facts["dice"] - 0.15  # 10 of 35 mm
    assert scored.facts["grade"] == "refused" and "Not to be believed" in page.ui.resultBrowser.toPlainText()


# -------------------------------------------------------------------------------------------------- errors, cancel


FAULTS = {
    "slice": (99, "the MRI has slices 0 to 27, not 99"),
    "slidePath": ("/nowhere/slide.svs", "there is no such file"),
    "landmarksPath": ("/nowhere/points.csv", "there is no such file"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_is_one_sentence_before_the_click(outlines_chosen, name):
    value, said = FAULTS[name]
    setattr(outlines_chosen._parameters, name, value)
    settle()
    text = outlines_chosen.ui.previewLabel.text
    assert said in text and "\n" not in text and "Traceback" not in text
    assert outlines_chosen.ui.applyButton.enabled is False


def test_one_list_of_landmarks_is_refused_and_the_scene_left_alone(outlines_chosen):
    lonely = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    outlines_chosen._parameters.slidePoints = lonely
    before = slicer.mrmlScene.GetNumberOfNodes()
    outlines_chosen.ui.applyButton.click()
    settle()
    assert "landmarks need two lists" in outlines_chosen.ui.errorLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before and outlines_chosen._parameters.registration is None


def test_cancel_leaves_nothing(outlines_chosen):
    job = StandInJob()
    outlines_chosen.logic.start = lambda specification: job
    before = node_names()
    outlines_chosen.ui.applyButton.click()
    until(lambda: outlines_chosen.panel.running, 10)
    outlines_chosen.ui.applyButton.click()
    until(lambda: not outlines_chosen.panel.running, 10)
    assert job.cancelled and outlines_chosen._parameters.registration is None
    assert node_names() == before


def test_outlines_alone_ask_for_no_library_and_a_picture_for_those_of_slides(outlines_chosen, monkeypatch):
    asked = []

    def refuse(requirements, *_):
        asked.append(requirements.name)
        raise DependencyError("the user said no")

    monkeypatch.setattr(dependencies, "ensure", refuse)
    register(outlines_chosen)
    assert asked == []
    outlines_chosen._parameters.slidePath = str(DATA / "prostate_slide.ome.tif")
    settle()
    outlines_chosen.ui.applyButton.click()
    settle()
    assert asked == ["requirements-slides.txt"] and "the user said no" in outlines_chosen.ui.errorLabel.text


def test_the_self_test_of_the_module_passes(scene):
    PAGE.MedSRRegistrationTest().runTest()
