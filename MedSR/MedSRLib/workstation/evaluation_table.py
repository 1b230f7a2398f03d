"""The report of an evaluation as the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

P_MEANS = "One-sided Wilcoxon test over the left-out slices: how likely it is that the default is no better than this method."
COLUMNS = (
    ("psnr_db", "PSNR [dB]", "{:.2f}", max, "Peak signal to noise against the left-out slices; higher is better."),
    ("ssim", "SSIM", "{:.3f}", max, "Structural similarity; 1 is identical."),
    ("vif", "VIF", "{:.3f}", max, "Visual information fidelity; higher is better."),
    ("snli", "SNLI", "{:.3f}", None, "Noise of a rebuilt slice against its acquired neighbours; 0 means that they look alike."),
    ("sharpness", "Sharpness", "{:.2f}", None, "Gradient energy against the left-out slice; 1 is as sharp, less is blurred."),
    ("departure_rms", "Departure (RMS)", "{:.2f}", min, "How far the result, averaged back to the scan's pixels, is from the scan."),
    ("departure_mean", "Mean shift", "{:+.2f}", None, "Mean of that departure, with its sign; 0 keeps the values."),
    (
        "power_0_0.5",
        "Power, coarse",
        "{:.2f}",
        None,
        "Power of the coarser half of what the scan can hold, against its own; 1 is equal.",
    ),
    (
        "power_0.5_1",
        "Power, fine",
        "{:.2f}",
        None,
        "Power of the finer half of what the scan can hold, against its own; 1 is equal.",
    ),
    ("p_psnr_db", "p (PSNR)", "{:.2g}", None, P_MEANS),
    ("p_ssim", "p (SSIM)", "{:.2g}", None, P_MEANS),
    ("mean", "Value", "{:.3f}", None, "Of this registration."),
    ("unit", "Unit", "{}", None, "Of the value."),
)
"""(key in the report, heading, format, which value is best, what it means)."""
ROWS = {"method": "Method", "measure": "Measure"}
"""By key in the report: what a row may be of."""


def table_of(report: Mapping[str, Any]) -> tuple[str, list[dict[str, str]], list[dict[str, Any]], str]:
    """(heading, columns, rows, note) for EvaluationState; the best of each column is marked."""
    summary = report.get("summary", [])
    kind = next((key for key in ROWS if any(key in row for row in summary)), "method")
    measured = [column for column in COLUMNS if any(row.get(column[0]) is not None for row in summary)]
    columns = [{"key": key, "title": title, "hint": hint} for key, title, _form, _best, hint in measured]
    best = {key: _best(summary, key, better) for key, _title, _form, better, _hint in measured}
    rows = [
        {"name": str(row[kind]), "cells": [_cell(row, key, form, best[key]) for key, _title, form, _better, _hint in measured]}
        for row in summary
    ]
    return ROWS[kind], columns, rows, _note(report)


def _best(summary: Sequence[Mapping[str, Any]], key: str, better: Any) -> float | None:
    values = [row[key] for row in summary if row.get(key) is not None]
    return better(values) if better and values else None


def _cell(row: Mapping[str, Any], key: str, form: str, best: float | None) -> dict[str, Any]:
    value = row.get(key)
    return {"text": "–" if value is None else form.format(value), "best": value is not None and value == best}


def _note(report: Mapping[str, Any]) -> str:
    """What the table measures, and what "default" is. The figures that the default chose by are of thinner stacks: not told here."""
    if "left_out_slices" not in report:
        return " ".join(f"{_begun(text)}." for text in report.get("warnings", ()))
    count = report["left_out_slices"]
    parts = [f"{count} slices were left out, rebuilt by each method from the slices that were kept, and compared with what was acquired."]
    for chosen in report.get("chosen", {}).values():
        parts.append(f"“default” is what the method “auto” does: here it chose “{chosen['row']}”, by the kept slices alone.")
    return " ".join(parts)


def _begun(text: str) -> str:
    """A clause as a sentence begins; the name of a file or node before it keeps its letters."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
