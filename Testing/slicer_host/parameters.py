"""slicer.parameterNodeWrapper: typed fields over a vtkMRMLScriptedModuleNode, as strict as Slicer's about types and widgets."""

from __future__ import annotations

import json
import sys
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any

import slicer
import vtk


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within [{self.minimum}, {self.maximum}]")


@dataclass(frozen=True)
class Choice:
    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is not among {self.choices}")


@dataclass(frozen=True)
class Default:
    value: Any


@dataclass(frozen=True)
class Field:
    """One parameter: its plain type, what was annotated, its default."""

    name: str
    type: type
    annotations: tuple[Any, ...]
    default: Any

    def find(self, kind: type) -> Any:
        return next((a for a in self.annotations if isinstance(a, kind)), None)

    @property
    def is_node(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)

    def check(self, value: Any) -> None:
        if not self.is_node and type(value) is not self.type:
            raise TypeError(f"{self.name} takes {self.type.__name__}, not {type(value).__name__}")
        if self.is_node and value is not None and not isinstance(value, self.type):
            raise TypeError(f"{self.name} takes a {self.type.__name__}")
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)


SCALARS = {bool: False, int: 0, float: 0.0, str: ""}


def fields_of(cls: type) -> dict[str, Field]:
    """Read the class body the way Slicer's wrapper does: real types, never text."""
    found = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        if isinstance(cls.__annotations__[name], str):
            raise TypeError("the wrapper reads real types: no `from __future__ import annotations` in a module's file")
        plain, extra = (hint.__origin__, hint.__metadata__) if typing.get_origin(hint) is Annotated else (hint, ())
        field = Field(name, plain, extra, None)
        default = field.find(Default)
        value = cls.__dict__[name] if name in cls.__dict__ else default.value if default else None if field.is_node else SCALARS[plain]
        found[name] = Field(name, plain, extra, value)
        found[name].check(value)
    return found


def _property(field: Field) -> property:
    def read(self: Any) -> Any:
        if field.is_node:
            return self.parameterNode.GetNodeReference(field.name)
        return json.loads(self.parameterNode.GetParameter(field.name))

    def write(self: Any, value: Any) -> None:
        field.check(value)
        if field.is_node:
            self.parameterNode.SetNodeReferenceID(field.name, value.GetID() if value is not None else None)
        else:
            self.parameterNode.SetParameter(field.name, json.dumps(value))

    return property(read, write)


class Wrapper:
    """The members that Slicer's wrapper adds to a class."""

    allParameters: typing.ClassVar[dict[str, Field]]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._guis: dict[int, list[tuple[Any, Any]]] = {}
        self._tags: dict[int, int] = {}
        self._next_tag = 0
        self._updating = False
        for name, field in self.allParameters.items():
            if not field.is_node and not parameterNode.GetParameter(name):
                setattr(self, name, field.default)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, was: Any) -> None:
        self.parameterNode.EndModify(was)

    def connectGui(self, gui: Any) -> None:
        """Connect each widget that carries SlicerParameterName. Like Slicer's it returns no tag: such a GUI stays connected."""
        named = {widget.property("SlicerParameterName"): widget for widget in vars(gui).values()}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Connect {parameter: widget}; a widget that Slicer has no connector for fails. Returns the tag that disconnectGui takes."""
        unknown = sorted(set(mapping) - set(self.allParameters))
        if unknown:
            raise ValueError(f"Cannot find a param with the given name: {unknown[0]}")
        pairs = [(self.allParameters[name], Connector(widget, self.allParameters[name])) for name, widget in mapping.items()]
        tag = self._next_tag
        self._next_tag += 1
        self._guis[tag] = pairs
        for field, connector in pairs:
            connector.write(getattr(self, field.name))
            connector.connect(self._from_gui(field, connector))
        self._tags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        return tag

    def disconnectGui(self, tag: int) -> None:
        if tag not in self._guis:  # Slicer says nothing either
            return
        for _, connector in self._guis.pop(tag):
            connector.disconnect()
        # An observer that refers to its own node is a cycle: collected while the node lives on, VTK would call freed memory.
        self.RemoveObserver(self._tags.pop(tag))

    def _from_gui(self, field: Field, connector: Any) -> Any:
        def changed(*_: Any) -> None:
            if not self._updating:
                setattr(self, field.name, connector.read())

        return changed

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for pairs in self._guis.values():
                for field, connector in pairs:
                    connector.write(getattr(self, field.name))
        finally:
            self._updating = False


class Connector:
    """A widget and the field it shows: the widget classes and signals of Slicer's own connectors."""

    def __init__(self, widget: Any, field: Field) -> None:
        self.widget, self.field = widget, field
        kind = type(widget).__name__
        rules = {
            "QCheckBox": (bool, "toggled(bool)"),
            "QSpinBox": (int, "valueChanged(int)"),
            "QDoubleSpinBox": (float, "valueChanged(double)"),
            "QComboBox": (str, "currentIndexChanged(int)"),
            "QLineEdit": (str, "textChanged(QString)"),
            "qMRMLNodeComboBox": (None, "currentNodeChanged(vtkMRMLNode*)"),
        }
        if kind not in rules or (rules[kind][0] is not field.type if rules[kind][0] else not field.is_node):
            raise RuntimeError(f"Unable to create GUI connector from datatype '{field.type}' to widget type '{kind}'")
        self.kind, self.signal = kind, rules[kind][1]
        self._prepare()

    def _prepare(self) -> None:
        limits = self.field.find(WithinRange)
        if self.kind in ("QSpinBox", "QDoubleSpinBox") and limits is not None:
            self.widget.minimum, self.widget.maximum = limits.minimum, limits.maximum
        if self.kind == "QComboBox":
            if self.field.find(Choice) is None:
                raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
            self.widget.clear()
            for choice in self.field.find(Choice).choices:
                self.widget.addItem(str(choice))
        if self.kind == "qMRMLNodeComboBox":
            self.widget.nodeTypes = [self.field.type.__name__]

    def connect(self, callback: Any) -> None:
        self.callback = callback
        self.widget.connect(self.signal, callback)

    def disconnect(self) -> None:
        self.widget.disconnect(self.signal, self.callback)

    def read(self) -> Any:
        if self.kind == "QComboBox":
            return self.field.find(Choice).choices[self.widget.currentIndex]
        if self.kind == "qMRMLNodeComboBox":
            return self.widget.currentNode()
        return getattr(self.widget, {"QCheckBox": "checked", "QLineEdit": "text"}.get(self.kind, "value"))

    def write(self, value: Any) -> None:
        if self.kind == "QComboBox":
            self.widget.currentIndex = list(self.field.find(Choice).choices).index(value)
        elif self.kind == "qMRMLNodeComboBox":
            self.widget.setCurrentNode(value)
        else:
            setattr(self.widget, {"QCheckBox": "checked", "QLineEdit": "text"}.get(self.kind, "value"), value)


def parameterNodeWrapper(cls: type) -> type:
    """The class decorator."""
    fields = fields_of(cls)
    body = {name: _property(field) for name, field in fields.items()}
    return type(cls.__name__, (Wrapper,), {**body, "allParameters": fields, "__module__": cls.__module__, "__doc__": cls.__doc__})


def install() -> None:
    module = types.ModuleType("slicer.parameterNodeWrapper")
    for item in (parameterNodeWrapper, WithinRange, Choice, Default):
        setattr(module, item.__name__, item)
    sys.modules[module.__name__] = slicer.parameterNodeWrapper = module
