"""Showing a result in Slicer's views; nothing happens where there are none (tests, batch runs)."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util

from ..scene import compare

BESIDE = ("Red", "Yellow")
"""Slice views of Slicer's side-by-side layout, from left to right."""


def show_volume(volume: Any, overlay: Any = None) -> None:
    """Put a volume behind all slice views, with its overlay ready but clear: `show_map`, or Slicer's slider, brings it in."""
    slicer.util.setSliceViewerLayers(background=volume, foreground=overlay, foregroundOpacity=0.0)


def show_beside(original: Any, volume: Any, overlay: Any = None) -> None:
    """Original and result side by side, zoomed to the result and moved together; without such views, the result alone."""
    layouts = slicer.app.layoutManager()
    if layouts is not None:
        layouts.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        slicer.app.processEvents()  # the views get their size
    views = compare.slice_views(slicer.mrmlScene)
    pair = [views[name] for name in BESIDE if name in views]
    if len(pair) < len(BESIDE):
        show_volume(volume, overlay)
        return
    compare.side_by_side(pair, original, volume, overlay)
    compare.zoom([view for view, _ in views.values()], volume)


def start_placing(roi: Any) -> None:
    """Let the next clicks in a slice view draw the box of a region node."""
    roi.RemoveAllControlPoints()
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    selection.SetReferenceActivePlaceNodeClassName(roi.GetClassName())
    selection.SetReferenceActivePlaceNodeID(roi.GetID())
    interaction = logic.GetInteractionNode()
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.Place)


def show_map(overlay: Any, shown: bool) -> None:
    """Lay a map over what the slice views show, or make it clear. Its colours are transparent where the image can be trusted."""
    slicer.util.setSliceViewerLayers(foreground=overlay, foregroundOpacity=1.0 if shown else 0.0)


def show_evaluation(table: Any, chart: Any = None) -> None:
    """Show a table node, and a plot beside it."""
    layouts = slicer.app.layoutManager()
    if layouts is None:
        return
    layouts.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotTableView)
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    selection.SetActiveTableID(table.GetID())
    logic.PropagateTableSelection()
    if chart is not None:
        selection.SetActivePlotChartID(chart.GetID())
        logic.PropagatePlotChartSelection()
