"""The page "Register slide to MRI" measures its result: against RAPSODI's outlines of the same slice, recounted by SimpleITK."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
pytest.importorskip("openslide")

import page_registration  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.scene import nodes, nudge, segmentations, tables  # noqa: E402
from page_registration import SECONDS, exported, finished  # noqa: E402
from pages import until  # noqa: E402

a_page, outlines = page_registration.a_page, page_registration.outlines
LEFT, TOP = 40, 60
"""Columns and rows that the sample leaves out of aaa0060's T2."""
SLICE = 14


@pytest.fixture
def rapsodi(data_dir, outlines):
    """RAPSODI's gland (1) and cancer (2) on the sample's grid, as an array and as a segmentation node."""
    gland, cancer = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(data_dir / f"pairs/aaa0060/results/aaa0060_moved_region0{k}_label.nii.gz"))) > 0
        for k in (0, 1)
    )
    volume = nodes.volume_from_node(outlines)
    depth, rows, columns = volume.shape
    box = np.s_[:depth, TOP : TOP + rows, LEFT : LEFT + columns]
    labels = gland[box].astype(np.uint8)
    labels[cancer[box]] = 2
    labels = volume.with_(array=labels, meta={"segments": {1: "prostate", 2: "cancer"}})
    return labels.array, segmentations.add_segmentation(outlines.GetScene(), labels, "RAPSODI", segmentations.segments_of(labels))


def evaluated(page):
    """Click, wait; the rows of each new table, by the last word of its name."""
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLTableNode")}
    page.ui.evaluateButton.click()
    until(lambda: not page.panel.running, SECONDS)
    made = [node for node in slicer.util.getNodesByClass("vtkMRMLTableNode") if node.GetID() not in before]
    return {node.GetName().rpartition(" ")[2]: list(csv.DictReader(tables.text_of(node).splitlines())) for node in made}


def test_a_click_measures_the_result_as_table_nodes(a_page, outlines, rapsodi, errors_shown, tmp_path):
    assert not a_page.ui.evaluateButton.enabled
    finished(a_page)
    truth, node = rapsodi
    a_page.ui.referenceSelector.setCurrentNode(node)
    made = evaluated(a_page)
    assert errors_shown == [] and a_page.ui.errorLabel.text == "" and set(made) == {"evaluation", "summary"}
    rows = {row["outline"]: row for row in made["evaluation"]}
    labels = sitk.GetArrayFromImage(exported(a_page, tmp_path / "out")[0])
    for name, ours, theirs in (("prostate", labels > 0, truth > 0), ("cancer", labels == 2, truth == 2)):
        count = sitk.LabelOverlapMeasuresImageFilter()
        count.Execute(*(sitk.GetImageFromArray(mask[SLICE].astype(np.uint8)) for mask in (ours, theirs)))
        assert float(rows[name]["dice"]) == pytest.approx(count.GetDiceCoefficient(), abs=1e-6) and count.GetDiceCoefficient() > 0.6
        middles = [np.argwhere(mask[SLICE]).mean(0) for mask in (ours, theirs)]
        apart = np.linalg.norm(middles[0] - middles[1]) * 0.40625
        assert float(rows[name]["centroid_distance_mm"]) == pytest.approx(apart, abs=1e-3)
    means = {row["measure"]: float(row["mean"]) for row in made["summary"]}
    assert means["Dice, cancer"] == pytest.approx(float(rows["cancer"]["dice"]))


def test_names_that_do_not_agree_are_one_sentence_and_no_table(a_page, outlines, rapsodi, errors_shown):
    finished(a_page)
    node = rapsodi[1]
    for k, name in enumerate(("somewhere", "else")):
        node.GetSegmentation().GetNthSegment(k).SetName(name)
    a_page.ui.referenceSelector.setCurrentNode(node)
    assert evaluated(a_page) == {}
    assert "is named as one of the reference (somewhere, else)" in a_page.ui.errorLabel.text


def test_what_was_moved_by_hand_is_measured_with_a_warning(a_page, outlines, errors_shown):
    results = finished(a_page)
    nudge.nudge(results.transform, shift_mm=(5.0, 0.0))
    made = evaluated(a_page)
    assert [row["outline"] for row in made["evaluation"]] == ["prostate", "cancer"]
    assert "moved by hand" in a_page.ui.logText.plainText
