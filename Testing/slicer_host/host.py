"""One call that turns this process into a Slicer without windows."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("MedSR", "MedSRSliceInterp", "MedSRRegistration")


def install() -> Any:
    """Complete the `slicer` package and Qt; returns the application. Needs slicer-core and PySide6."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from . import application, parameters, pythonqt, sample_data, scripted

    app = application.install()
    if not hasattr(app, "qt_application"):
        app.qt_application = pythonqt.install()
        scripted.install()
        parameters.install()
        sample_data.install()
    return app


def load_module(name: str) -> tuple[ModuleType, Any]:
    """Import a module's file as Slicer does, and make its module object; returns (Python module, module object)."""
    import slicer

    from .application import Module
    from .scripted import ModuleParent

    path = ROOT / name / f"{name}.py"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        specification.loader.exec_module(module)
    python_module = sys.modules[name]
    made = getattr(python_module, name)(ModuleParent(str(path)))
    setattr(slicer.modules, name.lower(), Module(None, str(path)))
    return python_module, made
