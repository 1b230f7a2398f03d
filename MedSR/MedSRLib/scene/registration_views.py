"""A registered slide in slice views: the MRI in one, the slide laid over it in the other; nothing here needs Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import compare
from .checkerboard import add_checkerboard
from .registration_results import RegistrationResults
from .slide_transform import centre_of, matrix_of


def show(views: Sequence[tuple[Any, Any]], results: RegistrationResults, opacity: float) -> None:
    """MRI in the first view, MRI and slide in the others, in the plane of the MRI's slices, at the slide, linked.

    views: (slice node, composite node) of each. opacity: of the slide, 0 to 1.
    """
    if results.mri is None:
        return
    for number, (_, layers) in enumerate(views):
        layers.SetBackgroundVolumeID(results.mri.GetID())
        layers.SetForegroundVolumeID(None if number == 0 or results.slide is None else results.slide.GetID())
    blend(views, results, opacity)
    compare.zoom([view for view, _ in views], results.mri)
    go_to([view for view, _ in views], results)


def blend(views: Sequence[tuple[Any, Any]], results: RegistrationResults, opacity: float, checkerboard: bool = False) -> None:
    """How opaque the slide is in all views but the first; or MRI and slide in turn, square by square, instead."""
    board = add_checkerboard(results) if checkerboard else None
    shown = board or results.slide
    for _, layers in views[1:]:
        layers.SetForegroundVolumeID(None if shown is None else shown.GetID())
        layers.SetForegroundOpacity(1.0 if board is not None else opacity)


def go_to(slice_nodes: Sequence[Any], results: RegistrationResults) -> None:
    """Move slice views to where the slide lies."""
    left, posterior, superior = (matrix_of(results.transform) @ centre_of(results.transform))[:3]
    for node in slice_nodes:
        node.JumpSliceByCentering(-left, -posterior, superior)
