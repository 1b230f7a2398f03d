"""Gives a Python process that has this folder on PYTHONPATH the stand-in task `waits`, as if it were one of the library's."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def register() -> None:
    """Add the task to the table of this process."""
    sys.path.insert(0, str(FOLDER.parents[1] / "MedSR"))
    from MedSRLib import tasks

    name = "MedSRLib.tasks.waits"
    spec = importlib.util.spec_from_file_location(name, FOLDER / "waits.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if "waits" not in tasks.NAMES:
        tasks.NAMES += ("waits",)


register()
