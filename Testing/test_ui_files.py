"""The .ui files against the real classes' members, and against the tasks' Options."""

from __future__ import annotations

import dataclasses
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "MedSR")]

from MedSRLib.tasks import interpolate_slices, register_slide, super_resolve_ct  # noqa: E402
from slicer_host import ui_files  # noqa: E402

MODULES = ("MedSR", "MedSRSliceInterp", "MedSRRegistration")
SHARED = ROOT / "MedSR" / "Resources" / "UI"
FILES = [ROOT / module / "Resources" / "UI" / f"{module}.ui" for module in MODULES]
FILES += [SHARED / f"{part}.ui" for part in ("InterpolateSlices", "SuperResolveCt", "RegisterSlide", "Result", "SlideResult")]
TASKS = {"InterpolateSlices": interpolate_slices, "SuperResolveCt": super_resolve_ct, "RegisterSlide": register_slide}
BY_HAND = {"model", "roi", "transform_as"}
"""Options without a widget of their kind: the model's choices are known only at run time, the region is a node, and what a transform is
for is said by the button."""
BESIDE = {"RegisterSlide": {"startHere", "fusedPath"}}
"""Parameters among the options that are none."""
OPTIONS = [(part, f) for part, task in TASKS.items() for f in dataclasses.fields(task.Options) if f.name not in BY_HAND]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_slicer_would_load_the_page_as_it_was_meant(path):
    assert ui_files.check(path) == []


FAULTS = {
    "no widget class ctkFancySlider is known": ('class="QSpinBox"', 'class="ctkFancySlider"'),
    "qMRMLNodeComboBox has no property nodeType": ('name="nodeTypes"', 'name="nodeType"'),
    "QProgressBar has no property percentage": (
        'name="progressBar">\n     <property name="value">',
        'name="progressBar">\n     <property name="percentage">',
    ),
    "noneEnabled is a bool, not a string": (
        'name="noneEnabled">\n         <bool>true</bool>',
        'name="noneEnabled">\n         <string>true</string>',
    ),
    "roiSelector would never get the scene": ("<receiver>roiSelector</receiver>", "<receiver>inputSelector</receiver>"),
    "MedSR has no signal mrmlSceneChanged()": (
        "<signal>mrmlSceneChanged(vtkMRMLScene*)</signal>",
        "<signal>mrmlSceneChanged()</signal>",
    ),
    "inputSelector has no slot setScene(vtkMRMLScene*)": (
        "<slot>setMRMLScene(vtkMRMLScene*)</slot>",
        "<slot>setScene(vtkMRMLScene*)</slot>",
    ),
    "the root is a QWidget, not a qMRMLWidget": ('class="qMRMLWidget" name="MedSR"', 'class="QWidget" name="MedSR"'),
    "qMRMLNodeComboBox: the header is qMRMLNodeComboBox.h": ("<header>qMRMLNodeComboBox.h</header>", "<header>qMRMLComboBox.h</header>"),
    "two widgets are called statusLabel": ('name="errorLabel"', 'name="statusLabel"'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path):
    good, bad = FAULTS[fault]
    text = next(text for text in (path.read_text(encoding="utf-8") for path in FILES) if good in text)
    (tmp_path / "bad.ui").write_text(text.replace(good, bad, 1), encoding="utf-8")
    assert any(fault in found for found in ui_files.check(tmp_path / "bad.ui"))


@pytest.mark.parametrize("part", TASKS)
def test_every_option_has_a_widget_and_every_widget_an_option(part):
    assert set(ui_files.parameters(SHARED / f"{part}.ui")) == {f.name for p, f in OPTIONS if p == part} | BESIDE.get(part, set())


def test_the_other_parameters_are_on_the_pages_own_part_or_at_their_lower_end():
    own = {path.stem: set(ui_files.parameters(path)) for path in FILES}
    assert own["MedSRSliceInterp"] == {"inputVolume", "segmentation", "allFrames"}
    assert own["MedSR"] == {"inputVolume", "task", "allFrames", "roi"} and own["Result"] == {"outputVolume", "makeFidelity"}
    nodes = {"inputVolume", "slidePoints", "mriPoints"}  # three more selectors take several kinds, and are filled by the page
    assert own["MedSRRegistration"] == nodes | {"slidePath", "outlinesPath", "landmarksPath", "casePath"}
    assert own["SlideResult"] == {"registration", "exportPath", "referenceLandmarksPath"}


@pytest.mark.parametrize(("part", "option"), OPTIONS, ids=[f"{part}-{f.name}" for part, f in OPTIONS])
def test_a_widget_has_the_limits_default_choices_and_help_of_its_option(part, option):
    widget, meta = ui_files.parameters(SHARED / f"{part}.ui")[option.name], option.metadata
    assert meta["help"] in widget["toolTip"]
    if meta["choices"]:
        assert widget["class"] == "QComboBox" and widget["items"] == tuple(meta["choices"]) and option.default == widget["items"][0]
    elif isinstance(option.default, bool):
        assert widget["class"] == "QCheckBox" and widget.get("checked", False) is option.default
    elif isinstance(option.default, str):
        assert widget["class"] == "QLineEdit" and widget.get("text", "") == option.default
    else:
        assert widget["class"] == ("QSpinBox" if isinstance(option.default, int) else "QDoubleSpinBox")
        assert (widget["minimum"], widget["maximum"], widget["value"]) == (meta["minimum"], meta["maximum"], option.default)
        assert widget.get("suffix", "").strip() == meta["unit"]


@pytest.mark.parametrize(
    "parts",
    [
        ("MedSR", "SuperResolveCt", "Result"),
        ("MedSRSliceInterp", "InterpolateSlices", "Result"),
        ("MedSRRegistration", "RegisterSlide", "SlideResult"),
    ],
    ids=lambda p: p[0],
)
def test_no_name_stands_in_two_parts_of_a_page(parts):
    """They are looked up together."""
    named = [w.get("name") for path in FILES if path.stem in parts for w in ET.parse(path).getroot().iter("widget")]
    assert sorted(named) == sorted(set(named)) and len(named) > 20
