"""The page "MedSR", run under PySide6: real MRML, real child process, stand-ins for ctk and qMRML widgets."""

from __future__ import annotations

import dataclasses
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

import slicer  # noqa: E402
from ct_models import make_model  # noqa: E402
from MedSRLib.io import formats  # noqa: E402
from MedSRLib.jobs_specification import Outcome  # noqa: E402
from MedSRLib.scene import attributes, nodes, region_default, regions, routing, samples, segmentations  # noqa: E402
from MedSRLib.tasks import super_resolve_ct  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from pages import APP, StandInJob, assert_fields_are_options, opened, settle, under, until  # noqa: E402
from slicer_host import host  # noqa: E402

SLICES_PAGE, _ = host.load_module("MedSRSliceInterp")
PAGE, MODULE = host.load_module("MedSR")
from MedSRLib.widgets import viewing  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402

MODEL_SECONDS = 240
"""A child that imports PyTorch is done within this time, on a busy machine too."""
TINY = {"width": 8, "depth": 1, "tail": (8, 8, 8)}


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    """A user's own folder of models, empty: what ships must not decide a test."""
    monkeypatch.setenv("MEDSR_MODELS", str(tmp_path))
    monkeypatch.setattr("MedSRLib.models.SHIPPED", tmp_path / "none")
    return tmp_path


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRWidget) as widget:
        yield widget


@pytest.fixture
def a_ct(scene):
    node = samples.load_ct(RESOURCES)
    settle()
    return node


@pytest.fixture
def a_region(a_ct):
    """20 × 16 pixels and 3 slices of the sample, voxels 60 to 79, 50 to 65 and 6 to 8: along its edges, no voxel in doubt."""
    return regions.add_roi(slicer.mrmlScene, regions.box_of_voxels(((6, 9), (50, 66), (60, 80)), nodes.grid_from_node(a_ct)), "Region")


def choose(page, **values):
    for name, value in values.items():
        setattr(page._parameters, name, value)


def finished(page):
    page.ui.applyButton.click()
    until(lambda: not page.panel.running, MODEL_SECONDS)
    return slicer.mrmlScene.GetFirstNodeByName("thorax_ct super-resolved")


def block_means(array):
    z, y, x = array.shape
    return array.reshape(z, y // 8, 8, x // 8, 8).mean(axis=(2, 4))


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


# ------------------------------------------------------------------------------------------------------------- Apply


def test_a_click_makes_the_region_eight_times_finer_where_it_lies(a_page, a_ct, a_region, errors_shown):
    """Consistent: averaged over 8 × 8 pixels the result is the scan, but for rounding."""
    a_ct.GetDisplayNode().SetAutoWindowLevel(False)
    a_ct.GetDisplayNode().SetWindowLevel(1500, -600)
    choose(a_page, method="bicubic", consistent=True, roi=a_region)
    made = finished(a_page)
    assert errors_shown == [] and made.GetImageData().GetDimensions() == (160, 128, 3)
    assert made.GetSpacing() == pytest.approx((0.78125 / 8, 0.78125 / 8, 1))
    scan = slicer.util.arrayFromVolume(a_ct)[6:9, 50:66, 60:80]
    assert np.abs(block_means(slicer.util.arrayFromVolume(made)) - scan).max() <= 0.5
    ends = nodes.affine_from_node(made) @ [[-0.5, 159.5], [-0.5, 127.5], [0, 2], [1, 1]]
    assert ends == pytest.approx(nodes.affine_from_node(a_ct) @ [[59.5, 79.5], [49.5, 65.5], [6, 8], [1, 1]], abs=1e-4)
    display = made.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (1500, -600)
    assert attributes.read(made)["task"] == "super_resolve_ct" and '"roi"' in made.GetNodeReference("MedSR.provenance").GetText()
    error = slicer.mrmlScene.GetFirstNodeByName("thorax_ct expected error")
    assert error.GetImageData().GetDimensions() == (160, 128, 3) and a_page.ui.showFidelityCheckBox.enabled is True
    assert a_page.ui.statusLabel.text.endswith("Made thorax_ct super-resolved by: Bicubic.")


def test_a_mask_limits_the_detail_of_a_model(a_page, a_ct, a_region, no_models, errors_shown):
    make_model(no_models, "tiny", **TINY)
    drawn = np.zeros((16, 144, 144), np.int16)
    drawn[:, :, 70:] = 1
    outline = segmentations.add_segmentation(slicer.mrmlScene, nodes.volume_from_node(a_ct).with_(array=drawn), "part")
    choose(a_page, method="bicubic", roi=a_region)
    plain = slicer.util.arrayFromVolume(finished(a_page)).astype(float)
    choose(a_page, method="model", device="cpu", maskNode=outline)
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running, MODEL_SECONDS)
    assert errors_shown == []
    made = [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if attributes.read(n).get("method") == "model"][-1]
    added = np.abs(slicer.util.arrayFromVolume(made) - plain)
    assert added[:, :, 88:].max() > 5 and added[:, :, :64].max() <= 1  # the mask begins at fine pixel 80; its edge is soft


def test_no_map_is_made_where_none_is_wanted_and_a_chosen_output_is_filled(a_page, a_ct, a_region):
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    choose(a_page, method="bicubic", roi=a_region, outputVolume=output, makeFidelity=False)
    assert finished(a_page) is None and output.GetImageData().GetDimensions() == (160, 128, 3)
    assert slicer.mrmlScene.GetFirstNodeByName("thorax_ct expected error") is None


def test_cancel_leaves_the_scene_as_it_was(a_page, a_ct, a_region, errors_shown):
    choose(a_page, method="bicubic", roi=a_region)
    before = slicer.mrmlScene.GetNumberOfNodes()
    a_page.ui.applyButton.click()
    assert a_page.ui.applyButton.text == "Cancel" and a_page.ui.detailCollapsibleButton.enabled is False
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running, 10)
    assert a_page.ui.statusLabel.text == "Cancelled." and errors_shown == []
    assert slicer.mrmlScene.GetNumberOfNodes() == before and a_page.ui.applyButton.text == "Super-resolve volume"


def test_a_region_that_is_gone_or_moved_meanwhile_does_not_matter(a_page, a_ct, a_region, errors_shown):
    """The job was given its place at the click."""
    choose(a_page, method="bicubic", roi=a_region)
    asked = regions.text_of_roi(a_region)
    job = StandInJob()
    a_page.logic.start = lambda specification: setattr(job, "specification", specification) or job
    a_page.ui.applyButton.click()
    slicer.mrmlScene.RemoveNode(a_region)
    assert job.specification.options["roi"] == asked and a_page._parameters.roi is None
    job.end(Outcome({"volume": job.specification.inputs["volume"]}, {"method": "bicubic"}, 1.0))
    until(lambda: not a_page.panel.running, 5)
    assert errors_shown == [] and slicer.mrmlScene.GetFirstNodeByName("thorax_ct super-resolved") is not None


def test_a_result_comes_though_the_page_was_left_meanwhile(a_page, a_ct, a_region, errors_shown):
    choose(a_page, method="bicubic", roi=a_region)
    a_page.ui.applyButton.click()
    a_page.exit()
    until(lambda: not a_page.panel.running)
    assert errors_shown == [] and slicer.mrmlScene.GetFirstNodeByName("thorax_ct super-resolved") is not None


@pytest.fixture
def a_view(scene):
    """Makes slice views as Slicer's layout does; Slicer keeps them when a scene is closed."""
    made = []

    def view(name):
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = getattr(slicer, kind)()
            node.SetLayoutName(name)
            made.append(scene.AddNode(node))
        made[-2].SetDimensions(400, 300, 1)
        made[-2].SetFieldOfView(400, 300, 1)
        return made[-2:]

    yield view
    for node in made:
        scene.RemoveNode(node)


def test_original_and_result_are_shown_side_by_side_at_the_region(a_page, a_ct, a_region, a_view, errors_shown, monkeypatch):
    layouts = []
    manager = type("Manager", (), {"setLayout": lambda self, layout: layouts.append(layout)})()
    monkeypatch.setattr(APP, "layoutManager", lambda: manager)
    (red, left), (yellow, right), (green, _) = (a_view(name) for name in ("Red", "Yellow", "Green"))
    choose(a_page, method="bicubic", roi=a_region)
    made = finished(a_page)
    assert errors_shown == [] and layouts == [slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView]
    assert (left.GetBackgroundVolumeID(), right.GetBackgroundVolumeID()) == (a_ct.GetID(), made.GetID())
    assert left.GetForegroundVolumeID() is None and right.GetForegroundOpacity() == 0.0
    assert left.GetLinkedControl() and right.GetLinkedControl()
    assert slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()) == pytest.approx(slicer.util.arrayFromVTKMatrix(yellow.GetSliceToRAS()))
    for view in (red, yellow, green):
        assert view.GetFieldOfView()[0] < 40  # the region is 15.6 × 12.5 × 3 mm
    x, y, _ = red.GetFieldOfView()
    assert x >= 20 * 0.78125 and y >= 16 * 0.78125 and x / y == pytest.approx(400 / 300)
    middle = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())[:3, 3]
    assert middle == pytest.approx(a_region.GetCenter(), abs=1e-3)


def test_the_page_follows_only_the_chosen_region_and_lets_go_of_it(a_page, a_ct, a_region):
    choose(a_page, roi=a_region)
    other = region_default.add_default_roi(slicer.mrmlScene, a_ct)
    choose(a_page, roi=other)
    assert [entry[0] for entry in a_page.Observations if entry[0] in (a_region, other)].count(a_region) == 0
    a_page.exit()
    assert not any(entry[0] is other for entry in a_page.Observations)


def test_settings_of_both_tasks_survive_leaving_the_page(a_page, a_ct, a_region):
    choose(a_page, roi=a_region, method="bicubic", tile=64)
    a_page.slices_ui.factorSpinBox.value = 3.0
    a_page.exit()
    a_page.enter()
    assert (a_page._parameters.roi, a_page._parameters.method, a_page._parameters.tile) == (a_region, "bicubic", 64)
    assert a_page.ui.tileSpinBox.value == 64 and a_page.slices_ui.factorSpinBox.value == 3.0
    assert SLICES_PAGE.MedSRSliceInterpLogic().getParameterNode().factor == 3.0


def test_the_result_alone_is_shown_where_there_are_no_two_views(a_view, a_ct):
    _, layers = a_view("Red")
    viewing.show_beside(a_ct, a_ct)
    assert layers.GetBackgroundVolumeID() == a_ct.GetID()


def test_a_lung_region_of_a_clinical_scan_is_super_resolved_from_the_page(a_page, data_dir, no_models, errors_shown):
    """LIDC-IDRI-0314, 52 slices: preselected, its region placed in the lung by the button, ×8, in HU, consistent with the scan."""
    make_model(no_models, "tiny", **TINY)
    (scan,) = formats.read(data_dir / "ct" / "lidc0314_mid")
    node = nodes.add_node(slicer.mrmlScene, scan, "chest")
    settle()
    a_page.ui.placeRoiButton.click()
    a_page._parameters.roi.SetSize(40 * 0.78125, 32 * 0.78125, 4.0)
    choose(a_page, device="cpu", consistent=True)
    a_page.ui.applyButton.click()
    until(lambda: not a_page.panel.running, MODEL_SECONDS)
    assert errors_shown == []
    made = slicer.mrmlScene.GetFirstNodeByName("chest super-resolved")
    fine = slicer.util.arrayFromVolume(made)
    first = np.rint(np.linalg.solve(scan.affine, nodes.affine_from_node(made) @ [3.5, 3.5, 0, 1])[:3]).astype(int)
    part = scan.array[
        first[2] : first[2] + fine.shape[0], first[1] : first[1] + fine.shape[1] // 8, first[0] : first[0] + fine.shape[2] // 8
    ]
    assert fine.shape == (4, 256, 320) and a_page._parameters.inputVolume is node
    assert np.abs(block_means(fine) - part).max() <= 0.5 and abs(fine.mean() - part.mean()) < 0.05
    assert -950 < part.mean() < -600  # lung
    assert attributes.read(made)["model"] == "tiny"
