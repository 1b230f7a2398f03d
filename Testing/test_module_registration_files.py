"""The page "Register slide to MRI": areas by what was exported, positions that are bad, and what is refused before the click."""

from __future__ import annotations

import csv
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
from MedSRLib.scene import samples_pairs  # noqa: E402
from MedSRLib.scene.registration_results import RegistrationResults  # noqa: E402
from MedSRLib.scene.slide_transform import matrix_of  # noqa: E402
from pages import opened, settle, until  # noqa: E402
from slicer_host import host  # noqa: E402

PAGE, MODULE = host.load_module("MedSRRegistration")
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402

DATA = RESOURCES / "SampleData"


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


def ring_area(points) -> float:
    """Of a closed ring, in its own unit."""
    x, y = np.asarray(points, float).T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


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


def test_a_position_by_hand_is_scored_where_it_lies(slide_chosen):
    """Where it lies, not where a warp would bend it to; what the registration could not tell, its score cannot tell either."""
    page = slide_chosen
    page.ui.deformableCheckBox.checked = True
    found = register(page)
    assert found.warp is not None
    page.ui.shiftSpinBox.value = 10.0
    page.ui.leftButton.click()
    there = matrix_of(found.transform)
    scored = register(page, "scoreButton")
    assert np.allclose(matrix_of(scored.transform), there, atol=1e-6)
    assert scored.facts["dice"] < found.facts["dice"] - 0.15  # 10 of 35 mm
    assert scored.warp is None
    assert "scale" in found.facts["untold"] == scored.facts["untold"] and found.facts["untold"]["scale"] in scored.facts["reasons"]
    assert scored.facts["grade"] == "refused" and "Not to be believed" in page.ui.resultBrowser.toPlainText()


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
