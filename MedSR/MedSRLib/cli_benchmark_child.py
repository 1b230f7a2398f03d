"""One method measured: runs in a process of its own, prints one line of JSON. And what the measurements of all tasks share."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

MATRIX = {"cpu": 1024, "cuda": 8192, "mps": 4096}
"""Side of the square matrices whose product stands for the peak of a device."""
MATRIX_SECONDS = 0.5


def main(plan: str) -> None:
    """Measure what the plan (JSON, see cli_benchmark.py) says, by the `measure` of the task's own file."""
    values = json.loads(plan)
    print(json.dumps(import_module(values["module"], __package__).measure(values)))


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """(fastest of the warm runs, the first run) in seconds."""
    took = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return min(took[1:]), took[0]


def operations(function: Callable[[], Any], seconds: float, model: dict[str, Any]) -> dict[str, Any]:
    """Counted operations of a network (convolutions and matrix products), and their rate over that of a matrix product."""
    if not model:
        return {}
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the counter sees its own thread only, and with one there is no other
    with FlopCounterMode(display=False) as counter:
        function()
    torch.set_num_threads(threads)
    count = counter.get_total_flops()
    return {"gflop": count / 1e9, "peak_share": count / seconds / matrix_rate(model["device"]), "device": model["device"]}


def matrix_rate(device: str) -> float:
    """Operations a second of a product of large float32 matrices: the peak that can be had, measured."""
    import torch

    side = MATRIX[device]
    a = torch.rand(side, side, device=device)
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)
    best, end = 0.0, time.perf_counter() + MATRIX_SECONDS
    while time.perf_counter() < end:
        wait()
        began = time.perf_counter()
        a @ a
        wait()
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def peak_mb() -> float | None:
    """The most memory that this process ever held, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
