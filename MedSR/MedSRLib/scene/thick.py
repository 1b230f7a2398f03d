"""Which of the loaded volumes is thick-sliced, and how a volume is sliced: from headers alone, no voxel is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import SlicePlan, default_spacing_mm, plan_slices, swap_axis, through_plane_axis
from .attributes import is_result
from .nodes import affine_from_node, grid_from_node

THICK_RATIO = 1.25
"""Least through-plane to in-plane spacing that is worth interpolating."""


@dataclass(frozen=True)
class Slicing:
    """axis: 0, 1, 2 for voxel axis i, j, k through the plane; count: slices; step_mm: between them; in_plane_mm: the finer spacing."""

    axis: int
    count: int
    step_mm: float
    in_plane_mm: float

    @property
    def ratio(self) -> float:
        """Through-plane over in-plane spacing."""
        return self.step_mm / self.in_plane_mm


def slicing(node: Any, axis: int | None = None) -> Slicing:
    """How a volume node is sliced along `axis`, or along its coarsest axis. Raises InputError where its geometry cannot be used."""
    spacing = np.linalg.norm(affine_from_node(node)[:3, :3], axis=0)
    axis = int(np.argmax(spacing)) if axis is None else axis
    in_plane = min(s for i, s in enumerate(spacing) if i != axis)
    return Slicing(axis, int(node.GetImageData().GetDimensions()[axis]), float(spacing[axis]), float(in_plane))


def plan(node: Any, *, spacing_mm: float = 0.0, factor: float = 0.0, axis: str = "auto", allow_shear: bool = True) -> SlicePlan:
    """The slices that these options would give, by the engine's own rule, from the header alone.

    Raises OptionError or InputError where the engine would refuse.
    """
    hollow = grid_from_node(node)
    stack = swap_axis(hollow, through_plane_axis(hollow, axis))
    if stack.is_sheared and not allow_shear:
        what = "the axes are not at right angles (tilted gantry, or a transform that shears)"
        raise InputError(what, where=node.GetName(), fix="let it be straightened first (Advanced)")
    asked = spacing_mm or (stack.spacing_mm[2] / factor if factor else default_spacing_mm(stack))
    return plan_slices(stack, asked)


def thickest(scene: Any) -> Any | None:
    """The loaded scalar volume with the largest through-plane to in-plane ratio, or None where none is thick-sliced.

    Label volumes, hidden nodes, single slices, volumes under a warp and MedSR's own results are left out.
    """
    found = [(slicing(node).ratio, node) for node in candidates(scene)]
    found = [pair for pair in found if pair[0] >= THICK_RATIO]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def candidates(scene: Any) -> list[Any]:
    """Loaded scalar volumes that a task could take: what `thickest` chooses from."""
    nodes = [scene.GetNthNodeByClass(i, "vtkMRMLScalarVolumeNode") for i in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))]
    return [node for node in nodes if _usable(node)]


def _usable(node: Any) -> bool:
    if node.GetClassName() != "vtkMRMLScalarVolumeNode" or node.GetHideFromEditors() or is_result(node) or node.GetImageData() is None:
        return False
    parent = node.GetParentTransformNode()
    return min(node.GetImageData().GetDimensions()) > 1 and (parent is None or bool(parent.IsTransformToWorldLinear()))
