"""A slide moved by hand on the page "Register slide to MRI", by its buttons and by points, run under PySide6."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_registration  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.metrics import dice  # noqa: E402
from MedSRLib.scene import nodes, nudge  # noqa: E402
from MedSRLib.scene.slide_transform import centre_of, matrix_of  # noqa: E402
from page_registration import exported, finished  # noqa: E402
from scipy import ndimage  # noqa: E402

a_page, outlines, a_slide = page_registration.a_page, page_registration.outlines, page_registration.a_slide


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
