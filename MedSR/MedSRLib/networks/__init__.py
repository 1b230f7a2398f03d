"""Networks by name: one file for each architecture, torch alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

NAMES = ("slice_autoencoder", "slice_refiner")


def build(name: str, **arguments: Any) -> nn.Module:
    """The network, with random weights. Raises KeyError for an unknown name, TypeError for arguments that do not fit."""
    if name == "slice_autoencoder":
        from .slice_autoencoder import SliceAutoencoder

        return SliceAutoencoder(**arguments)
    if name == "slice_refiner":
        from .slice_refiner import SliceRefiner

        return SliceRefiner(**arguments)
    raise KeyError(name)
