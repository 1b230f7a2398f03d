"""The page "Register slide to MRI" before a click, its samples, errors and looks, run under PySide6."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_registration  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.errors import DependencyError  # noqa: E402
from MedSRLib.scene import nodes  # noqa: E402
from MedSRLib.tasks import register_slide  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from MedSRLib.widgets import dependencies, files  # noqa: E402
from page_registration import PAGE, SAMPLES, STARTED, finished, node_ids  # noqa: E402
from pages import StandInJob, assert_fields_are_options, settle  # noqa: E402
from PySide6 import QtCore, QtWidgets  # noqa: E402

a_page, outlines, a_slide = page_registration.a_page, page_registration.outlines, page_registration.a_slide


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
    a_page.ui.casePathLine.text = str(SAMPLES / "prostate_case.json")
    assert "is laid on the slice that its description says, else the best of 9 slices, of T2." in a_page.ui.previewLabel.text
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
