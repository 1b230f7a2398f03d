"""Sequences ⇄ frames: a cine is one sequence node in Slicer and a tuple of Volumes in a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from ..errors import InputError
from ..volume import Volume
from .nodes import affine_from_node, node_class, set_node, split_affine, volume_from_node


def sequence_of(node: Any) -> tuple[Any, Any] | None:
    """(browser, sequence) of the sequence whose current frame this node shows, or None for a volume of its own."""
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return None
    for i in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(i, "vtkMRMLSequenceBrowserNode")
        sequence = browser.GetSequenceNode(node)
        if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
            return browser, sequence
    return None


def frames_from_sequence(sequence: Any, proxy: Any = None) -> tuple[Volume, ...]:
    """One Volume a time point, in world space. The frames lie where `proxy`, the shown node, lies: under its parent transform.

    Raises InputError where a frame is not a volume or the frames have different grids.
    """
    placed = _placement(proxy)
    frames = tuple(_frame(sequence, i, placed) for i in range(sequence.GetNumberOfDataNodes()))
    if not frames:
        raise InputError("the sequence has no frames", where=sequence.GetName())
    if any(f.array.shape != frames[0].array.shape for f in frames):
        raise InputError("the frames have different sizes", where=sequence.GetName(), fix="interpolate them one at a time")
    return frames


def _placement(proxy: Any) -> np.ndarray:
    """4x4 LPS map of the transforms above the shown node."""
    if proxy is None or proxy.GetParentTransformNode() is None:
        return np.eye(4)
    bare = slicer.vtkMRMLScalarVolumeNode()
    bare.CopyOrientation(proxy)
    return affine_from_node(proxy) @ np.linalg.inv(affine_from_node(bare))


def _frame(sequence: Any, index: int, placed: np.ndarray) -> Volume:
    node = sequence.GetNthDataNode(index)
    if not node.IsA("vtkMRMLVolumeNode"):
        raise InputError("the sequence does not hold volumes", where=sequence.GetName())
    frame = volume_from_node(node, {"name": sequence.GetName()})
    return frame.with_(**split_affine(placed @ frame.affine))


Index = tuple[str, str, tuple[str, ...]]
"""What the frames of a sequence are counted by: (name, unit, the value of each frame)."""


def index_of(sequence: Any) -> Index:
    """The index of a sequence node."""
    values = tuple(sequence.GetNthIndexValue(i) for i in range(sequence.GetNumberOfDataNodes()))
    return sequence.GetIndexName() or "frame", sequence.GetIndexUnit() or "", values


def add_sequence(scene: Any, frames: Sequence[Volume], name: str, *, index: Index | None = None, browser: Any = None) -> tuple[Any, Any]:
    """A new sequence of `frames`, played by `browser` in step with what it plays already, or by a new browser.

    Returns (sequence, proxy): the proxy is the node that views show.
    """
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(f"{name} sequence"))
    title, unit, values = index or ("frame", "", tuple(str(i) for i in range(len(frames))))
    sequence.SetIndexName(title)
    sequence.SetIndexUnit(unit)
    for frame, value in zip(frames, values, strict=True):
        sequence.SetDataNodeAtValue(_data_node(frame, name), value)
    return sequence, _show(scene, sequence, browser, frames, name)


def _data_node(frame: Volume, name: str) -> Any:
    node = getattr(slicer, node_class(frame))()
    node.SetName(name)
    set_node(node, frame)
    return node


def _show(scene: Any, sequence: Any, browser: Any, frames: Sequence[Volume], name: str) -> Any:
    """Play the sequence in a browser; returns its proxy node, showing the browser's current frame."""
    if browser is None:
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", scene.GenerateUniqueName(name + " browser"))
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    else:
        browser.AddSynchronizedSequenceNode(sequence)
    proxy = browser.GetProxyNode(sequence) or browser.AddProxyNode(sequence.GetNthDataNode(0), sequence)
    set_node(proxy, frames[min(max(browser.GetSelectedItemNumber(), 0), len(frames) - 1)])
    proxy.SetName(scene.GenerateUniqueName(name))
    if proxy.GetDisplayNode() is None:
        proxy.CreateDefaultDisplayNodes()
    browser.SetOverwriteProxyName(sequence, False)
    return proxy
