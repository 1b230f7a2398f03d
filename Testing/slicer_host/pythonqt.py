"""`qt`, `ctk` and `slicer.qMRML…` on PySide6, with PythonQt's habits and the real classes' limits.

Qt properties are attributes (`label.text = "a"`), signals are connected by signature (`connect("clicked(bool)", f)`), an unknown
attribute or signature is an error, and a node selector gets its scene only by a connection in the .ui file: as in Slicer.
"""

from __future__ import annotations

import sys
import types
import xml.etree.ElementTree as ET
from functools import cache
from typing import Any

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Property

from .signatures import QT_CLASSES, REAL


@cache
def names_of(kind: type[QtCore.QObject]) -> frozenset[str]:
    """Names of the Qt properties of a class."""
    meta = kind.staticMetaObject
    return frozenset({meta.property(i).name() for i in range(meta.propertyCount())} | {"name"})


def property_names(widget: QtCore.QObject) -> frozenset[str]:
    return names_of(type(widget))


class Relay:
    """A connected slot. It is put out of action, not disconnected: PySide 6.12 frees the True that its disconnect returns."""

    def __init__(self, slot: Any) -> None:
        self.slot = slot

    def __call__(self, *values: Any) -> None:
        if self.slot is not None:
            self.slot(*values)


class PythonQt:
    """Mixin: what PythonQt makes of a QObject."""

    _real: Any = None  # its row in REAL, for ctk and qMRML classes

    def __getattribute__(self, name: str) -> Any:
        if name in ("connect", "disconnect"):
            return PythonQt.__dict__[name].__get__(self)
        if name[0] != "_" and name in property_names(self):
            return QtCore.QObject.property(self, "objectName" if name == "name" else name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] == "_" or Loader.working:  # QUiLoader names the children on their parent
            super().__setattr__(name, value)
        elif name in property_names(self):
            QtCore.QObject.setProperty(self, "objectName" if name == "name" else name, value)
        else:
            raise AttributeError(f"{type(self).__name__} has no property {name!r}")

    def _signal(self, signature: str) -> Any:
        normal = QtCore.QMetaObject.normalizedSignature(signature).data().decode()
        if self._real is not None and normal in self._real.signals:
            return self._signals[normal]
        foreign = self._real is not None and normal not in _qt_signals(self._real.base)
        if foreign or QtCore.QObject.metaObject(self).indexOfSignal(normal) < 0:
            raise ValueError(f"{type(self).__name__} has no signal {signature!r}")
        name, _, arguments = normal.partition("(")
        signal = super().__getattribute__(name)
        try:
            return signal[tuple(arguments[:-1].split(","))] if "," in arguments else signal
        except KeyError:
            return signal

    def connect(self, signature: str, slot: Any) -> bool:
        relay = Relay(slot)
        self._signal(signature).connect(relay)
        self._relays = [*getattr(self, "_relays", ()), (signature, relay)]
        return True

    def disconnect(self, signature: str, slot: Any) -> bool:
        for known, relay in getattr(self, "_relays", ()):
            if known == signature and relay.slot == slot:
                relay.slot = None
                return True
        raise ValueError(f"{type(self).__name__}: {signature!r} is not connected to this")


def _qt_signals(base: str) -> set[str]:
    meta = getattr(QtWidgets, base).staticMetaObject
    return {meta.method(i).methodSignature().data().decode() for i in range(meta.methodCount())}


class Listeners:
    """A signal of a stand-in: a list of callables."""

    def __init__(self) -> None:
        self.slots: list[Any] = []

    def connect(self, slot: Any) -> None:
        self.slots.append(slot)

    def disconnect(self, slot: Any) -> None:
        self.slots.remove(slot)

    def emit(self, *values: Any) -> None:
        for slot in list(self.slots):
            slot(*values)


def _start(widget: Any, class_name: str) -> None:
    widget._real = REAL[class_name]
    widget._signals = {signature: Listeners() for signature in REAL[class_name].signals}


class qMRMLWidget(PythonQt, QtWidgets.QWidget):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        _start(self, "qMRMLWidget")
        self._scene = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self._signals["mrmlSceneChanged(vtkMRMLScene*)"].emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class qMRMLNodeComboBox(PythonQt, QtWidgets.QWidget):
    """A QWidget, as the real one is, around a combo box that lists nodes of the real scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        _start(self, "qMRMLNodeComboBox")
        self._scene, self._observers, self._last = None, [], None
        self._values: dict[str, Any] = {"nodeTypes": [], "hideChildNodeTypes": [], "baseName": "", "noneDisplay": "None"}
        self._values |= dict.fromkeys(("showChildNodeTypes", "addEnabled", "removeEnabled", "selectNodeUponCreation"), True)
        self._values |= dict.fromkeys(("noneEnabled", "showHidden", "editEnabled", "renameEnabled"), False)
        self._box = QtWidgets.QComboBox(self)
        self._box.setObjectName("")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.currentIndexChanged.connect(lambda _: self._announce())

    def _value(name: str, kind: Any) -> Any:  # noqa: N805
        def write(self: Any, value: Any) -> None:
            self._values[name] = value
            self._fill()

        return Property(kind, lambda self: self._values[name], write)

    nodeTypes, hideChildNodeTypes = _value("nodeTypes", "QStringList"), _value("hideChildNodeTypes", "QStringList")
    baseName, noneDisplay = _value("baseName", str), _value("noneDisplay", str)
    noneEnabled, addEnabled, removeEnabled = _value("noneEnabled", bool), _value("addEnabled", bool), _value("removeEnabled", bool)
    editEnabled, renameEnabled, showHidden = _value("editEnabled", bool), _value("renameEnabled", bool), _value("showHidden", bool)
    showChildNodeTypes, selectNodeUponCreation = _value("showChildNodeTypes", bool), _value("selectNodeUponCreation", bool)
    del _value

    def _current_id(self) -> str:
        node = self.currentNode()
        return node.GetID() if node is not None else ""

    currentNodeID = Property(str, _current_id, lambda self, value: self.setCurrentNodeID(value))

    def setMRMLScene(self, scene: Any) -> None:
        for watched, tag in self._observers:
            watched.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent) if scene is not None else ()
        self._observers = [(scene, scene.AddObserver(event, lambda *_: self._fill())) for event in events]
        self._fill()

    def mrmlScene(self) -> Any:
        return self._scene

    def _fill(self) -> None:
        if self._scene is None:
            return
        current = self._last if self._last is not None and self._scene.IsNodePresent(self._last) else None
        self._box.blockSignals(True)
        self._box.clear()
        if self._values["noneEnabled"]:
            self._box.addItem(self._values["noneDisplay"], "")
        for node in self._listed():
            self._box.addItem(node.GetName(), node.GetID())
        wanted = self._box.findData(current.GetID()) if current is not None else 0
        self._box.setCurrentIndex(max(wanted, 0))
        self._box.blockSignals(False)
        self._announce()

    def _listed(self) -> list[Any]:
        found = []
        for kind in self._values["nodeTypes"]:
            for i in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(i, kind)
                hidden = node.GetHideFromEditors() and not self._values["showHidden"]
                unwanted = not self._values["showChildNodeTypes"] or node.GetClassName() in self._values["hideChildNodeTypes"]
                if not hidden and not (node.GetClassName() != kind and unwanted):
                    found.append(node)
        return found

    def _announce(self) -> None:
        node = self.currentNode()
        if node is self._last:
            return
        self._last = node
        self._signals["currentNodeChanged(vtkMRMLNode*)"].emit(node)
        self._signals["currentNodeChanged(bool)"].emit(node is not None)
        self._signals["currentNodeIDChanged(QString)"].emit(node.GetID() if node is not None else "")

    def currentNode(self) -> Any:
        data = self._box.currentData()
        return self._scene.GetNodeByID(data) if data and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        index = self._box.findData(node_id)
        self._box.setCurrentIndex(index if index >= 0 or not self._values["noneEnabled"] else 0)
        self._announce()

    def addNode(self) -> Any:
        name = self._scene.GenerateUniqueName(self._values["baseName"] or "node")
        node = self._scene.AddNewNodeByClass(self._values["nodeTypes"][0], name)
        self.setCurrentNode(node)
        return node

    def nodeCount(self) -> int:
        return len(self._listed())


class ctkCollapsibleButton(PythonQt, QtWidgets.QAbstractButton):
    """A header that shows and hides what lies below it."""

    HEADER = 24

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        _start(self, "ctkCollapsibleButton")
        self._collapsed = False
        QtWidgets.QWidget.setSizePolicy(self, QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)

    def _collapse(self, value: bool) -> None:
        self._collapsed = bool(value)
        layout = QtWidgets.QWidget.layout(self)
        if layout is not None:
            layout.setContentsMargins(*((0, self.HEADER, 0, 0) if self._collapsed else (9, self.HEADER + 6, 9, 9)))
        for child in QtCore.QObject.children(self):
            if isinstance(child, QtWidgets.QWidget):
                QtWidgets.QWidget.setVisible(child, not self._collapsed)
        QtWidgets.QWidget.updateGeometry(self)
        self._signals["contentsCollapsed(bool)"].emit(self._collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, _collapse)

    def _tidy(self) -> None:
        """Room for the header; called when the .ui file has been loaded."""
        self._collapse(self._collapsed)

    def sizeHint(self) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        if self._collapsed or layout is None:
            return QtCore.QSize(120, self.HEADER)
        return layout.sizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        return self.sizeHint()

    def heightForWidth(self, width: int) -> int:
        layout = QtWidgets.QWidget.layout(self)
        return self.HEADER if self._collapsed or layout is None else layout.totalHeightForWidth(width)

    def hasHeightForWidth(self) -> bool:
        return True

    def mousePressEvent(self, event: Any) -> None:
        if event.position().y() <= self.HEADER:
            self._collapse(not self._collapsed)

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        area = QtWidgets.QWidget.rect(self)
        palette = QtWidgets.QWidget.palette(self)
        header = QtCore.QRect(0, 0, area.width(), self.HEADER)
        painter.fillRect(header, palette.button())
        painter.setPen(palette.mid().color())
        painter.drawRect(area.adjusted(0, 0, -1, -1))
        painter.setPen(palette.buttonText().color())
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(header.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, f"{arrow}  {QtWidgets.QAbstractButton.text(self)}")


STAND_INS = {"qMRMLWidget": qMRMLWidget, "qMRMLNodeComboBox": qMRMLNodeComboBox, "ctkCollapsibleButton": ctkCollapsibleButton}


class Timer(PythonQt, QtCore.QTimer):
    pass


def make_modules() -> tuple[types.ModuleType, types.ModuleType]:
    """The modules `qt` and `ctk`."""
    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):
            if name[0] == "Q":
                setattr(qt, name, getattr(source, name))
    for name in QT_CLASSES:
        setattr(qt, name, type(name, (PythonQt, getattr(QtWidgets, name)), {}))
    qt.QTimer = Timer
    for name, stand_in in STAND_INS.items():
        if name.startswith("ctk"):
            setattr(ctk, name, stand_in)
    return qt, ctk


class Loader(QtUiTools.QUiLoader):
    """Makes stand-ins of the classes named in a .ui file; keeps them, as PySide would let them go."""

    working = False

    def __init__(self, qt: types.ModuleType) -> None:
        super().__init__()
        self.qt, self.kept = qt, []

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        if class_name not in STAND_INS and class_name not in QT_CLASSES:
            raise KeyError(f"no widget class {class_name!r} is known ({name})")
        made = STAND_INS.get(class_name) or getattr(self.qt, class_name)
        widget = made(parent)
        QtCore.QObject.setObjectName(widget, name)
        self.kept.append(widget)
        return widget


def load_ui(path: str) -> Any:
    """slicer.util.loadUI: widgets, then the connections that the file lists and no other."""
    tree = ET.parse(path)
    wires = tree.getroot().find("connections")
    if wires is not None:
        tree.getroot().remove(wires)
    data = QtCore.QByteArray(ET.tostring(tree.getroot()))
    buffer = QtCore.QBuffer(data)
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    loader = Loader(sys.modules["qt"])
    Loader.working = True
    try:
        root = loader.load(buffer)
    finally:
        Loader.working = False
    if root is None:
        raise RuntimeError(loader.errorString())
    root._loader = loader
    named = {QtCore.QObject.objectName(w): w for w in loader.kept}
    for wire in wires if wires is not None else ():
        sender, receiver = named[wire.findtext("sender")], named[wire.findtext("receiver")]
        sender.connect(wire.findtext("signal"), getattr(receiver, wire.findtext("slot").partition("(")[0]))
    for widget in loader.kept:
        if isinstance(widget, ctkCollapsibleButton):
            widget._tidy()
    return root


def child_widgets(root: Any) -> Any:
    """slicer.util.childWidgetVariables."""
    ui = types.SimpleNamespace()
    for widget in root._loader.kept:
        if QtCore.QObject.objectName(widget):
            setattr(ui, QtCore.QObject.objectName(widget), widget)
    return ui


def install() -> QtWidgets.QApplication:
    """Put qt and ctk in place; returns the Qt application."""
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(sys.argv[:1])
    if "qt" not in sys.modules or not hasattr(slicer, "qMRMLWidget"):
        sys.modules["qt"], sys.modules["ctk"] = make_modules()
        for name, stand_in in STAND_INS.items():
            if name.startswith("qMRML"):
                setattr(slicer, name, stand_in)
        slicer.util.loadUI, slicer.util.childWidgetVariables = load_ui, child_widgets
    return app
