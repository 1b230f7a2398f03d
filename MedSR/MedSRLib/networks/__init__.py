"""Networks by name: one file for each architecture, torch alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

SLICE_NAMES = ("slice_autoencoder", "slice_refiner")
"""Slices between slices: encode, pair, at (pairs.py)."""
CYCLE_NAMES = ("sr_cyclegan", "sr_unit", "cyclegan", "unit")
"""Two generators trained against each other without pairs; the first, clinical CT to micro-CT, is the network in use."""
CT_NAMES = (*CYCLE_NAMES, "ct_super_resolver")
"""forward: (n, slices, h, w) → (n, 1, 8h, 8w), both (HU + 1000) / 1000; attributes factor, slices, enlarged_input."""
MATCHER_NAMES = ("slide_matcher", "prosregnet")
"""forward: fixed and moving picture → θ (n, 2, 3), positions as in matching.py; dense(picture, "mri" or "slide") → features."""
FEATURE_NAMES = (*MATCHER_NAMES, "place_features")
"""dense(picture, "mri" or "slide") → features of each place."""
NAMES = (*SLICE_NAMES, *CT_NAMES, *FEATURE_NAMES, "dino_vit", "patch_discriminator", "degrader")


def build(name: str, **arguments: Any) -> nn.Module:
    """The network, with random weights. Raises KeyError for an unknown name, TypeError for arguments that do not fit."""
    if name not in NAMES:
        raise KeyError(name)
    if name in CYCLE_NAMES:
        return generators(name, **arguments)[0]
    file = import_module(f".{name}", __package__)
    return getattr(file, "".join(word.capitalize() for word in name.split("_")))(**arguments)


def generators(name: str, **arguments: Any) -> tuple[Any, Any]:
    """G1 (clinical CT to micro-CT, what `build` gives) and G2 (back), with random weights. Raises as `build` does."""
    if name not in CYCLE_NAMES:
        raise KeyError(name)
    return import_module(f".{name}", __package__).generators(**arguments)
