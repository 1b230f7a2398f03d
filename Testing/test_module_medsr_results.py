"""What a click on the page "MedSR" makes, run under PySide6: real MRML, real child process, stand-ins for ctk and qMRML widgets."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_medsr  # noqa: E402
import slicer  # noqa: E402
from ct_models import make_model  # noqa: E402
from MedSRLib.io import formats  # noqa: E402
from MedSRLib.jobs_specification import Outcome  # noqa: E402
from MedSRLib.scene import attributes, nodes, region_default, regions, segmentations  # noqa: E402
from MedSRLib.widgets import viewing  # noqa: E402
from page_medsr import MODEL_SECONDS, SLICES_PAGE, TINY, block_means, choose, finished  # noqa: E402
from pages import APP, StandInJob, settle, until  # noqa: E402

no_models, a_page, a_ct, a_region = page_medsr.no_models, page_medsr.a_page, page_medsr.a_ct, page_medsr.a_region


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
