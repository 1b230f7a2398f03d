"""Writing one output of a job, by its kind."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .jobs_files import IMAGE_KINDS
from .jobs_specification import plain
from .run import Progress


def write_result(kind: str, value: Any, path: Path, provenance: Mapping[str, Any], progress: Progress = Progress()) -> None:
    """See tasks.options.Port for what a kind's value is. Facts are written with their provenance in the same file."""
    if kind in IMAGE_KINDS:
        from .io import formats

        formats.write(path, value)
    elif kind == "table":
        _write_table(value, path)
    elif kind == "transform":
        from .io import transforms

        transforms.write(path, *value)
    elif kind == "dicom_seg":
        from .io import dicom_seg

        dicom_seg.write(path, value)
    elif kind == "pyramid":
        value.write(path, progress)
    elif kind == "outlines":
        from .io import outline_write

        outline_write.write(path, value)
    elif kind == "text":
        path.write_text(value, encoding="utf-8")
    elif kind == "facts":
        whole = {**plain(value), "provenance": {k: v for k, v in plain(provenance).items() if k != "report"}}
        path.write_text(json.dumps(whole, indent=2) + "\n", encoding="ascii")
    else:
        path.write_bytes(value)


def _write_table(rows: Any, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
