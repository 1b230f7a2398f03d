"""Landmarks: pairs of points that a person set on a slide and on the MRI, from a CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError

COLUMNS = ("slide_x", "slide_y", "lps_x", "lps_y", "lps_z")


@dataclass(frozen=True)
class Landmarks:
    """slide_px: (n, 2) level-0 pixels from the outer corner of the first. patient_mm: (n, 3) LPS."""

    slide_px: np.ndarray
    patient_mm: np.ndarray


def read_landmarks(path: str | Path) -> Landmarks:
    """Read a CSV with a header of COLUMNS, in any order. Raises InputError where there is none, or a value is no finite number."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("cannot be read as a table", where=str(path), fix="save it as CSV in UTF-8") from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise InputError(f"there is no column {missing[0]!r}, or no row", where=str(path), fix="give " + ", ".join(COLUMNS))
    values = np.array([_numbers(row, number, path) for number, row in enumerate(rows, 2)])
    return Landmarks(values[:, :2], values[:, 2:])


def _numbers(row: dict[str, str], line: int, path: Path) -> list[float]:
    try:
        values = [float(row[name]) for name in COLUMNS]
    except (TypeError, ValueError) as error:
        raise InputError(f"line {line} does not hold five numbers", where=str(path)) from error
    if not np.isfinite(values).all():
        raise InputError(f"line {line} holds a value that is no number", where=str(path))
    return values
