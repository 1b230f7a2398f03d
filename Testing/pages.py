"""What the tests of every page use: a job that says what it is told to, Qt that works until something holds."""

from __future__ import annotations

import dataclasses
import time
from contextlib import contextmanager

import numpy as np
import slicer
from MedSRLib.errors import Cancelled
from slicer_host import host

APP = host.install()
WAIT_SECONDS = 60


@contextmanager
def opened(widget_class):
    """A page that is shown and entered, and goes away afterwards with all that it watches."""
    widget = widget_class()
    widget.parent.show()
    widget.enter()
    yield widget
    widget.cleanup()
    widget.parent.hide()
    for root in widget.roots:
        root.setMRMLScene(None)


def until(condition, seconds=WAIT_SECONDS):
    """Let Qt work until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        APP.processEvents()
        time.sleep(0.01)


def settle():
    for _ in range(3):
        APP.processEvents()


class StandInJob:
    """A job that says what a test tells it to say."""

    def __init__(self, *events, outcome=None, error=None):
        self.events, self._outcome, self._error = list(events), outcome, error
        self.finished, self.cancelled, self.waited = False, False, False

    def poll(self):
        events, self.events = self.events, []
        return events

    def cancel(self):
        self.cancelled = True
        self._error, self.finished = Cancelled(), True

    def wait(self, timeout=None):
        self.waited = True
        return True

    def end(self, outcome=None, error=None):
        self._outcome, self._error, self.finished = outcome, error, True

    def outcome(self):
        if self._error is not None:
            raise self._error
        return self._outcome


def under(node, matrix):
    """Put a volume under a linear transform."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(matrix, float)))
    node.SetAndObserveTransformNodeID(transform.GetID())


def assert_fields_are_options(parameters, options_class, names):
    """Type, default, limits and choices of each named field of a parameter node class are those of the task's option."""
    options = {f.name: f for f in dataclasses.fields(options_class)}
    for name in names:
        field, option = parameters.allParameters[name], options[name]
        assert (field.type, field.default) == (type(option.default), option.default), name
        limits = next((a for a in field.annotations if hasattr(a, "minimum")), None)
        choices = next((a for a in field.annotations if hasattr(a, "choices")), None)
        meta = option.metadata
        assert ((limits.minimum, limits.maximum) if limits else (None, None)) == (meta["minimum"], meta["maximum"]), name
        assert (tuple(choices.choices) if choices else ()) == tuple(meta["choices"]), name
