"""slicer.app, slicer.modules, slicer.mrmlScene: the application object over real MRML."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

import slicer
import slicer.util

LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
}


class Module:
    """What slicer.modules.<name> is: a logic and a path."""

    def __init__(self, logic: Any = None, path: str = "") -> None:
        self._logic, self.path = logic, path

    def logic(self) -> Any:
        return self._logic


class Signals:
    """Objects with signals that Python connects to by signature, and tests emit."""

    signatures: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.slots: dict[str, list[Callable[..., Any]]] = {}

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        if signature not in self.signatures:
            raise ValueError(f"{type(self).__name__} has no signal {signature!r}")
        self.slots.setdefault(signature, []).append(slot)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        self.slots[signature].remove(slot)
        return True

    def emit(self, signature: str, *values: Any) -> None:
        for slot in list(self.slots.get(signature, ())):
            slot(*values)


class ModuleManager(Signals):
    signatures = ("moduleAboutToBeUnloaded(QString)",)


class Application(Signals):
    """The part of qSlicerApplication that modules use."""

    signatures = ("startupCompleted()", "aboutToQuit()")
    applicationName = "SlicerHost"
    majorVersion, minorVersion = 5, 12

    def __init__(self) -> None:
        super().__init__()
        self.scene = slicer.vtkMRMLScene()
        self.temporaryPath = tempfile.mkdtemp(prefix="slicer_host_")
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(self.scene)
        self._logic.SetTemporaryPath(self.temporaryPath)
        colors = self._logic.GetColorLogic()  # before the volumes' logic, which asks for its nodes
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        self._logic.SetModuleLogic("Colors", colors)
        self.modules = types.SimpleNamespace()
        self._manager = ModuleManager()
        for name, class_name in LOGICS.items():
            self._add_logic(name, class_name)

    def _add_logic(self, name: str, class_name: str) -> None:
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(self._logic)
        logic.SetMRMLScene(self.scene)
        self._logic.SetModuleLogic(name, logic)
        setattr(self.modules, name.lower(), Module(logic))

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self.scene

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def layoutManager(self) -> None:
        return None

    def testingEnabled(self) -> bool:
        return True

    def commandOptions(self) -> Any:
        return types.SimpleNamespace(testingEnabled=True, noMainWindow=True)

    def processEvents(self) -> None:
        core = sys.modules.get("PySide6.QtCore")
        if core is not None:
            core.QCoreApplication.processEvents()

    def startupEnvironment(self) -> dict[str, str]:
        return dict(os.environ)


class ErrorLog(logging.Handler):
    """What slicer.util.errorDisplay said, in testing mode."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def install() -> Application:
    """Complete the `slicer` package once a process; returns its application."""
    existing = getattr(slicer, "app", None)
    if isinstance(existing, Application):
        return existing
    app = Application()
    slicer.app, slicer.mrmlScene, slicer.modules = app, app.scene, app.modules
    slicer.selfTests = {}
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text, *_: text
    i18n.translate = lambda _context, text: text
    sys.modules["slicer.i18n"] = slicer.i18n = i18n
    return app
