"""Of which modality a volume node is, as far as the scene knows."""

from __future__ import annotations

from typing import Any

import slicer

from ..io.series import MODALITY_KEY, is_modality
from .attributes import SOURCE_ROLE

HOUNSFIELD_UNITS = "[hnsf'U]"
"""UCUM code that Slicer's DICOM reader gives a CT volume as the unit of its values."""


def modality_of(node: Any) -> str:
    """ "CT", "MR", …: what DICOM says, or the unit of the values, or the node that it was made from; "" where nothing tells."""
    stated = _in_data_tree(node) or str(node.GetAttribute(MODALITY_KEY) or "")
    units = node.GetVoxelValueUnits()
    if not stated and units is not None and units.GetCodeValue() == HOUNSFIELD_UNITS:
        return "CT"
    source = node.GetNodeReference(SOURCE_ROLE)
    return stated or (modality_of(source) if source is not None and source is not node else "")


def state_modality(node: Any, modality: str) -> None:
    """Let a node say of which modality it is, where that is known."""
    if is_modality(modality):
        node.SetAttribute(MODALITY_KEY, modality)


def _in_data_tree(node: Any) -> str:
    """The modality of the DICOM series that the node is, or lies in."""
    scene = node.GetScene()
    # Looked for, not asked for by GetSubjectHierarchyNode, which would add one.
    tree = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode") if scene is not None else None
    if tree is None:
        return ""
    item = tree.GetItemByDataNode(node)
    if item == tree.GetInvalidItemID():
        return ""
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return str(tree.GetItemAttribute(item, name) or "")
