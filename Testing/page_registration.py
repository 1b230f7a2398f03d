"""The page "Register slide to MRI" for its tests: opened, given the pairs that ship, clicked, exported."""

from __future__ import annotations

import csv
import json

import pytest
import slicer
from MedSRLib.scene import registration_results, samples_pairs
from pages import APP, opened, settle, until
from slicer_host import host

pytest.importorskip("openslide")
sitk = pytest.importorskip("SimpleITK")
PAGE, MODULE = host.load_module("MedSRRegistration")
STARTED = APP.slots["startupCompleted()"][-1]
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402

SAMPLES = RESOURCES / "SampleData"
SECONDS = 300
"""A registration takes some five seconds on a free machine."""


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRRegistrationWidget) as widget:
        yield widget


@pytest.fixture
def outlines(a_page):
    """aaa0060 on the page: T2, gland on it, outlines of the slide of T2 slice 14, the case's description."""
    mri = samples_pairs.load_pair(RESOURCES, samples_pairs.OUTLINES)
    settle()
    return mri


@pytest.fixture
def a_slide(a_page):
    """aaa0043 on the page: the gland's mask alone, and a real slide that is open."""
    mri = samples_pairs.load_pair(RESOURCES, samples_pairs.SLIDE)
    settle()
    return mri


def node_ids():
    """All nodes of the scene but its data tree, which Slicer always has, and the tests once somebody asks for it."""
    found = (slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes()))
    return {node.GetID() for node in found if not node.IsA("vtkMRMLSubjectHierarchyNode")}


def finished(page, button="applyButton"):
    """Click, and wait for what was made; the results, None where there are none."""
    before = page._parameters.registration
    getattr(page.ui, button).click()
    until(lambda: not page.panel.running and (page._parameters.registration is not before or page.ui.errorLabel.text), SECONDS)
    made = page._parameters.registration
    return None if made is None else registration_results.RegistrationResults(made)


def exported(page, folder):
    """(gland and others in one layer on the MRI's grid as SimpleITK reads them, rows of the table, facts)."""
    page.ui.exportPathLine.text = str(folder)
    page.ui.exportButton.click()
    labels = sitk.ReadImage(str(folder / "labelmap.nii.gz"))
    with (folder / "dice.csv").open() as file:
        rows = {row["outline"]: row for row in csv.DictReader(file)}
    return labels, rows, json.loads((folder / "registration.json").read_text())
