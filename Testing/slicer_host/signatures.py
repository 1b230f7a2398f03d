"""What the real ctk and qMRML classes offer, read from their C++ headers (CTK and Slicer main, 2026).

Qt's own classes need no table: PySide6 knows their signals and properties. A name that is in neither fails in the tests,
as it would in Slicer. To use another class or member, look it up in its header and add it here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Real:
    """base: the Qt class it derives from. signals, slots: normalized signatures. properties: (name, type in a .ui file)."""

    base: str
    header: str
    signals: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    slots: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    container: bool = False


REAL = {
    "qMRMLWidget": Real(
        base="QWidget",
        header="qMRMLWidget.h",
        signals=("mrmlSceneChanged(vtkMRMLScene*)",),
        slots=("setMRMLScene(vtkMRMLScene*)",),
        methods=("mrmlScene", "setMRMLScene"),
        container=True,
    ),
    "qMRMLNodeComboBox": Real(
        base="QWidget",
        header="qMRMLNodeComboBox.h",
        signals=(
            "currentNodeChanged(vtkMRMLNode*)",
            "currentNodeChanged(bool)",
            "currentNodeIDChanged(QString)",
            "nodeActivated(vtkMRMLNode*)",
            "nodeAdded(vtkMRMLNode*)",
            "nodeAddedByUser(vtkMRMLNode*)",
            "nodeAddedByUserAction(vtkMRMLNode*)",
            "nodeAboutToBeRemoved(vtkMRMLNode*)",
            "nodeAboutToBeEdited(vtkMRMLNode*)",
        ),
        properties=(
            ("currentNodeID", "string"),
            ("nodeTypes", "stringlist"),
            ("showHidden", "bool"),
            ("showChildNodeTypes", "bool"),
            ("hideChildNodeTypes", "stringlist"),
            ("baseName", "string"),
            ("noneEnabled", "bool"),
            ("addEnabled", "bool"),
            ("removeEnabled", "bool"),
            ("editEnabled", "bool"),
            ("renameEnabled", "bool"),
            ("interactionNodeSingletonTag", "string"),
            ("selectNodeUponCreation", "bool"),
            ("noneDisplay", "string"),
            ("sizeAdjustPolicy", "enum"),
        ),
        slots=("setMRMLScene(vtkMRMLScene*)", "setCurrentNode(vtkMRMLNode*)", "setCurrentNodeID(QString)"),
        methods=("mrmlScene", "setMRMLScene", "currentNode", "setCurrentNode", "setCurrentNodeID", "addNode", "nodeCount", "addAttribute"),
    ),
    "ctkCollapsibleButton": Real(
        base="QAbstractButton",
        header="ctkCollapsibleButton.h",
        signals=("contentsCollapsed(bool)",),
        properties=(
            ("collapsed", "bool"),
            ("collapsedHeight", "number"),
            ("contentsFrameShape", "enum"),
            ("contentsFrameShadow", "enum"),
            ("contentsLineWidth", "number"),
            ("contentsMidLineWidth", "number"),
            ("buttonTextAlignment", "set"),
            ("indicatorAlignment", "set"),
        ),
        container=True,
    ),
}

QT_CLASSES = (
    "QWidget",
    "QFrame",
    "QLabel",
    "QPushButton",
    "QToolButton",
    "QCheckBox",
    "QComboBox",
    "QSpinBox",
    "QDoubleSpinBox",
    "QProgressBar",
    "QPlainTextEdit",
    "QTextBrowser",
    "QGroupBox",
    "QLineEdit",
    "QSlider",
)
"""Qt classes that a .ui file may use: they exist under these names in Qt 5 and Qt 6, and PythonQt wraps them."""
