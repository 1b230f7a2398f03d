"""What is wrong with a .ui file, found without Slicer: classes and properties it does not know, connections it would miss."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from .signatures import QT_CLASSES, REAL

NUMBERS = ("number", "double", "float")


def qt_properties(class_name: str) -> set[str]:
    """Property names of a Qt widget class, from Qt itself."""
    from PySide6 import QtWidgets

    meta = getattr(QtWidgets, class_name).staticMetaObject
    return {meta.property(i).name() for i in range(meta.propertyCount())}


def known_properties(class_name: str) -> dict[str, str]:
    """{property: type in a .ui file, "" where Qt knows it} of a class that may be used."""
    real = REAL.get(class_name)
    found = dict.fromkeys(qt_properties(real.base if real else class_name), "")
    return found | dict(real.properties if real else ())


def check(path: Path) -> list[str]:
    """Every fault as one sentence; an empty list for a file that Slicer would load as it was meant."""
    root = ET.parse(path).getroot()
    top = root.find("widget")
    widgets = {w.get("name"): w for w in root.iter("widget")}
    faults = [] if top.get("class") == "qMRMLWidget" else [f"the root is a {top.get('class')}, not a qMRMLWidget"]
    names = [w.get("name") for w in root.iter("widget")]
    faults += [f"two widgets are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    for name, widget in widgets.items():
        faults += _widget_faults(name, widget)
    return faults + _custom_faults(root, widgets) + _connection_faults(root, top, widgets)


def _widget_faults(name: str, widget: Any) -> list[str]:
    kind = widget.get("class")
    if kind not in REAL and kind not in QT_CLASSES:
        return [f"{name}: no widget class {kind} is known"]
    known, faults = known_properties(kind), []
    for item in widget.findall("property"):
        if item.get("stdset") == "0":
            continue  # a dynamic property, such as SlicerParameterName
        if item.get("name") not in known:
            faults.append(f"{name}: {kind} has no property {item.get('name')}")
        elif known[item.get("name")] and item[0].tag != known[item.get("name")]:
            faults.append(f"{name}: {item.get('name')} is a {known[item.get('name')]}, not a {item[0].tag}")
    return faults


def _custom_faults(root: Any, widgets: dict[str, Any]) -> list[str]:
    declared = {c.findtext("class"): c for c in root.iter("customwidget")}
    used = {w.get("class") for w in widgets.values()} & set(REAL)
    faults = [f"{kind} is used but not declared under customwidgets" for kind in sorted(used - set(declared))]
    for kind in sorted(used & set(declared)):
        if declared[kind].findtext("header") != REAL[kind].header:
            faults.append(f"{kind}: the header is {REAL[kind].header}")
        if REAL[kind].container and declared[kind].findtext("container") != "1":
            faults.append(f"{kind} holds other widgets: container must be 1")
    return faults


def _connection_faults(root: Any, top: Any, widgets: dict[str, Any]) -> list[str]:
    faults, fed = [], set()
    for wire in root.iter("connection"):
        sender, signal, receiver, slot = (wire.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
        for name in (sender, receiver):
            if name not in widgets:
                faults.append(f"a connection names {name}, which is not there")
        if sender in widgets and signal not in _members(widgets[sender].get("class"), "signals"):
            faults.append(f"{sender} has no signal {signal}")
        if receiver in widgets and slot not in _members(widgets[receiver].get("class"), "slots"):
            faults.append(f"{receiver} has no slot {slot}")
        if (sender, signal, slot) == (top.get("name"), "mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)"):
            fed.add(receiver)
    for name, widget in widgets.items():
        if widget is not top and "setMRMLScene(vtkMRMLScene*)" in _members(widget.get("class"), "slots") and name not in fed:
            faults.append(f"{name} would never get the scene: connect mrmlSceneChanged(vtkMRMLScene*) to its setMRMLScene")
    return faults


def _members(class_name: str, what: str) -> set[str]:
    """Signals or slots of a class, with signatures: from the table, and from Qt."""
    from PySide6 import QtCore, QtWidgets

    if class_name not in REAL and class_name not in QT_CLASSES:
        return set()
    real = REAL.get(class_name)
    meta = getattr(QtWidgets, real.base if real else class_name).staticMetaObject
    kind = QtCore.QMetaMethod.MethodType.Signal if what == "signals" else QtCore.QMetaMethod.MethodType.Slot
    found = {meta.method(i).methodSignature().data().decode() for i in range(meta.methodCount()) if meta.method(i).methodType() == kind}
    return found | set(getattr(real, what) if real else ())


def parameters(path: Path) -> dict[str, dict[str, Any]]:
    """{SlicerParameterName: {"widget", "class", "items", and its properties as Python values}}."""
    found = {}
    for widget in ET.parse(path).getroot().iter("widget"):
        properties = {p.get("name"): _value(p[0]) for p in widget.findall("property")}
        if "SlicerParameterName" in properties:
            items = tuple(i.findtext("property/string") for i in widget.findall("item"))
            facts = {"widget": widget.get("name"), "class": widget.get("class"), "items": items}
            found[properties["SlicerParameterName"]] = facts | properties
    return found


def _value(element: Any) -> Any:
    if element.tag == "bool":
        return element.text == "true"
    if element.tag in NUMBERS:
        return float(element.text)
    if element.tag == "stringlist":
        return [e.text for e in element]
    return element.text or ""
