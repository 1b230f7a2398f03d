"""The page "Interpolate slices" for its tests: opened, given the sample that ships, and a job that says what a test tells it to."""

from __future__ import annotations

from pathlib import Path

import pytest
from MedSRLib.scene import samples
from pages import APP, opened
from slicer_host import host

ROOT = Path(__file__).resolve().parents[1]
PAGE, MODULE = host.load_module("MedSRSliceInterp")
STARTED = APP.slots["startupCompleted()"][-1]
"""What this module does once Slicer has started; modules that are loaded later add theirs."""
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402


@pytest.fixture
def a_page(scene):
    with opened(PAGE.MedSRSliceInterpWidget) as widget:
        yield widget


@pytest.fixture
def a_sample(scene):
    return samples.load_volume(RESOURCES)


def with_stand_in(widget, job):
    widget.logic.start = lambda specification: setattr(job, "specification", specification) or job
    widget._parameters.method = "linear"
    return job
