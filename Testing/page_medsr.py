"""The page "MedSR" for its tests: opened without models of the user's own, and given the CT that ships."""

from __future__ import annotations

import pytest
import slicer
from MedSRLib.scene import nodes, regions, samples
from pages import opened, settle, until
from slicer_host import host

SLICES_PAGE, _ = host.load_module("MedSRSliceInterp")
PAGE, MODULE = host.load_module("MedSR")
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
