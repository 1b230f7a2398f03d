"""`medsr benchmark`: each method of a task in a process of its own, against a plain method in the same run."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import __version__
from .errors import MedSRError
from .jobs_parent import worker_python

SUBJECTS = {
    "interpolate-slices": ".cli_benchmark_slices",
    "super-resolve-ct": ".cli_benchmark_ct",
    "register-slide": ".cli_benchmark_slide",
}
"""Verb of a task: the file that measures it, which has REFERENCE, plan, methods, described and measure. Where files must be written
first it has PREPARE too, the method that writes them into the plan's "folder"."""
AIM_RATIO, AIM_BYTES = 5.0, 2 * 2**30
"""What a method of slice interpolation should stay within: times the reference, and peak memory of its process."""
SLIDE_LEGEND = (
    "Features: reading the slide, its tissue and its maps; seconds: the rest, search and fit; error: over the tissue, against the truth. "
    f"Aim of fusing: at most {AIM_BYTES / 2**20:.0f} MB whatever the slide's size."
)
CHILD_SECONDS = 900
COLUMNS = {
    "method": "method", "features_seconds": "features s", "seconds": "seconds", "ratio": "× reference", "task_seconds": "whole task s",
    "task_ratio": "× reference", "voxels_a_second": "voxels/s", "start_seconds": "start-up s", "peak_mb": "peak MB", "growth": "growth",
    "gflop": "GFLOP", "peak_share": "of peak", "error_mm": "error mm", "fuse_seconds": "fusing s", "fused_pixels": "pixels",
    "fused_mb": "file MB",
}  # fmt: skip


def benchmark(
    subject: str = "interpolate-slices", *, quick: bool = False, device: str = "auto", tell: Callable[[str], None] = lambda sentence: None
) -> dict[str, Any]:
    """Measure every method of a task on one volume, or one slide and its MRI, made up.

    Gives {"machine", "volume", "reference", "methods": rows}. seconds: array to array, warm, the fastest of several;
    start_seconds: imports, loading and the first run beyond that; peak_mb: of the whole process; growth: the exponent with
    which seconds grow with what is made; peak_share: counted operations a second, of what a large matrix product does on
    the same device in the same precision.
    """
    module = import_module(SUBJECTS[subject], __package__)
    plan = {**module.plan(quick), "module": SUBJECTS[subject], "device": device}
    with tempfile.TemporaryDirectory(prefix="medsr-benchmark-") as folder:
        reference, rows = _all_measured(module, {**plan, "folder": folder}, tell)
    return {
        "medsr": __version__,
        "task": subject,
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "volume": module.described(plan),
        "reference": {"method": module.REFERENCE, **_rounded(reference)},
        "methods": rows,
    }


def _all_measured(module: Any, plan: dict[str, Any], tell: Callable[[str], None]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the reference, a row a method)."""
    if hasattr(module, "PREPARE"):
        tell(f"Writing {module.PREPARE}")
        _measure({**plan, "method": module.PREPARE})
    tell(f"Measuring {module.REFERENCE}")
    reference = _measure({**plan, "method": module.REFERENCE})
    rows = []
    for name in module.methods():
        tell(f"Measuring {name}")
        rows.append(_row(name, plan, reference))
    return reference, rows


def _row(name: str, plan: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    try:
        found = _measure({**plan, "method": name})
    except MedSRError as error:
        return {"method": name, "failed": error.sentence()}
    ratios = {"growth": growth_exponent(found.get("growth") or [])}
    if found.get("task_seconds") is not None:
        ratios["task_ratio"] = found["task_seconds"] / reference.get("task_seconds", reference["seconds"])
    if found.get("seconds") is not None:
        ratios["ratio"] = found["seconds"] / reference["seconds"]
    return {"method": name, **_rounded({**found, **ratios})}


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in row.items()}


def growth_exponent(points: Sequence[tuple[int, float]]) -> float | None:
    """The slope of log(seconds) over log(what was made), by least squares; None for fewer than two points."""
    if len(points) < 2:
        return None
    x, y = [math.log(count) for count, _ in points], [math.log(seconds) for _, seconds in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def _measure(plan: dict[str, Any]) -> dict[str, Any]:
    """One method in a process of its own, so that its memory and its start are its own. Raises MedSRError where it fails."""
    library = str(Path(__file__).resolve().parents[1])
    code = f"import sys; sys.path.insert(0, {ascii(library)}); from {__package__}.cli_benchmark_child import main; main(sys.argv[1])"
    command = [worker_python(), "-X", "utf8", "-c", code, json.dumps(plan)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MedSRError(f"took longer than {CHILD_SECONDS} s", where=plan["method"]) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        raise MedSRError(last, where=plan["method"])
    return json.loads(done.stdout.splitlines()[-1])


def tell_benchmark(found: dict[str, Any]) -> None:
    """The table, and whether each method stays within what is aimed at."""
    from .cli_console import tell_table

    print(f"{found['volume']}, {found['machine']['cpus']} processors, {found['machine']['platform']}")
    rows = [found["reference"], *(row for row in found["methods"] if "failed" not in row)]
    tell_table(rows, {key: head for key, head in COLUMNS.items() if any(row.get(key) is not None for row in rows)})
    for row in found["methods"]:
        if "failed" in row:
            print(f"{row['method']} was left out: {row['failed']}")
    for sentence in _legend(found, rows):
        print(sentence)


def _legend(found: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is aimed at, and how to read the columns that there are."""
    aim = f"Aim: at most {AIM_RATIO:g} × {found['reference']['method']} and {AIM_BYTES / 2**20:.0f} MB."
    grows = any(row.get("growth") is not None for row in rows)
    said = [aim] * (found["task"] == "interpolate-slices") + ["Growth 1 is linear in what is made."] * grows
    return said + [SLIDE_LEGEND] * (found["task"] == "register-slide")
