"""An evaluation as nodes: its CSV as a table, and a box of each method as a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vtk
import vtk.util.numpy_support

from ..errors import InputError
from .attributes import write

COLORS = ((0.12, 0.47, 0.71), (1.0, 0.5, 0.05), (0.17, 0.63, 0.17), (0.84, 0.15, 0.16), (0.58, 0.4, 0.74), (0.55, 0.34, 0.29))
BOX_HALF_WIDTH = 0.3


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """(column names, rows) of a CSV file. Raises InputError where it has no rows."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    if len(rows) < 2:
        raise InputError("the table is empty", where=str(path))
    return rows[0], rows[1:]


def add_table(scene: Any, columns: Sequence[str], rows: Sequence[Sequence[str]], name: str, task: str = "evaluate_slices") -> Any:
    """A new table node; a column of numbers becomes a numeric column, any other one text."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    table = vtk.vtkTable()
    for i, column in enumerate(columns):
        table.AddColumn(_column(column, [row[i] if i < len(row) else "" for row in rows]))
    node.SetAndObserveTable(table)
    write(node, {"task": task})
    return node


def add_records(scene: Any, records: Sequence[Mapping[str, Any]], name: str, task: str) -> Any:
    """A new table node of a report's rows, but for columns in which none has a value; None where there are no rows."""
    if not records:
        return None
    columns = [column for column in records[0] if any(row.get(column) is not None for row in records)]
    texts = [["" if row.get(column) is None else str(row[column]) for column in columns] for row in records]
    return add_table(scene, columns, texts, name, task)


def text_of(node: Any) -> str:
    """A table node as CSV; a cell without a number is empty, as it was in the file that was read."""
    table = node.GetTable()
    columns = range(table.GetNumberOfColumns())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table.GetColumnName(c) for c in columns])
    for row in range(table.GetNumberOfRows()):
        values = [table.GetValue(row, c) for c in columns]
        writer.writerow([v.ToString() if v.IsString() else "" if np.isnan(v.ToDouble()) else repr(v.ToDouble()) for v in values])
    return text.getvalue()


def _column(name: str, values: Sequence[str]) -> Any:
    try:
        array = vtk.util.numpy_support.numpy_to_vtk(np.array([float(v) if v != "" else np.nan for v in values]), deep=True)
    except ValueError:
        array = vtk.vtkStringArray()
        for value in values:
            array.InsertNextValue(value)
    array.SetName(name)
    return array


def groups(columns: Sequence[str], rows: Sequence[Sequence[str]], by: str, value: str) -> dict[str, np.ndarray]:
    """The numbers of column `value` for each text of column `by`, in order of appearance; cells that are not finite are left out."""
    for column in (by, value):
        if column not in columns:
            raise InputError(f"there is no column {column!r}", where="table")
    key, at = list(columns).index(by), list(columns).index(value)
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(float(row[at]) if row[at] else np.nan)
    kept = {name: np.array(values)[np.isfinite(values)] for name, values in found.items()}
    return {name: values for name, values in kept.items() if values.size}


def box_outline(place: float, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of one line that draws a box plot: whiskers at 1.5 quartile ranges (Tukey), box of quartiles, median across."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    reach = 1.5 * (high - low)
    bottom, top = values[values >= low - reach].min(), values[values <= high + reach].max()
    w = BOX_HALF_WIDTH
    path = [(0, bottom), (0, low), (-w, low), (-w, middle), (w, middle), (-w, middle), (-w, high), (0, high), (0, top)]
    path += [(0, high), (w, high), (w, low), (0, low)]
    x, y = np.array(path).T
    return place + x, y


def add_box_plot(scene: Any, numbers: Mapping[str, np.ndarray], title: str, axis: str) -> Any:
    """A plot chart node with one box for each entry of `numbers`. MRML has no box plot: each is one closed line."""
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(title))
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(title + " boxes"))
    table.SetHideFromEditors(True)
    for i, (name, values) in enumerate(numbers.items()):
        x, y = box_outline(i + 1.0, values)
        for column, data in ((f"{name} x", x), (name, y)):
            array = vtk.util.numpy_support.numpy_to_vtk(np.ascontiguousarray(data), deep=True)
            array.SetName(column)
            table.AddColumn(array)
        chart.AddAndObservePlotSeriesNodeID(_series(scene, table, name, i).GetID())
    _label(chart, title, axis, list(numbers))
    write(chart, {"task": "evaluate_slices"})
    return chart


def _series(scene: Any, table: Any, name: str, index: int) -> Any:
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(f"{name} x")
    series.SetYColumnName(name)
    series.SetPlotType(series.PlotTypeScatter)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetLineStyle(series.LineStyleSolid)
    series.SetLineWidth(2.5)
    series.SetColor(*COLORS[index % len(COLORS)])
    return series


def _label(chart: Any, title: str, axis: str, names: Sequence[str]) -> None:
    chart.SetTitle(title)
    chart.SetYAxisTitle(axis)
    chart.SetXAxisTitle("  ".join(f"{i + 1}: {name}" for i, name in enumerate(names)))
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(0.4, len(names) + 0.6)
    chart.SetLegendVisibility(True)
    chart.SetGridVisibility(True)
