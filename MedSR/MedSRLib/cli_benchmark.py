"""`medsr benchmark`: each method in a process of its own, against SimpleITK's B-spline resampling in the same run."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .errors import MedSRError
from .jobs_parent import worker_python

REFERENCE = "SimpleITK B-spline"
FACTOR = 8
SIDE, QUICK_SIDE = 256, 128
SLICES = 10
GROWTH_SLICES = (5, 10, 20)
AIM_RATIO, AIM_BYTES = 5.0, 2 * 2**30
"""What a method should stay within: times the reference, and peak memory of its process."""
CHILD_SECONDS = 900
COLUMNS = {
    "method": "method", "seconds": "seconds", "ratio": "× B-spline", "task_seconds": "whole task s", "task_ratio": "× B-spline",
    "start_seconds": "start-up s", "peak_mb": "peak MB", "growth": "growth", "gflop": "GFLOP", "peak_share": "of peak",
}  # fmt: skip


def benchmark(*, quick: bool = False, device: str = "auto", tell: Callable[[str], None] = lambda sentence: None) -> dict[str, Any]:
    """Measure every method on one volume of 10 slices (256² pixels; 128² when quick) to 8 times the slices.

    Gives {"machine", "volume", "reference", "methods": rows}. seconds: array to array, warm, the fastest of several;
    start_seconds: imports, loading and the first run beyond that; peak_mb: of the whole process; growth: the exponent with
    which seconds grow with the slices that are made; peak_share: counted operations a second, of what a large matrix
    product does on the same device in the same precision.
    """
    side = QUICK_SIDE if quick else SIDE
    plan = {
        "side": side,
        "slices": SLICES,
        "factor": FACTOR,
        "device": device,
        "repeats": 1 if quick else 3,
        "growth": [] if quick else GROWTH_SLICES,
    }
    tell(f"Measuring {REFERENCE}")
    reference = _measure({**plan, "method": REFERENCE})
    rows = []
    for name in _methods():
        tell(f"Measuring {name}")
        rows.append(_row(name, plan, reference))
    made = (SLICES - 1) * FACTOR + 1
    return {
        "medsr": __version__,
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "volume": f"{side}×{side}×{SLICES} → {made} slices",
        "reference": {"method": REFERENCE, **_rounded(reference)},
        "methods": rows,
    }


def _methods() -> list[str]:
    from . import models

    learned = [card.id for card in models.list_cards() if card.task == "interpolate_slices"]
    return ["linear", "bspline", "lanczos", "flow", *learned, "auto"]


def _row(name: str, plan: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    try:
        found = _measure({**plan, "method": name})
    except MedSRError as error:
        return {"method": name, "failed": error.sentence()}
    ratios = {"task_ratio": found["task_seconds"] / reference["seconds"]}
    if found.get("seconds") is not None:
        ratios["ratio"] = found["seconds"] / reference["seconds"]
        ratios["growth"] = growth_exponent(found.get("growth") or [])
    return {"method": name, **_rounded({**found, **ratios})}


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in row.items()}


def growth_exponent(points: Sequence[tuple[int, float]]) -> float | None:
    """The slope of log(seconds) over log(slices made), by least squares; None for fewer than two points."""
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
    print(f"Aim: at most {AIM_RATIO:g} × B-spline and {AIM_BYTES / 2**20:.0f} MB; growth 1 is linear in the number of slices.")
