"""A first region for a volume: a modest box, in the lung where there is one, that is computed in about a minute."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer.util

from .. import lungs
from ..errors import InputError
from ..geometry_region import Box
from ..volume import Volume
from .nodes import grid_from_node
from .regions import add_roi, box_of_voxels
from .routing import why_not_ct

SIDE, SLICES = 96, 24
"""Pixels and slices of the box at most: about half a minute of the default network on two cores."""
COARSE_MM = 3.0
"""Lungs are looked for at about this spacing: a fraction of a second for any chest."""
NEARLY = 0.95
"""Of the most lung that a box can hold: among such boxes the one nearest to the middle is taken."""
NAME = "Region"


def add_default_roi(scene: Any, volume_node: Any, name: str = NAME) -> Any:
    """A new region node on a volume, along its voxels. Raises InputError under a warping transform."""
    return add_roi(scene, default_box(volume_node), name)


def default_box(volume_node: Any) -> Box:
    """Where a first region lies, in LPS mm: along the voxels, where the most lung is; in the middle of what is no chest CT."""
    grid = grid_from_node(volume_node)
    size = np.minimum((SLICES, SIDE, SIDE), grid.shape)
    middle = np.array(grid.shape) // 2 if why_not_ct(volume_node) else _most_lung(volume_node, grid, size)
    first = np.clip(middle - size // 2, 0, np.array(grid.shape) - size)
    return box_of_voxels(tuple(zip(first.tolist(), (first + size).tolist(), strict=True)), grid)


def _most_lung(volume_node: Any, grid: Volume, size: np.ndarray) -> np.ndarray:
    """Voxel (z, y, x) around which a box of that size holds the most lung, nearest to the middle; the middle where there is none."""
    from scipy.ndimage import uniform_filter

    steps = np.maximum(1, np.rint(COARSE_MM / np.array(grid.spacing_mm[::-1]))).astype(int)
    k, j, i = steps
    coarse = slicer.util.arrayFromVolume(volume_node)[::k, ::j, ::i]
    middle = np.array(grid.shape) // 2
    try:
        found = lungs.mask(coarse, tuple(float(s) for s in (np.array(grid.spacing_mm) * steps[::-1])))  # type: ignore[arg-type]
    except InputError:
        return middle
    share = uniform_filter(found.astype(np.float32), np.maximum(1, size // steps).tolist(), mode="constant")
    best = np.argwhere(share >= NEARLY * share.max()) * steps
    return best[np.abs((best - middle) * np.array(grid.spacing_mm[::-1])).sum(axis=1).argmin()]
