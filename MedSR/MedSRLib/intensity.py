"""Hounsfield units, or a scale of a model's own, as networks take them, and back; what padding is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PADDING_HU = -1500.0
"""Below this no tissue and no air is: what scanners and software write around the field of view (−2000, −3024, −32768)."""


@dataclass(frozen=True)
class Intensity:
    """What a network reads: (value − offset) / scale, never clamped; by default air is 0 and water 1.

    in_hu: whether the values are HU, where padding can be told by its value.
    """

    offset: float = -1000.0
    scale: float = 1000.0
    in_hu: bool = True
    unit: str = "HU"

    def read(self, values: np.ndarray) -> np.ndarray:
        """What the network is given, float32."""
        return (np.asarray(values, np.float32) - np.float32(self.offset)) / np.float32(self.scale)

    def written(self, values: np.ndarray) -> np.ndarray:
        """The way back from `read`."""
        return values * np.float32(self.scale) + np.float32(self.offset)


HOUNSFIELD = Intensity()
