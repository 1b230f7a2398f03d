"""The table of tasks: one job, one file, one name on every door. Standard library only."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import OptionError

NAMES = (
    "interpolate_slices",
    "super_resolve_ct",
    "register_slide",
    "evaluate_slices",
    "evaluate_ct",
    "evaluate_registration",
    "transform_outlines",
)
"""Each is a module here with TITLE, VERB, SUMMARY, Options, INPUTS, OUTPUTS and a function of the module's own name."""


def load(name: str) -> ModuleType:
    """The task's module. Raises OptionError where there is no such task."""
    if name not in NAMES:
        raise OptionError(f"there is no task {name!r}", fix="use one of " + ", ".join(NAMES))
    return import_module(f".{name}", __package__)
