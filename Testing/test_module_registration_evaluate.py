"""The page "Register slide to MRI", button "Evaluate": real registrations and labels, figures counted again by SimpleITK and by hand."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("openslide")

import page_registration  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.scene import attributes, nodes, samples_pairs, segmentations  # noqa: E402
from MedSRLib.tasks.evaluate_registration import evaluate_registration  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402
from page_registration import SECONDS  # noqa: E402
from pages import StandInJob, settle, until  # noqa: E402

a_page = page_registration.a_page
SLICE = 14
MPP_MM = 0.0072
CROPPED = np.s_[:, 60:300, 40:280]
"""The sample's part of aaa0060's T2."""
POINTS_PX = np.array([[900.0, 800.0], [2600, 1100], [1800, 2700]])
AT_VOXELS = np.array([[95.0, 100.0], [150, 105], [120, 150]])
"""Where landmarks of the slide are said to lie on slice 14 of the MRI: anywhere, as the error is what is counted."""


@pytest.fixture
def registered(a_page):
    """(page, MRI): aaa0060 of the samples, its slide's outlines laid on slice 14."""
    mri = samples_pairs.load_pair(RESOURCES, samples_pairs.OUTLINES)
    settle()
    click(a_page, "applyButton")
    return a_page, mri


def click(page, button: str) -> None:
    """Click, and wait for the end of the job."""
    getattr(page.ui, button).click()
    until(lambda: not page.panel.running, SECONDS)
    settle()


def node_names() -> list[str]:
    """Of all nodes but the data tree."""
    found = (slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes()))
    return sorted(node.GetName() or "" for node in found if not node.IsA("vtkMRMLSubjectHierarchyNode"))


def rows_of(node) -> list[dict[str, object]]:
    """The rows of a table node: {column: number or text}."""
    table = node.GetTable()
    columns = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
    cells = [[table.GetValueByName(row, c) for c in columns] for row in range(table.GetNumberOfRows())]
    return [{c: v.ToString() if v.IsString() else v.ToDouble() for c, v in zip(columns, row, strict=True)} for row in cells]


def tables(page) -> tuple[list[dict], dict[str, float]]:
    """(rows of the table of outlines, {measure: mean})."""
    name = f"{page._parameters.registration.GetName()} evaluation"
    table, summary = (slicer.mrmlScene.GetFirstNodeByName(n) for n in (name, f"{name} summary"))
    assert page.ui.errorLabel.text == "" and table is not None and f"Filled the table {name}." in page.ui.statusLabel.text
    for node in (table, summary):
        assert node.GetNodeReference(attributes.SOURCE_ROLE) is page._parameters.registration
    return rows_of(table), {row["measure"]: row["mean"] for row in rows_of(summary)}


def exported(page, folder: Path) -> Path:
    page.ui.exportPathLine.text = str(folder)
    page.ui.exportButton.click()
    return folder


def overlap(ours: np.ndarray, truth: np.ndarray) -> float:
    """Dice as SimpleITK counts it."""
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (ours, truth)))
    return measures.GetDiceCoefficient()


def landmarks(mri, path: Path) -> np.ndarray:
    """Write the file of landmarks; returns (3, 3) LPS mm."""
    voxels = np.column_stack([AT_VOXELS, np.full(3, SLICE), np.ones(3)])
    patient = (voxels @ nodes.grid_from_node(mri).affine.T)[:, :3]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("slide_x", "slide_y", "lps_x", "lps_y", "lps_z"), *np.hstack([POINTS_PX, patient]).tolist()])
    return patient


def errors_mm(transform: Path, patient: np.ndarray) -> np.ndarray:
    """Distances by the exported transform, which SimpleITK reads as patient to slide: both points lie in the slice's plane."""
    to_patient = sitk.ReadTransform(str(transform)).GetInverse()
    found = [to_patient.TransformPoint((x * MPP_MM, y * MPP_MM, 0.0)) for x, y in POINTS_PX]
    return np.linalg.norm(np.array(found) - patient, axis=1)


def true_labels(mri, data_dir: Path):
    """(segmentation node of what RAPSODI's registration found, its gland, its cancer on slice 14)."""
    folder = data_dir / "pairs/aaa0060/results"
    files = [folder / f"aaa0060_moved_region0{n}_label.nii.gz" for n in (0, 1)]
    gland, cancer = (sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[CROPPED] > 0 for file in files)
    volume = nodes.grid_from_node(mri).with_(array=(gland * 1 + (gland & cancer)).astype(np.uint8))
    names = [segmentations.Segment(i, f"Segment_{i}", name, (1.0, 0.5, 0.0)) for i, name in ((1, "Prostate"), (2, "cancer"))]
    return segmentations.add_segmentation(slicer.mrmlScene, volume, "by RAPSODI", names), gland[SLICE], (gland & cancer)[SLICE]


def test_outlines_and_landmarks_are_measured_as_simpleitk_measures_them(registered, errors_shown, data_dir, tmp_path):
    page, mri = registered
    node, gland, cancer = true_labels(mri, data_dir)
    patient = landmarks(mri, tmp_path / "points ü.csv")
    page.ui.trueLabelsSelector.setCurrentNode(node)
    page.ui.referenceLandmarksPathLine.text = str(tmp_path / "points ü.csv")
    click(page, "evaluateButton")
    (first, second), means = tables(page)
    folder = exported(page, tmp_path / "out")
    ours = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.seg.nrrd")))[SLICE]
    drawn, spot = ours[..., 0] == 1, ours[..., 1] == 2
    assert errors_shown == [] and (first["outline"], second["outline"]) == ("prostate", "cancer")
    assert first["dice"] == pytest.approx(overlap(drawn, gland), abs=1e-6) and first["dice"] > 0.9
    assert second["dice"] == pytest.approx(overlap(spot, cancer), abs=1e-6) and 0.2 < second["dice"] < first["dice"]
    apart = [np.argwhere(mask).mean(0) for mask in (spot, cancer)]
    assert second["centroid_distance_mm"] == pytest.approx(np.linalg.norm(apart[0] - apart[1]) * mri.GetSpacing()[0], abs=1e-4)
    away = errors_mm(folder / "transform.h5", patient)
    assert first["landmark_median_mm"] == pytest.approx(np.median(away), abs=1e-3)
    assert first["landmark_max_mm"] == pytest.approx(away.max(), abs=1e-3) and first["folded_share"] == 0
    assert means["Dice, cancer"] == pytest.approx(second["dice"]) and means["landmarks, median error"] == first["landmark_median_mm"]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 0, "of one case a box says nothing"


def test_without_true_labels_the_mask_that_drove_is_named(registered, tmp_path):
    page, mri = registered
    click(page, "evaluateButton")
    (first, _), means = tables(page)
    ours = sitk.GetArrayFromImage(sitk.ReadImage(str(exported(page, tmp_path / "out") / "labels.seg.nrrd")))[SLICE, ..., 0] > 0
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(page._parameters.mriMask, "Segment_1", mri)[SLICE] > 0
    assert first["dice"] == pytest.approx(overlap(ours, mask), abs=0.005) and means["Dice, prostate"] == first["dice"]
    assert np.isnan(first["landmark_median_mm"]) and "landmarks, median error" not in means
    assert "against the mask that drove the registration" in page.ui.logText.toPlainText()


def test_it_is_measured_where_it_lies_now_and_told_what_is_older(registered, tmp_path):
    """Outlines stay until the position is scored, so their figures do; the landmarks' error is that of the moved slide."""
    page, mri = registered
    patient = landmarks(mri, tmp_path / "points.csv")
    before = errors_mm(exported(page, tmp_path / "before") / "transform.h5", patient)
    page.ui.shiftSpinBox.value = 6.0
    page.ui.rightButton.click()
    page.ui.referenceLandmarksPathLine.text = str(tmp_path / "points.csv")
    click(page, "evaluateButton")
    (first, _), _ = tables(page)
    after = errors_mm(exported(page, tmp_path / "after") / "transform.h5", patient)
    assert first["landmark_max_mm"] == pytest.approx(after.max(), abs=1e-3) and abs(after - before).max() > 1
    assert "moved by hand after the registration" in page.ui.logText.toPlainText()


def test_a_fused_picture_has_the_figures_that_the_command_finds_in_the_exported_folder(a_page, scene, tmp_path):
    """A real slide, fused at opacity 0: the MRI's own brightness, so inside the tissue nearly the MRI itself."""
    gland = samples_pairs.load_pair(RESOURCES, samples_pairs.SLIDE)
    settle()
    mask = nodes.volume_from_node(gland)
    y, x = np.indices(mask.array.shape[1:])
    waves = (400 + 300 * np.sin(x / 4.0) * np.cos(y / 5.0)).astype(np.int16)
    picture = mask.with_(array=np.broadcast_to(waves, mask.array.shape).copy())
    a_page.ui.inputSelector.setCurrentNode(nodes.add_node(scene, picture, "MRI / waves"))
    a_page.ui.maskSelector.setCurrentNode(gland)
    parameters = a_page._parameters
    parameters.slice, parameters.orientation, parameters.method, parameters.opacity = 12, "r0", "mask", 0.0
    click(a_page, "applyButton")
    click(a_page, "evaluateButton")
    rows, means = tables(a_page)
    expected = evaluate_registration(exported(a_page, tmp_path / "out"), mri=picture).table[0]
    for column in ("dice", "ssim", "ssim_tissue", "mi_bits", "mi_tissue_bits", "entropy_tissue_bits"):
        assert rows[0][column] == pytest.approx(expected[column], rel=1e-6), column
    assert rows[0]["ssim_tissue"] > 0.8 and means["SSIM, tissue"] == rows[0]["ssim_tissue"]
    assert 0 < rows[0]["mi_tissue_bits"] <= rows[0]["entropy_tissue_bits"] <= 6


def test_what_cannot_be_measured_is_one_sentence_and_leaves_nothing(registered, errors_shown, scene):
    page, mri = registered
    grid = nodes.grid_from_node(mri)
    box = np.zeros(grid.shape, np.uint8)
    box[SLICE, 100:140, 100:140] = 1
    elsewhere = nodes.add_node(scene, Volume(box, (1, 1, 4)), "elsewhere", labels=True)
    other = segmentations.add_segmentation(scene, grid.with_(array=box), "other", [segmentations.Segment(1, "a", "bladder", (1, 0, 0))])
    before = node_names()
    faults = {"does not lie on the MRI's grid": elsewhere, "is named as one of the reference (bladder)": other}
    for number, (said, node) in enumerate(faults.items(), 1):
        page.ui.trueLabelsSelector.setCurrentNode(node)
        click(page, "evaluateButton")
        assert len(errors_shown) == number and said in errors_shown[-1] and errors_shown[-1] == page.ui.errorLabel.text
    page.ui.trueLabelsSelector.setCurrentNode(None)
    page.ui.referenceLandmarksPathLine.text = "/nowhere/points.csv"
    click(page, "evaluateButton")
    assert errors_shown[-1].startswith("landmarks: /nowhere/points.csv: there is no such file") and node_names() == before


def test_a_slide_that_was_only_laid_by_hand_is_to_be_scored_first(a_page, errors_shown):
    assert a_page.ui.evaluateButton.enabled is False
    samples_pairs.load_pair(RESOURCES, samples_pairs.SLIDE)
    settle()
    a_page.ui.layButton.click()
    before = node_names()
    click(a_page, "evaluateButton")
    assert len(errors_shown) == 1 and "laid by hand" in errors_shown[0] and "score its position first" in errors_shown[0]
    assert node_names() == before


def test_it_can_be_cancelled_and_leaves_neither_nodes_nor_files(registered):
    page, _ = registered
    before, started = node_names(), []
    page.logic.start = lambda specification: started.append(specification) or StandInJob()
    page.ui.evaluateButton.click()
    (specification,) = started
    folder = Path(specification.inputs["registration"])
    assert (folder / "registration.json").is_file() and specification.task == "evaluate_registration"
    assert page.panel.running and page.ui.applyButton.text == "Cancel" and page.ui.resultCollapsibleButton.enabled is False
    page.ui.applyButton.click()
    until(lambda: not page.panel.running)
    assert node_names() == before and not folder.parent.exists() and page.ui.statusLabel.text == "Cancelled."


def test_the_group_is_closed_at_first_and_nothing_in_it_is_cut_off(a_page, tmp_path):
    """A picture for the eye is kept where MEDSR_SCREENSHOTS names a folder."""
    ui, top = a_page.ui, a_page.parent
    assert ui.evaluateCollapsibleButton.collapsed is True
    ui.evaluateCollapsibleButton.collapsed = False
    top.resize(460, 1300)
    settle()
    folder = Path(os.environ.get("MEDSR_SCREENSHOTS", str(tmp_path)))
    assert top.grab().save(str(folder / "slicer_registration_evaluate.png"))
    assert ui.evaluateButton.visible and ui.evaluateButton.minimumSizeHint.width() <= ui.evaluateButton.size.width()
