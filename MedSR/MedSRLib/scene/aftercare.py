"""After-care: what a result node needs so that it looks, sorts and tells of itself like the image it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer

from . import attributes

PROVENANCE_ROLE = "MedSR.provenance"


def dress(node: Any, source: Any, *, task: str, report: Mapping[str, Any], provenance: str = "") -> None:
    """Give a result the window, level and colours of its source, its place in the data tree, and its facts.

    task: the task's name. report: the task's report; "method", "model", "sha256" and "why" become attributes.
    provenance: the text of output.json, kept as a text node that the result refers to.
    """
    copy_display(node, source)
    describe(node, source, task=task, report=report, provenance=provenance)


def describe(node: Any, source: Any, *, task: str, report: Mapping[str, Any], provenance: str = "") -> None:
    """`dress` for a node that does not look like its source: its place in the data tree, and its facts."""
    place_beside(node, source)
    node.SetNodeReferenceID(attributes.SOURCE_ROLE, source.GetID())
    attributes.write(node, {"task": task, "source": source.GetName(), **_facts(report)})
    if provenance:
        _attach_text(node, provenance)


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """The short facts of a report, flat: a model given as a dictionary gives its id and sha256."""
    model = report.get("model")
    facts = {key: report.get(key) for key in ("method", "sha256", "why", "seconds", "version")}
    if isinstance(model, Mapping):
        facts.update(model=model.get("id"), sha256=model.get("sha256") or facts["sha256"])
    else:
        facts["model"] = model
    warnings = report.get("warnings") or ()
    return {**facts, "warnings": json.dumps(list(warnings)) if warnings else None}


def copy_display(node: Any, source: Any) -> None:
    """The same window, level, threshold and colour node as the source; a node without display gets one first."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    theirs, ours = source.GetDisplayNode(), node.GetDisplayNode()
    if theirs is None or ours is None or not hasattr(theirs, "GetWindow"):
        return
    # Automatic window and level would see the new histogram: two images side by side would no longer compare.
    ours.SetAutoWindowLevel(False)
    ours.SetWindowLevel(theirs.GetWindow(), theirs.GetLevel())
    ours.SetAndObserveColorNodeID(theirs.GetColorNodeID())
    ours.SetInterpolate(theirs.GetInterpolate())
    ours.SetApplyThreshold(theirs.GetApplyThreshold())
    if theirs.GetApplyThreshold():
        ours.SetThreshold(theirs.GetLowerThreshold(), theirs.GetUpperThreshold())


def place_beside(node: Any, source: Any) -> None:
    """Put the node under the same patient, study or folder of the data tree as its source."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    if tree is None:
        return
    invalid = tree.GetInvalidItemID()
    source_item = tree.GetItemByDataNode(source)
    parent = tree.GetItemParent(source_item) if source_item != invalid else tree.GetSceneItemID()
    item = tree.GetItemByDataNode(node)
    if item == invalid:
        tree.CreateItem(parent, node)
    else:
        tree.SetItemParent(item, parent)


def _attach_text(node: Any, text: str) -> None:
    scene = node.GetScene()
    holder = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(node.GetName() + " provenance"))
    holder.SetText(text)
    attributes.write(holder, {"task": "provenance"})
    node.SetNodeReferenceID(PROVENANCE_ROLE, holder.GetID())
    place_beside(holder, node)
