"""Labels of one layer or several: an array (z, y, x), or (z, y, x, layer) where segments overlap.

A number names one segment, in whichever layer it lies. 0 is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .volume import Volume


def layers_of(labels: Volume) -> np.ndarray:
    """(z, y, x, layer) view of the numbers."""
    return labels.array if labels.array.ndim == 4 else labels.array[..., None]


def numbers_of(labels: Volume) -> list[int]:
    """The segments' numbers, ascending."""
    return [int(number) for number in np.unique(labels.array) if number]


def segment(labels: Volume, number: int) -> np.ndarray:
    """(z, y, x) bool."""
    return np.any(layers_of(labels) == number, axis=-1)


def flattened(labels: Volume) -> Volume:
    """The same in one layer, (z, y, x): where segments overlap, the one with the larger number."""
    return labels if labels.array.ndim == 3 else labels.with_(array=labels.array.max(axis=-1))


def layered(segments: Mapping[int, np.ndarray]) -> np.ndarray:
    """uint8 of {number: bool mask}, of the masks' shape, or with an axis of layers behind it where they overlap: as few as their order
    allows."""
    layers: list[np.ndarray] = []
    for number, inside in segments.items():
        free = next((layer for layer in layers if not layer[inside].any()), None)
        if free is None:
            free = np.zeros(inside.shape, np.uint8)
            layers.append(free)
        free[inside] = number
    return layers[0] if len(layers) == 1 else np.stack(layers, axis=-1)
