"""Showing a result in Slicer's views; nothing happens where there are none (tests, batch runs)."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util


def show_volume(volume: Any, overlay: Any = None) -> None:
    """Put a volume behind all slice views, with its overlay ready but clear: `show_map`, or Slicer's slider, brings it in."""
    slicer.util.setSliceViewerLayers(background=volume, foreground=overlay, foregroundOpacity=0.0)


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
