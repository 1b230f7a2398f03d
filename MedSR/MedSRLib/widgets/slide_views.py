"""A registration in Slicer's views: the layout that a way of looking needs; nothing happens where there are none (tests, batch runs)."""

from __future__ import annotations

from typing import Any

import slicer

from ..scene import compare, registration_views
from ..scene.registration_results import RegistrationResults
from .viewing import BESIDE

BLENDED, SIDE_BY_SIDE, SQUARES = "blended", "side by side", "squares"
FIRST = "Red"


def show(results: RegistrationResults, how: str, opacity: float) -> None:
    """how: BLENDED, SIDE_BY_SIDE or SQUARES. opacity: of the slide, where it is blended."""
    names = BESIDE if how == SIDE_BY_SIDE else (FIRST,)
    _lay_out(how == SIDE_BY_SIDE)
    found = compare.slice_views(slicer.mrmlScene)
    views = [found[name] for name in names if name in found]
    if results.mri is None:
        return
    if how == SIDE_BY_SIDE and len(views) == len(BESIDE):
        registration_views.side_by_side(views, results)
    elif how == SQUARES:
        registration_views.in_squares(views, results)
    else:
        registration_views.blended(views, results, opacity)


def _lay_out(beside: bool) -> None:
    layouts, node = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    if layouts is not None:
        layouts.setLayout(node.SlicerLayoutSideBySideView if beside else node.SlicerLayoutOneUpRedSliceView)
        slicer.app.processEvents()  # the views get their size


def set_opacity(slide: Any, opacity: float) -> None:
    """Of a slide that lies over its MRI in any view."""
    registration_views.set_opacity(list(compare.slice_views(slicer.mrmlScene).values()), slide, opacity)


def slice_shown(mri: Any) -> int | None:
    """The slice of an MRI that the first view shows; None without such a view."""
    view = compare.slice_views(slicer.mrmlScene).get(FIRST)
    return None if view is None or mri is None else registration_views.slice_in_view(view[0], mri)
