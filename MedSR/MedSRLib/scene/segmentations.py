"""Segmentation node ⇄ label Volume on the grid of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from ..errors import InputError
from ..volume import Volume
from ..volume_layers import flattened, layered, numbers_of
from ..volume_layers import segment as inside
from .nodes import add_node, volume_from_node

LABELMAP = "Binary labelmap"
DEFAULT_COLOUR = (230, 180, 51)


@dataclass(frozen=True)
class Segment:
    """label: its value in the label volume. id, name, color (r, g, b in 0..1): what the segmentation node calls it."""

    label: int
    id: str
    name: str
    color: tuple[float, float, float]


def labels_from_segmentation(node: Any, reference: Any) -> tuple[Volume, tuple[Segment, ...]]:
    """All segments as one label Volume (int16) on the grid of the volume node `reference`: label 1 is the first segment.

    Where segments overlap the later one wins, and the Volume's meta says so under "warnings".
    Raises InputError where the segmentation is empty or does not touch the volume.
    """
    ids = _segment_ids(node)
    labels = _there(node, _exported(node, ids, reference))
    overlap = node.GetSegmentation().GetNumberOfLayers(LABELMAP) > 1
    warnings = (f"{node.GetName()}: segments may overlap; where they do the later one was kept.",) if overlap else ()
    return labels.with_(meta={"warnings": warnings}), tuple(_describe(node, i + 1, name) for i, name in enumerate(ids))


def layers_from_segmentation(node: Any, reference: Any) -> Volume:
    """All segments on the grid of the volume node `reference`, in layers where they overlap there (volume_layers.py), with their names
    and colours. Raises InputError as labels_from_segmentation does."""
    ids = _segment_ids(node)
    drawn = [_exported(node, [name], reference) for name in ids]
    array = layered({label: one.array != 0 for label, one in enumerate(drawn, 1)})
    return named(_there(node, drawn[0].with_(array=array)), [_describe(node, i + 1, name) for i, name in enumerate(ids)])


def named(labels: Volume, segments: Sequence[Segment]) -> Volume:
    """The labels with what the files and the tasks know of segments: their names and colours."""
    colours = {s.label: tuple(round(255 * part) for part in s.color) for s in segments}
    return labels.with_(meta={"segments": {s.label: s.name for s in segments}, "segment_colours": colours})


def segments_of(labels: Volume) -> tuple[Segment, ...]:
    """The segments that a label Volume names."""
    names, colours = labels.meta.get("segments", {}), labels.meta.get("segment_colours", {})
    return tuple(
        Segment(label, f"Segment_{label}", str(name), tuple(part / 255 for part in colours.get(label, DEFAULT_COLOUR)))
        for label, name in names.items()
    )


def _there(node: Any, labels: Volume) -> Volume:
    """The labels. Raises InputError where there are none."""
    if not labels.array.any():
        raise InputError("the segmentation lies outside the volume", where=node.GetName(), fix="choose another one, or none")
    return labels


def _segment_ids(node: Any) -> list[str]:
    """Raises InputError where there are none."""
    ids = vtk.vtkStringArray()
    node.GetSegmentation().GetSegmentIDs(ids)
    if not ids.GetNumberOfValues():
        raise InputError("the segmentation has no segments", where=node.GetName(), fix="choose another one, or none")
    return [ids.GetValue(i) for i in range(ids.GetNumberOfValues())]


def _describe(node: Any, label: int, segment_id: str) -> Segment:
    segment = node.GetSegmentation().GetSegment(segment_id)
    return Segment(label, segment_id, segment.GetName(), tuple(segment.GetColor()))


def _exported(node: Any, ids: Sequence[str], reference: Any) -> Volume:
    """Segments 1, 2, … in the voxels of `reference`."""
    scene = node.GetScene()
    wanted = vtk.vtkStringArray()
    for name in ids:
        wanted.InsertNextValue(name)
    colours = _colour_tables(scene)
    scratch = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "MedSR scratch")
    try:
        export = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode
        if not export(node, wanted, scratch, reference, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY):
            raise InputError("its segments cannot be drawn on the volume's grid", where=node.GetName())
        labels = volume_from_node(scratch, {"name": node.GetName()})
    finally:
        _remove(scene, scratch)
        for table in _colour_tables(scene) - colours:  # the export makes one for the label map, which is gone
            scene.RemoveNode(scene.GetNodeByID(table))
    return labels.with_(array=labels.array.astype(np.int16))


def _colour_tables(scene: Any) -> set[str]:
    kind = "vtkMRMLColorTableNode"
    return {scene.GetNthNodeByClass(i, kind).GetID() for i in range(scene.GetNumberOfNodesByClass(kind))}


def _remove(scene: Any, scratch: Any) -> None:
    """Remove a label map with the display that it got."""
    display = scratch.GetDisplayNode()
    scene.RemoveNode(scratch)
    if display is not None and display.GetScene() is not None:
        scene.RemoveNode(display)


def add_segmentation(scene: Any, labels: Volume, name: str, segments: Sequence[Segment] = ()) -> Any:
    """A new segmentation node from a label Volume, of one layer or several; the segments keep the names and colours of `segments`."""
    known = {s.label: s for s in segments}
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    scratch = add_node(scene, flattened(labels), "MedSR scratch", labels=True)
    try:
        node.SetReferenceImageGeometryParameterFromVolumeNode(scratch)
        for label in sorted({*numbers_of(labels), *known}):
            _add_segment(node, scratch, labels, known.get(label, Segment(label, f"Segment_{label}", f"Segment {label}", (0.9, 0.7, 0.2))))
    finally:
        _remove(scene, scratch)
    return node


def _add_segment(node: Any, scratch: Any, labels: Volume, segment: Segment) -> None:
    node.GetSegmentation().AddEmptySegment(segment.id, segment.name, segment.color)
    slicer.util.updateVolumeFromArray(scratch, inside(labels, segment.label).astype(np.uint8))
    wanted = vtk.vtkStringArray()
    wanted.InsertNextValue(segment.id)
    if not slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(scratch, node, wanted):
        raise InputError("the labels cannot become a segment", where=segment.name)
