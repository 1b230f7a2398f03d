"""The page "MedSR" before a click, run under PySide6: the volume's task, the result foretold, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_medsr  # noqa: E402
import slicer  # noqa: E402
from ct_models import make_model  # noqa: E402
from MedSRLib.scene import attributes, nodes, regions, routing, samples  # noqa: E402
from MedSRLib.tasks import super_resolve_ct  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402
from page_medsr import PAGE, SLICES_PAGE, TINY, choose, finished  # noqa: E402
from pages import assert_fields_are_options, settle, under, until  # noqa: E402

no_models, a_page, a_ct, a_region = page_medsr.no_models, page_medsr.a_page, page_medsr.a_ct, page_medsr.a_region


# ------------------------------------------------------------------------------------------- parameters and options


def test_fields_limits_and_defaults_are_those_of_the_options():
    fields = PAGE.MedSRParameterNode.allParameters
    options = {f.name for f in dataclasses.fields(super_resolve_ct.Options)}
    assert set(PAGE.OPTION_NAMES) == options - {"roi"} and options <= set(fields) and fields["roi"].is_node
    assert_fields_are_options(PAGE.MedSRParameterNode, super_resolve_ct.Options, PAGE.OPTION_NAMES)
    assert list(PAGE.METHOD_LABELS) == list(super_resolve_ct.METHODS)
    task = next(a for a in fields["task"].annotations if hasattr(a, "choices"))
    assert list(task.choices) == list(PAGE.TASK_LABELS)


# ---------------------------------------------------------------------------------------------- routed by the volume


def test_without_a_volume_there_is_nothing_to_click(a_page):
    assert a_page.ui.applyButton.enabled is False and a_page.ui.previewLabel.text == "Choose a volume."
    assert a_page.ui.applyButton.text == "Super-resolve volume"


def test_a_ct_is_preselected_before_a_thicker_volume_and_routed_to_super_resolution(a_page, a_ct):
    samples.load_volume(RESOURCES)
    settle()
    assert a_page._parameters.inputVolume is a_ct and a_page.logic.task(a_page._parameters) == routing.CT
    assert "CT in HU" in a_page.ui.routeLabel.text
    assert a_page.ui.detailCollapsibleButton.visible is True and a_page.slices_ui.interpolationCollapsibleButton.visible is False


def test_a_click_on_a_thick_sliced_volume_interpolates_with_the_options_of_that_task(a_page, errors_shown):
    """The second click of the button: the other task, by its own module's options."""
    sample = samples.load_volume(RESOURCES)
    settle()
    assert a_page._parameters.inputVolume is sample and "thick" in a_page.ui.routeLabel.text
    assert a_page.ui.detailCollapsibleButton.visible is False and a_page.slices_ui.interpolationCollapsibleButton.visible is True
    slices = SLICES_PAGE.MedSRSliceInterpLogic().getParameterNode()
    slices.method, slices.factor = "linear", 2.0
    assert a_page.slices_ui.previewLabel.text == "20 slices of 5.00 mm → 39 of 2.50 mm, 19 new"
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running)
    assert errors_shown == []
    made = slicer.mrmlScene.GetFirstNodeByName("pig_cine interpolated")
    assert np.array_equal(slicer.util.arrayFromVolume(made)[::2], slicer.util.arrayFromVolume(sample))
    assert a_page.ui.statusLabel.text.endswith("Made pig_cine interpolated by: Linear.")


def test_a_volume_that_neither_task_serves_is_told_why(a_page, scene):
    nodes.add_node(scene, Volume(np.arange(729, dtype=np.int16).reshape(9, 9, 9)), "isotropic")
    settle()
    a_page._parameters.inputVolume = scene.GetFirstNodeByName("isotropic")
    said = a_page.ui.routeLabel.text
    assert "Neither task" in said and "not be HU" in said and "hardly more than the pixels" in said
    assert a_page.ui.applyButton.enabled is False


# ------------------------------------------------------------------------------------------------------ before Apply


def test_the_result_is_foretold_as_it_then_is(a_page, a_ct, a_region, errors_shown):
    """Dragged, the region foretells another result at once. By hand: 20 × 16 pixels become 160 × 128."""
    choose(a_page, method="bicubic", roi=a_region)
    assert a_page.ui.previewLabel.text.startswith("160 × 128 × 3 voxels, 0 MB, about 1 s")
    whole = a_region.GetSize()
    a_region.SetSize(whole[0] / 2, whole[1], whole[2])
    assert a_page.ui.previewLabel.text.startswith("80 × 128 × 3 voxels")
    a_page._parameters.slice_spacing_mm = 0.5
    assert a_page.ui.previewLabel.text.startswith("80 × 128 × 5 voxels")
    a_page._parameters.slice_spacing_mm = 0.0
    made = finished(a_page)
    assert errors_shown == [] and made.GetImageData().GetDimensions() == (80, 128, 3)


def test_a_region_of_no_use_is_told_before_the_click(a_page, a_ct, a_region):
    choose(a_page, method="bicubic", roi=a_region)
    a_region.SetCenter(5000, 0, 0)
    assert "lies outside the volume" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False
    a_region.SetSize(0, 10, 10)
    assert "no volume" in a_page.ui.previewLabel.text
    choose(a_page, roi=slicer.mrmlScene.AddNewNodeByClass(regions.NODE_CLASS, "new"))
    assert "has not been placed" in a_page.ui.previewLabel.text


def test_a_region_under_a_transform_is_taken_where_it_is_seen_or_refused(a_page, a_ct, a_region):
    choose(a_page, method="bicubic", roi=a_region)
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    x, y, _ = a_region.GetCenter()
    turn = [[c, -s, 0, x - c * x + s * y], [s, c, 0, y - s * x - c * y], [0, 0, 1, 0], [0, 0, 0, 1]]
    under(a_region, turn)
    assert a_page.ui.previewLabel.text.startswith("160 × 128 × 3 voxels")  # turned about its own middle: of the same size
    under(a_region, [[1, 0, 0.4, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert "shears" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    a_region.SetAndObserveTransformNodeID(warp.GetID())
    a_page.refresh()
    assert "the region is under a warping transform" in a_page.ui.previewLabel.text


def test_a_mask_of_no_use_is_told_before_the_click(a_page, a_ct):
    choose(a_page, method="bicubic")
    empty = nodes.add_node(
        slicer.mrmlScene, nodes.volume_from_node(a_ct).with_(array=np.zeros((16, 144, 144), np.uint8)), "empty", labels=True
    )
    elsewhere = nodes.add_node(slicer.mrmlScene, Volume(np.ones((16, 144, 144), np.uint8)), "elsewhere", labels=True)
    none = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "no segments")
    for node, told in ((empty, "the mask is empty"), (elsewhere, "not on the grid of thorax_ct"), (none, "has no segments")):
        a_page.ui.maskSelector.setCurrentNode(node)
        assert a_page._parameters.maskNode is node and told in a_page.ui.previewLabel.text
        assert a_page.ui.applyButton.enabled is False


def test_an_mri_is_not_given_to_a_ct_model_unless_any_modality_is_allowed(a_page, no_models):
    make_model(no_models, "tiny", **TINY)
    sample = samples.load_volume(RESOURCES)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    tree.SetItemAttribute(tree.CreateItem(tree.GetSceneItemID(), sample), "DICOM.Modality", "MR")
    settle()
    choose(a_page, task=routing.CT)
    assert a_page.ui.previewLabel.text == "The volume is MR, not CT in HU; give CT in HU, or allow Any modality."
    assert a_page.ui.applyButton.enabled is False
    a_page.ui.anyModalityCheckBox.checked = True
    assert a_page.ui.previewLabel.text.startswith("1408 × 1408 × 20 voxels") and a_page.ui.applyButton.enabled is True


def test_a_job_too_large_for_memory_is_refused_before_the_click(a_page, a_ct, monkeypatch):
    choose(a_page, method="bicubic")
    monkeypatch.setattr("MedSRLib.run.available_memory_bytes", lambda: 2**20)
    a_page.refresh()
    assert "of memory" in a_page.ui.previewLabel.text and a_page.ui.applyButton.enabled is False


def test_only_models_that_fit_are_offered_and_the_best_one_is_used(a_page, a_ct, a_region, no_models, errors_shown):
    """The sample has pixels of 0.78 mm. Of three models one is for coarser pixels, one is the default."""
    make_model(no_models, "coarse", valid_range={"text": "coarse", "modality": ["CT"], "pixel_mm": [2.0, 3.0]}, **TINY)
    a_page.refresh()
    assert "coarse was not made for this: the pixels are 0.781" in a_page.ui.previewLabel.text
    assert "coarse was not made" in a_page.ui.cardBrowser.toPlainText() and a_page.ui.applyButton.enabled is False
    make_model(no_models, "tiny", **TINY)
    make_model(no_models, "other", **TINY)
    a_page.refresh()
    combo = a_page.ui.modelComboBox
    assert [combo.itemData(i) for i in range(combo.count)] == ["", "tiny", "other"] and combo.currentText == "Default: tiny"
    a_page.ui.anyModalityCheckBox.checked = True
    assert {combo.itemData(i) for i in range(combo.count)} == {"", "tiny", "other", "coarse"}
    a_page.ui.anyModalityCheckBox.checked = False
    choose(a_page, roi=a_region, device="cpu")
    made = finished(a_page)
    assert errors_shown == [] and attributes.read(made)["model"] == "tiny"


def test_where_no_model_is_installed_the_page_says_so_and_bicubic_runs(a_page, a_ct, a_region):
    choose(a_page, roi=a_region)
    assert a_page.ui.previewLabel.text == "No model for this is installed: choose another method."
    assert a_page.ui.applyButton.enabled is False
    choose(a_page, method="bicubic")
    assert a_page.ui.applyButton.enabled is True and a_page.ui.modelComboBox.enabled is False


def test_a_region_is_placed_in_the_lung_by_a_click_and_when_it_is_made(a_page, a_ct):
    a_page.ui.placeRoiButton.click()
    placed = a_page._parameters.roi
    assert placed.GetSize() == pytest.approx((75, 75, 16))  # 96 pixels of 0.78125 mm, all 16 slices
    new = slicer.mrmlScene.AddNewNodeByClass(regions.NODE_CLASS, "by hand")
    a_page.ui.roiSelector._signals["nodeAddedByUser(vtkMRMLNode*)"].emit(new)
    assert list(new.GetCenter()) == pytest.approx(list(placed.GetCenter()), abs=1e-4) and new.GetSize() == pytest.approx(placed.GetSize())
    placed.SetCenter(0, 0, 0)
    a_page.ui.placeRoiButton.click()
    assert a_page._parameters.roi is placed and list(placed.GetCenter()) == pytest.approx(list(new.GetCenter()), abs=1e-4)


def test_draw_lets_the_next_clicks_make_the_box(a_page, a_ct):
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    selection = slicer.app.applicationLogic().GetSelectionNode()
    a_page.ui.drawRoiButton.click()
    drawn = a_page._parameters.roi
    assert drawn.GetNumberOfControlPoints() == 0 and selection.GetActivePlaceNodeID() == drawn.GetID()
    assert interaction.GetCurrentInteractionMode() == interaction.Place and interaction.GetPlaceModePersistence() == 0
