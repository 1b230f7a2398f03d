"""The .ui files against the real classes' members, and against the tasks' Options."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT / "MedSR")]

from MedSRLib.tasks import interpolate_slices  # noqa: E402
from slicer_host import ui_files  # noqa: E402

MODULES = ("MedSR", "MedSRSliceInterp", "MedSRRegistration")
PAGE = ROOT / "MedSRSliceInterp" / "Resources" / "UI" / "MedSRSliceInterp.ui"
OPTIONS = {f.name: f for f in dataclasses.fields(interpolate_slices.Options)}
BY_HAND = {"model"}
"""Options whose widget the page fills itself, as its choices are known only at run time."""


@pytest.mark.parametrize("module", MODULES)
def test_slicer_would_load_the_page_as_it_was_meant(module):
    assert ui_files.check(ROOT / module / "Resources" / "UI" / f"{module}.ui") == []


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
    "outputSelector would never get the scene": ("<receiver>outputSelector</receiver>", "<receiver>inputSelector</receiver>"),
    "MedSRSliceInterp has no signal mrmlSceneChanged()": (
        "<signal>mrmlSceneChanged(vtkMRMLScene*)</signal>",
        "<signal>mrmlSceneChanged()</signal>",
    ),
    "inputSelector has no slot setScene(vtkMRMLScene*)": (
        "<slot>setMRMLScene(vtkMRMLScene*)</slot>",
        "<slot>setScene(vtkMRMLScene*)</slot>",
    ),
    "the root is a QWidget, not a qMRMLWidget": ('class="qMRMLWidget" name="MedSRSliceInterp"', 'class="QWidget" name="MedSRSliceInterp"'),
    "qMRMLNodeComboBox: the header is qMRMLNodeComboBox.h": ("<header>qMRMLNodeComboBox.h</header>", "<header>qMRMLComboBox.h</header>"),
    "two widgets are called statusLabel": ('name="errorLabel"', 'name="statusLabel"'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path):
    good, bad = FAULTS[fault]
    text = PAGE.read_text(encoding="utf-8")
    assert good in text
    (tmp_path / "bad.ui").write_text(text.replace(good, bad, 1), encoding="utf-8")
    assert any(fault in found for found in ui_files.check(tmp_path / "bad.ui"))


def test_every_option_has_a_widget_and_every_widget_a_parameter():
    shown = ui_files.parameters(PAGE)
    assert set(OPTIONS) - BY_HAND <= set(shown)
    others = {"inputVolume", "segmentation", "outputVolume", "allFrames", "makeFidelity"}
    assert set(shown) == (set(OPTIONS) - BY_HAND) | others


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - BY_HAND))
def test_a_widget_has_the_limits_default_choices_and_help_of_its_option(name):
    option, widget = OPTIONS[name], ui_files.parameters(PAGE)[name]
    meta = option.metadata
    assert meta["help"] in widget["toolTip"]
    if meta["choices"]:
        assert widget["class"] == "QComboBox" and widget["items"] == tuple(meta["choices"]) and option.default == widget["items"][0]
    elif isinstance(option.default, bool):
        assert widget["class"] == "QCheckBox" and widget.get("checked", False) is option.default
    else:
        assert widget["class"] == ("QSpinBox" if isinstance(option.default, int) else "QDoubleSpinBox")
        assert (widget["minimum"], widget["maximum"], widget["value"]) == (meta["minimum"], meta["maximum"], option.default)
        assert widget.get("suffix", "").strip() == meta["unit"]


def test_pages_to_come_offer_nothing_to_run():
    text = (ROOT / "MedSRRegistration" / "Resources" / "UI" / "MedSRRegistration.ui").read_text(encoding="utf-8")
    assert "QPushButton" not in text and "later version" in text
