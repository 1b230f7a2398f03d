"""The page "Register slide to MRI", run under PySide6: real MRML, real child process, real slides, stand-ins for ctk and qMRML widgets."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
openslide = pytest.importorskip("openslide")
sitk = pytest.importorskip("SimpleITK")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "MedSR")]

import slicer  # noqa: E402
from MedSRLib.errors import DependencyError  # noqa: E402
from MedSRLib.metrics import dice  # noqa: E402
from MedSRLib.scene import (  # noqa: E402  # noqa: E402
    attributes,
    dicom_sources,
    nodes,
    nudge,
    registration_export,
    registration_results,
    samples_pairs,
    segmentations,
    slide_transform,
)
from MedSRLib.scene.checkerboard import ROLE  # noqa: E402
from MedSRLib.scene.slide_transform import centre_of, matrix_of  # noqa: E402
from MedSRLib.tasks import register_slide  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from pages import APP, StandInJob, assert_fields_are_options, opened, settle, until  # noqa: E402
from PySide6 import QtCore, QtWidgets  # noqa: E402
from scipy import ndimage  # noqa: E402
from slicer_host import host  # noqa: E402

PAGE, MODULE = host.load_module("MedSRRegistration")
STARTED = APP.slots["startupCompleted()"][-1]
from MedSRLib.widgets import dependencies, files  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402

SAMPLES = RESOURCES / "SampleData"
SECONDS = 300
"""A registration takes some five seconds on a free machine."""
CROPPED = 40, 60
"""Columns and rows that the sample leaves out of aaa0060's T2."""


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRRegistrationWidget) as widget:
        yield widget


@pytest.fixture
def outlines(a_page):
    """aaa0060 on the page: T2, gland on it, outlines of the slide of T2 slice 14, the case's description."""
    mri = samples_pairs.load_pair(RESOURCES, samples_pairs.OUTLINES)
    settle()
    return mri


@pytest.fixture
def a_slide(a_page):
    """aaa0043 on the page: the gland's mask alone, and a real slide that is open."""
    mri = samples_pairs.load_pair(RESOURCES, samples_pairs.SLIDE)
    settle()
    return mri


@pytest.fixture
def views(scene):
    """{name: (slice node, composite node)} of the two views of Slicer's side-by-side layout."""
    made = {}
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    for name in ("Red", "Yellow"):
        pair = []
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = getattr(slicer, kind)()
            node.SetLayoutName(name)
            pair.append(scene.AddNode(node))
        pair[0].SetDimensions(400, 300, 1)
        made[name] = tuple(pair)
    yield made
    for pair in made.values():
        for node in pair:
            scene.RemoveNode(node)


def node_ids():
    """All nodes of the scene but its data tree, which Slicer always has, and the tests once somebody asks for it."""
    found = (slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes()))
    return {node.GetID() for node in found if not node.IsA("vtkMRMLSubjectHierarchyNode")}


def finished(page, button="applyButton"):
    """Click, and wait for what was made; the results, None where there are none."""
    before = page._parameters.registration
    getattr(page.ui, button).click()
    until(lambda: not page.panel.running and (page._parameters.registration is not before or page.ui.errorLabel.text), SECONDS)
    return registration_results.of_transform(page._parameters.registration)


def exported(page, folder):
    """(labels of the segmentation file on the MRI's grid as SimpleITK reads it, rows of the table, facts)."""
    page.ui.exportPathLine.text = str(folder)
    page.ui.exportButton.click()
    labels = sitk.ReadImage(str(folder / "labels.seg.nrrd"))
    with (folder / "dice.csv").open() as file:
        rows = {row["outline"]: row for row in csv.DictReader(file)}
    return labels, rows, json.loads((folder / "registration.json").read_text())


# ------------------------------------------------------------------------------------------- parameters and options


def test_fields_limits_defaults_and_words_are_those_of_the_options():
    options = {f.name: f for f in dataclasses.fields(register_slide.Options)}
    assert set(PAGE.OPTION_NAMES) == set(options) - {"transform_as"}
    assert_fields_are_options(PAGE.MedSRRegistrationParameterNode, register_slide.Options, PAGE.OPTION_NAMES)
    for widget, option in (("methodComboBox", "method"), ("orientationComboBox", "orientation"), ("landmarksComboBox", "landmarks_as")):
        assert tuple(PAGE.WORDS[widget]) == tuple(options[option].metadata["choices"])


# ------------------------------------------------------------------------------------------------------ before Register


def test_what_is_missing_is_said_before_the_click(a_page, scene, tmp_path):
    assert a_page.ui.applyButton.enabled is False and a_page.ui.previewLabel.text.startswith("No MRI is chosen")
    mri = nodes.add_node(scene, Volume(np.zeros((9, 20, 20), np.int16), (1, 1, 3)), "T2")
    settle()
    assert a_page._parameters.inputVolume is mri and a_page.ui.previewLabel.text.startswith("No slide is chosen")
    a_page.ui.slidePathLine.text = str(tmp_path / "none.svs")
    assert "there is no such file" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False
    a_page.ui.slidePathLine.text = str(SAMPLES / "prostate_slide.ome.tif")
    assert a_page.ui.previewLabel.text == "prostate_slide.ome.tif is laid on the best of 9 slices of T2."
    assert a_page.ui.applyButton.enabled is True
    a_page.ui.sliceSpinBox.value = 9
    assert "slices 0 to 8, not 9" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False
    a_page.ui.sliceSpinBox.value = 8
    elsewhere = nodes.add_node(scene, Volume(np.ones((9, 20, 20), np.uint8), (1, 1, 4)), "other", labels=True)
    a_page.ui.maskSelector.setCurrentNode(elsewhere)
    assert a_page._parameters.mriMask is elsewhere and "not on the grid of T2" in a_page.ui.previewLabel.text


def test_a_sample_fills_the_page(a_page, outlines):
    parameters = a_page._parameters
    assert parameters.inputVolume is outlines and (parameters.slice, parameters.mpp_um) == (14, 7.2)
    assert a_page.ui.maskSelector.currentNode() is parameters.mriMask and parameters.mriMask.IsA("vtkMRMLSegmentationNode")
    assert a_page.ui.slidePathLine.text == str(SAMPLES / "prostate_outlines_D1D2D3D4.geojson")
    assert (
        a_page.ui.previewLabel.text == "prostate_outlines_D1D2D3D4.geojson is laid on slice 14 of prostate_t2, guided by the gland's mask."
    )
    assert a_page.ui.openSlideButton.enabled is False and a_page.ui.layButton.enabled is False
    parameters.fusedPath = "/tmp/fused.ome.tif"
    assert "no picture to fuse" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False


def test_the_samples_are_offered_checked_and_loaded(scene):
    slicer.modules.sampleDataSources = {}
    STARTED()
    mri, slide = slicer.modules.sampleDataSources["MedSR"]
    assert mri.sampleName == "ProstateMRI" and mri.verify() and slide.verify()
    node = mri.button_clicked()
    assert node.GetImageData().GetDimensions() == (240, 240, 28) and node.GetSpacing() == pytest.approx((0.40625, 0.40625, 3.99), abs=1e-3)
    assert slide.button_clicked().IsA("vtkMRMLLabelMapVolumeNode")
    picture = slicer.mrmlScene.GetFirstNodeByName("prostate_slide")
    assert picture.GetImageData().GetDimensions() == (995, 893, 1)


def test_the_samples_are_those_of_the_collection(scene, data_dir):
    """Against the files as they were given: the voxels of the T2, the slide but for its compression."""
    tifffile = pytest.importorskip("tifffile")
    whole = sitk.GetArrayFromImage(sitk.ReadImage(str(data_dir / "pairs/aaa0060/aaa0060_T2.nii.gz")))
    part = sitk.GetArrayFromImage(sitk.ReadImage(str(SAMPLES / "prostate_t2.nrrd")))
    assert np.array_equal(part, whole[:, 60:300, 40:280])
    given, ours = (
        tifffile.imread(p).astype(float) for p in (data_dir / "pairs/aaa0043/aaa0043_B.tiff", SAMPLES / "prostate_slide.ome.tif")
    )
    assert ours.shape == given.shape and np.abs(ours - given).mean() < 4
    assert sum(path.stat().st_size for path in SAMPLES.glob("prostate*")) < 6e6


def test_a_button_chooses_a_file(a_page, monkeypatch):
    asked = []
    monkeypatch.setattr(files, "open_file", lambda title, before, endings: asked.append(endings) or "/slides/a.svs")
    monkeypatch.setattr(files, "folder", lambda title, before: "")
    a_page.ui.slidePathButton.click()
    a_page.ui.exportPathButton.click()
    assert a_page._parameters.slidePath == "/slides/a.svs" and a_page._parameters.exportPath == "" and ".svs" in asked[0]


# ------------------------------------------------------------------------------------------------------------ Register


def test_a_click_goes_from_outlines_to_an_exported_segmentation_and_dice(a_page, outlines, errors_shown, tmp_path, data_dir):
    """Dice by hand from the exported labels; the best affine reaches 0.969 there, RAPSODI's moved cancer is the witness of the side."""
    results = finished(a_page)
    assert errors_shown == [] and a_page.ui.applyButton.text == "Register"
    assert a_page.ui.statusLabel.text.endswith("Good. Dice 0.965.")
    labels, rows, facts = exported(a_page, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "transform.h5",
        "labelmap.nii.gz",
    } and "Wrote" in a_page.ui.statusLabel.text
    array, gland = (
        sitk.GetArrayFromImage(labels),
        slicer.util.arrayFromSegmentBinaryLabelmap(a_page._parameters.mriMask, "Segment_1", outlines),
    )
    assert set(np.nonzero(array)[0]) == {14}
    by_hand = dice(array[14] > 0, gland[14] > 0)
    assert by_hand > 0.96 and float(rows["prostate"]["dice"]) == facts["dice"] == pytest.approx(by_hand, abs=0.005)
    assert labels.GetOrigin() == pytest.approx(tuple(nodes.affine_from_node(outlines)[:3, 3]), abs=1e-3)
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(data_dir / "pairs/aaa0060/results/aaa0060_moved_region01_label.nii.gz")))[14]
    theirs = np.argwhere(reference).mean(0) - CROPPED[::-1]
    ours = np.argwhere(array[14] == 2).mean(0)
    assert np.linalg.norm(theirs - ours) * 0.40625 < 2.0
    assert results.segmentation.GetSegmentation().GetNthSegment(1).GetName() == "cancer"
    said = a_page.ui.resultBrowser.toPlainText()
    assert "Good · slice 14" in said and "0.965" in said and "cancer" in said


def test_a_click_goes_from_a_slides_file_to_a_picture_on_the_mri_and_export(a_page, scene, errors_shown, views, tmp_path):
    """By its file: it is opened beside the event loop, laid, and shown; the tag of 7.2 µm is not believed."""
    pair = samples_pairs.SLIDE
    mri = nodes.add_node(scene, nodes.volume_from_node(samples_pairs.load_pair(RESOURCES, pair)), "gland alone", labels=True)
    settle()
    parameters = a_page._parameters
    a_page.ui.inputSelector.setCurrentNode(mri)
    a_page.ui.slideSelector.setCurrentNode(None)
    a_page.ui.slidePathLine.text = str(SAMPLES / "prostate_slide.ome.tif")
    parameters.slice, parameters.orientation, parameters.fused_um = 12, "r0", 50.0
    a_page.ui.fusedPathLine.text = str(tmp_path / "fused.ome.tif")
    results = finished(a_page)
    with openslide.OpenSlide(str(tmp_path / "fused.ome.tif")) as pyramid:
        assert float(pyramid.properties["openslide.mpp-x"]) == pytest.approx(50, abs=0.5)
    assert errors_shown == [] and results.facts["dice"] > 0.93 and 35 < results.facts["mpp"]["found_um"][0] < 46
    assert results.slide is parameters.slideNode and results.slide.GetParentTransformNode() is results.transform
    assert "Doubtful: check it before use" in a_page.ui.statusLabel.text and "7.21" in a_page.ui.logText.toPlainText()
    labels, rows, facts = exported(a_page, tmp_path / "out é")
    by_hand = dice(sitk.GetArrayFromImage(labels)[12] > 0, slicer.util.arrayFromVolume(mri)[12] > 0)
    assert by_hand == pytest.approx(facts["dice"], abs=0.005) and "cancer" in rows
    assert (tmp_path / "out é" / "fused.nrrd").is_file()
    shown_blended_beside_and_in_squares(a_page, results, views)


def shown_blended_beside_and_in_squares(page, results, views):
    (red, red_layers), (yellow, yellow_layers) = views["Red"], views["Yellow"]
    assert red_layers.GetBackgroundVolumeID() == results.mri.GetID() and red_layers.GetForegroundVolumeID() == results.slide.GetID()
    assert red_layers.GetForegroundOpacity() == 0.5
    page.ui.opacitySlider.value = 80
    assert page._parameters.opacity == 0.8 and page.ui.opacitySpinBox.value == 0.8 and red_layers.GetForegroundOpacity() == 0.8
    page._parameters.slice = 3
    page.ui.shownSliceButton.click()
    assert page._parameters.slice == 12, "the view looks at the slide's slice"
    page.ui.squaresButton.click()
    squares = results.transform.GetNodeReference(ROLE)
    assert red_layers.GetForegroundVolumeID() == squares.GetID() and red_layers.GetForegroundOpacity() == 1.0
    before = slicer.util.arrayFromVolume(squares).copy()
    page.ui.rightButton.click()
    assert not np.array_equal(slicer.util.arrayFromVolume(squares), before), "squares follow the slide"
    page.ui.undoButton.click()
    assert np.array_equal(slicer.util.arrayFromVolume(squares), before)
    page.ui.besideButton.click()
    assert red_layers.GetForegroundVolumeID() is None and yellow_layers.GetBackgroundVolumeID() == results.slide.GetID()
    for view in (red, yellow):
        bounds = [0.0] * 6
        results.slide.GetRASBounds(bounds)
        middle = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        assert middle == pytest.approx([(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)], abs=0.5)


def test_cancel_leaves_nothing(a_page, outlines):
    before = node_ids()
    a_page.ui.applyButton.click()
    assert a_page.ui.applyButton.text == "Cancel" and a_page.ui.inputsCollapsibleButton.enabled is False
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert a_page.ui.statusLabel.text == "Cancelled." and node_ids() == before
    assert a_page.ui.inputsCollapsibleButton.enabled is True


def test_opening_a_slide_can_be_cancelled_too(a_page, a_slide):
    a_page._parameters.slideNode = None
    a_page.ui.slidePathLine.text = str(SAMPLES / "prostate_slide.ome.tif")
    before = node_ids()
    a_page.ui.openSlideButton.click()
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    settle()
    assert a_page.ui.statusLabel.text == "Cancelled." and node_ids() == before


def test_what_is_made_while_the_page_is_left_is_there_when_it_is_entered(a_page, outlines, errors_shown):
    a_page.ui.applyButton.click()
    a_page.exit()
    until(lambda: not a_page.panel.running, SECONDS)
    assert errors_shown == []
    a_page.enter()
    assert a_page._parameters.registration is not None and "Good" in a_page.ui.resultBrowser.toPlainText()


# ------------------------------------------------------------------------------------------------------------- by hand


def test_a_result_is_moved_by_hand_scored_and_taken_back(a_page, outlines, errors_shown, tmp_path):
    """T2 rows run to the patient's left: right on the screen is +x. The Dice of the move is foretold from the labels before it."""
    results = finished(a_page)
    labels, _, _ = exported(a_page, tmp_path / "before")
    first, start = results.transform, matrix_of(results.transform)
    a_page.ui.shiftSpinBox.value = 4.0
    a_page.ui.rightButton.click()
    moved = matrix_of(first) @ centre_of(first) - start @ centre_of(first)
    assert moved[:3] == pytest.approx((4, 0, 0), abs=1e-6) and "moved by hand" in a_page.ui.resultBrowser.toPlainText()
    again = finished(a_page, "scoreButton")
    gland = slicer.util.arrayFromSegmentBinaryLabelmap(a_page._parameters.mriMask, "Segment_1", outlines)[14] > 0
    before = (sitk.GetArrayFromImage(labels)[14] > 0).astype(float)
    foretold = dice(ndimage.shift(before, (0, 4 / 0.40625), order=1) > 0.5, gland)
    assert errors_shown == [] and again.facts["dice"] == pytest.approx(foretold, abs=0.01) and foretold < 0.9
    assert matrix_of(again.transform) == pytest.approx(matrix_of(first), abs=1e-6)
    assert (results.segmentation.GetDisplayNode().GetVisibility(), again.segmentation.GetDisplayNode().GetVisibility()) == (0, 1)
    a_page.ui.registrationSelector.setCurrentNode(first)
    assert (results.segmentation.GetDisplayNode().GetVisibility(), again.segmentation.GetDisplayNode().GetVisibility()) == (1, 0)
    a_page.ui.undoButton.click()
    assert matrix_of(first) == pytest.approx(start, abs=1e-9) and a_page.ui.undoButton.enabled is False


def test_each_button_moves_the_slide_as_it_says(a_page, a_slide):
    """The laid slide's upper left corner, from its middle and as seen: x right, y down, mm."""
    a_page.ui.layButton.click()
    transform = a_page._parameters.registration
    a_page.ui.turnSpinBox.value, a_page.ui.shiftSpinBox.value, a_page.ui.scaleSpinBox.value = 90.0, 3.0, 10.0
    screen = nodes.grid_from_node(a_slide).direction[:, :2]
    middle = (matrix_of(transform) @ centre_of(transform))[:3]
    x, y = _corner(transform, middle, screen)
    assert x < 0 and y < 0, "upright on the slice, as it is seen"
    expected = {
        "turnRightButton": (-y, x),
        "turnLeftButton": (y, -x),
        "mirrorButton": (-x, y),
        "leftButton": (x - 3, y),
        "rightButton": (x + 3, y),
        "upButton": (x, y - 3),
        "downButton": (x, y + 3),
        "largerButton": (1.1 * x, 1.1 * y),
        "smallerButton": (x / 1.1, y / 1.1),
    }
    for name, place in expected.items():
        getattr(a_page.ui, name).click()
        assert _corner(transform, middle, screen) == pytest.approx(place, abs=1e-6), name
        a_page.ui.undoButton.click()
    assert nudge.nudged(transform) == 0 and "not scored" in a_page.ui.resultBrowser.toPlainText()


def _corner(transform, middle, screen):
    return tuple(((matrix_of(transform) @ (0, 0, 0, 1))[:3] - middle) @ screen)


def test_points_set_on_both_lead_to_the_side_that_they_say(a_page, a_slide, errors_shown, scene):
    """Four corners of the picture, set on the MRI where a mirrored slide of 38 µm pixels would lie on slice 12."""
    mri, slide = nodes.grid_from_node(a_slide), a_page._parameters.slideNode
    gland = np.argwhere(slicer.util.arrayFromVolume(a_slide)[12]).mean(0)
    size = np.array(slide.GetImageData().GetDimensions()[:2])
    lists = [scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in ("on slide", "on MRI")]
    for corner in ((0, 0), (1, 0), (1, 1), (0, 1)):
        pixel = np.array(corner) * (size - 1)
        lists[0].AddControlPoint(nodes.RAS_TO_LPS[:3, :3] @ (nodes.affine_from_node(slide) @ (*pixel, 0, 1))[:3])
        offset = (pixel - size / 2) * 0.038 * (-1, 1) / mri.spacing_mm[:2]
        lists[1].AddControlPoint(nodes.RAS_TO_LPS[:3, :3] @ (mri.affine @ (*(gland[::-1] + offset), 12, 1))[:3])
    a_page.ui.slidePointsSelector.setCurrentNode(lists[0])
    a_page.ui.mriPointsSelector.setCurrentNode(lists[1])
    results = finished(a_page)
    assert errors_shown == [] and results.facts["orientation"]["chosen"] == "f0" and results.facts["dice"] > 0.93
    for node in lists:
        scene.RemoveNode(node)


def test_a_slide_laid_by_hand_is_started_from(a_page, a_slide, errors_shown):
    """Laid, mirrored: the registration keeps it mirrored, and finds the gland."""
    a_page.ui.layButton.click()
    a_page.ui.mirrorButton.click()
    a_page.ui.startHereCheckBox.checked = True
    assert "where it lies now" in a_page.ui.previewLabel.text
    results = finished(a_page)
    assert errors_shown == [] and results.facts["orientation"]["chosen"] == "f0" and results.facts["dice"] > 0.93


def test_an_earlier_result_takes_its_slide_back(a_page, a_slide):
    a_page.ui.layButton.click()
    first = a_page._parameters.registration
    a_page._parameters.slideNode = a_page.ui.slideSelector.currentNode()
    a_page.ui.layButton.click()
    second = a_page._parameters.registration
    slide = a_page._parameters.slideNode
    assert second is not first and slide.GetParentTransformNode() is second
    a_page.ui.registrationSelector.setCurrentNode(first)
    assert slide.GetParentTransformNode() is first


# -------------------------------------------------------------------------------------------------------------- errors


def test_landmarks_without_their_pairs_are_one_sentence(a_page, outlines, errors_shown, scene):
    before = node_ids()
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "on the slide")
    a_page.ui.slidePointsSelector.setCurrentNode(points)
    finished(a_page)
    (said,) = errors_shown
    assert "two lists" in said and said == a_page.ui.errorLabel.text and "\n" not in said
    scene.RemoveNode(points)
    assert node_ids() == before and a_page.ui.applyButton.enabled is True


def test_what_the_engine_refuses_is_one_sentence_and_leaves_nothing(a_page, outlines, errors_shown, tmp_path):
    """Slice 3 holds nothing of the gland; a cut file is no GeoJSON."""
    before = node_ids()
    a_page._parameters.slice = 3
    finished(a_page)
    assert len(errors_shown) == 1 and "slice" in errors_shown[0].lower() and "\n" not in errors_shown[0]
    cut = tmp_path / "cut.geojson"
    cut.write_bytes((SAMPLES / "prostate_outlines_D1D2D3D4.geojson").read_bytes()[:500])
    a_page._parameters.slice, a_page._parameters.slidePath, a_page._parameters.casePath = 14, str(cut), ""
    finished(a_page)
    assert len(errors_shown) == 2 and "not JSON" in errors_shown[1] and node_ids() == before


def test_export_without_a_folder_or_onto_a_file_is_one_sentence(a_page, a_slide, errors_shown, tmp_path):
    a_page.ui.layButton.click()
    a_page.ui.exportButton.click()
    assert errors_shown == ["no folder is chosen; choose where the files go."]
    (tmp_path / "file").write_text("")
    a_page.ui.exportPathLine.text = str(tmp_path / "file")
    a_page.ui.exportButton.click()
    assert len(errors_shown) == 2 and (tmp_path / "file").read_text() == ""


def test_libraries_are_offered_for_a_picture_and_not_for_outlines(a_page, outlines, errors_shown, monkeypatch):
    asked = []

    def refuse(requirements, requester):
        asked.append(dependencies.needed(requirements))
        raise DependencyError("declined", fix="allow it")

    monkeypatch.setattr(dependencies, "ensure", refuse)
    a_page.logic.start = lambda specification: StandInJob()
    a_page.ui.applyButton.click()
    assert asked == [] and a_page.panel.running
    a_page.panel.close()
    a_page.ui.slidePathLine.text = str(SAMPLES / "prostate_slide.ome.tif")
    a_page.ui.applyButton.click()
    assert [line.partition(">")[0] for line in asked[0]] == [
        "imagecodecs", "opencv-python-headless", "openslide-bin", "openslide-python", "tifffile",
    ]  # fmt: skip
    assert len(errors_shown) == 1 and "eclined" in errors_shown[0] and not a_page.panel.running


# -------------------------------------------------------------------------------------------------------------- export


def test_dicom_files_are_found_slice_by_slice_or_not_at_all(scene, monkeypatch, data_dir, tmp_path):
    import tarfile

    import pydicom
    from MedSRLib.io import formats

    with tarfile.open(data_dir / "prostate/ProstateX-0218/t2_tra.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    known = {}
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        known[str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = str(path)
    mri = nodes.add_node(scene, formats.read(Path(next(iter(known.values()))).parent)[0], "T2")
    monkeypatch.setattr(slicer, "dicomDatabase", types.SimpleNamespace(fileForInstance=known.get), raising=False)
    assert dicom_sources.files_of(mri) == ()
    mri.SetAttribute(dicom_sources.UIDS, " ".join(sorted(known)))
    found = dicom_sources.files_of(mri)
    voxels = slicer.util.arrayFromVolume(mri)
    assert len(found) == 20 and all(np.array_equal(pydicom.dcmread(f).pixel_array, voxels[k]) for k, f in enumerate(found))
    exported_as_dicom_seg(scene, mri, found, tmp_path / "out")
    mri.SetAttribute(dicom_sources.UIDS, " ".join(sorted(known)[1:]))
    assert dicom_sources.files_of(mri) == (), "a slice without its file"


def exported_as_dicom_seg(scene, mri, found, folder):
    """Outlines on slice 7 of the series lie there in the file too, as pydicom reads it."""
    pytest.importorskip("highdicom")
    import pydicom

    grid = nodes.grid_from_node(mri)
    array = np.zeros(grid.shape, np.uint8)
    array[7, 100:140, 120:170] = 1
    transform = slide_transform.add_linear(scene, np.eye(4), "slide to T2")
    labels = segmentations.add_segmentation(scene, grid.with_(array=array), "outlines", (samples_pairs.GLAND,))
    transform.SetNodeReferenceID(registration_results.LABELS, labels.GetID())
    transform.SetNodeReferenceID(attributes.SOURCE_ROLE, mri.GetID())
    registration_export.export(registration_results.RegistrationResults(transform), folder)
    written = pydicom.dcmread(folder / "labels.dcm")
    (frame,) = written.PerFrameFunctionalGroupsSequence
    assert [s.SegmentLabel for s in written.SegmentSequence] == ["prostate"]
    position = pydicom.dcmread(found[7]).ImagePositionPatient
    assert [float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient] == pytest.approx([float(v) for v in position], abs=1e-3)
    assert np.array_equal(np.squeeze(written.pixel_array) > 0, array[7] > 0)


# --------------------------------------------------------------------------------------------------------- to look at


def test_the_page_looks_like_itself(a_page, outlines, tmp_path):
    """A picture for the eye is kept where MEDSR_SCREENSHOTS names a folder; here: nothing is cut off, nothing overlaps."""
    top, ui = a_page.parent, a_page.ui
    ui.handCollapsibleButton.collapsed = False
    top.resize(460, 1300)
    settle()
    folder = Path(os.environ.get("MEDSR_SCREENSHOTS", str(tmp_path)))
    assert top.grab().save(str(folder / "slicer_registration.png"))
    parts = [ui.inputsCollapsibleButton, ui.landmarksCollapsibleButton, ui.registrationCollapsibleButton, ui.advancedCollapsibleButton]
    parts += [ui.applyButton, ui.resultCollapsibleButton, ui.handCollapsibleButton, ui.logCollapsibleButton]
    tops = [QtWidgets.QWidget.mapTo(part, top, QtCore.QPoint(0, 0)).y() for part in parts]
    assert tops == sorted(tops) and len(set(tops)) == len(tops)
    for button in (ui.squaresButton, ui.tableButton, ui.openSlideButton, ui.mirrorButton):
        assert QtWidgets.QWidget.width(button) >= button.minimumSizeHint.width()
