"""What every slice method returns: the slices it made, and how far off it expects each voxel to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Synthesis:
    """Slices made between acquired ones.

    values: (m, h, w) float32, input units, one slice a target position.
    expected_error: (m, h, w) float32, expected |value - truth| of each voxel in input units; 0 at an acquired slice.
    gain: what a stack of ones becomes at each target, (m,), or 1 for all: another number where a method's weights do not sum to 1.
    """

    values: np.ndarray
    expected_error: np.ndarray
    gain: np.ndarray | float = 1.0
