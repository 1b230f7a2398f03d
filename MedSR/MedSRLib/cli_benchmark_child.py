"""One method measured: runs in a process of its own, prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .run import Progress

if TYPE_CHECKING:
    import numpy as np

    from .volume import Volume

STEP_MM, PIXEL_MM = 8.0, 1.0
MATRIX = {"cpu": 1024, "cuda": 8192, "mps": 4096}
"""Side of the square matrices whose product stands for the peak of a device."""
MATRIX_SECONDS = 0.5


def main(plan: str) -> None:
    """Measure what the plan (JSON, see cli_benchmark.py) says."""
    print(json.dumps(measure(json.loads(plan))))


def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """Seconds (warm, array to array), those of the whole task, of the start, and peak memory of this process."""
    began = time.perf_counter()
    volume = phantom(plan["slices"], plan["side"])
    if plan["method"].startswith("SimpleITK"):
        seconds, first = _timed(lambda: _simpleitk(volume, plan["factor"]), plan["repeats"])
        return {"seconds": seconds, "start_seconds": first - seconds, "peak_mb": _peak_mb()}
    candidate = None if plan["method"] == "auto" else _candidate(plan)
    found = _method(candidate, plan, volume, began) if candidate else {}
    options = _options(plan)
    found["task_seconds"], first = _timed(lambda: _task(volume, options), plan["repeats"])
    found.setdefault("start_seconds", first - found["task_seconds"])
    found["peak_mb"] = _peak_mb()
    if candidate:
        found["growth"] = _growth(candidate, plan)
        found |= _operations(lambda: _synthesise(candidate, volume, plan["factor"]), found["seconds"], candidate.model)
    return found


def phantom(slices: int, side: int) -> Volume:
    """A volume (slices, side, side) int16 of 1×1×8 mm: discs that move and change from slice to slice, and noise; seeded."""
    import numpy as np

    from .volume import Volume

    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side - 0.5
    image = random.normal(0, 10, (slices, side, side))
    for radius, swing in ((0.45, 0.02), (0.25, 0.05), (0.1, 0.1), (0.05, 0.2)):
        for z in range(slices):
            centre = swing * np.sin(z + radius), swing * np.cos(0.7 * z)
            image[z] += 200 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (radius * (1 + 0.1 * np.sin(z))) ** 2)
    return Volume(image.astype(np.int16), (PIXEL_MM, PIXEL_MM, STEP_MM), meta={"name": "phantom", "modality": "MR"})


def _timed(function: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """(fastest of the warm runs, the first run) in seconds."""
    took = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return min(took[1:]), took[0]


def _simpleitk(volume: Volume, factor: int) -> np.ndarray:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing_mm)
    size = [*image.GetSize()[:2], (image.GetSize()[2] - 1) * factor + 1]
    spacing = [*volume.spacing_mm[:2], volume.spacing_mm[2] / factor]
    return sitk.GetArrayFromImage(
        sitk.Resample(
            image, size, sitk.Transform(), sitk.sitkBSpline3, image.GetOrigin(), spacing, image.GetDirection(), 0.0, sitk.sitkInt16
        )
    )


def _options(plan: dict[str, Any]) -> Any:
    from .tasks.interpolate_slices import METHODS, Options

    how = {"method": plan["method"]} if plan["method"] in METHODS else {"method": "model", "model": plan["method"]}
    return Options(factor=plan["factor"], device=plan["device"], **how)


def _task(volume: Volume, options: Any) -> Any:
    from .tasks.interpolate_slices import interpolate_slices

    return interpolate_slices((volume,), options)


def _candidate(plan: dict[str, Any]) -> Any:
    from .tasks.slice_candidates import classical, learned
    from .tasks.slice_methods import CLASSICAL

    name = plan["method"]
    return classical(name) if name in CLASSICAL else learned(name, device=plan["device"])


def _method(candidate: Any, plan: dict[str, Any], volume: Volume, began: float) -> dict[str, Any]:
    """The synthesis alone: what it takes beyond a warm run to start, and the seconds of a warm run."""
    loaded = time.perf_counter() - began
    seconds, first = _timed(lambda: _synthesise(candidate, volume, plan["factor"]), plan["repeats"])
    return {"seconds": seconds, "start_seconds": loaded + first - seconds}


def _synthesise(candidate: Any, volume: Volume, factor: int) -> Any:
    """Every slice between the acquired ones, from and to arrays."""
    import numpy as np

    positions = volume.slice_positions_mm
    all_targets = np.linspace(positions[0], positions[-1], (len(positions) - 1) * factor + 1)
    return candidate.run(volume.array.astype(np.float32), positions, np.delete(all_targets, np.s_[::factor]), Progress())


def _growth(candidate: Any, plan: dict[str, Any]) -> list[tuple[int, float]]:
    """(slices made, seconds) for volumes of several heights."""
    points = []
    for count in plan["growth"]:
        seconds, _ = _timed(partial(_synthesise, candidate, phantom(count, plan["side"]), plan["factor"]), 3)
        points.append(((count - 1) * (plan["factor"] - 1), seconds))
    return points


def _operations(function: Callable[[], Any], seconds: float, model: dict[str, Any]) -> dict[str, Any]:
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
    return {"gflop": count / 1e9, "peak_share": count / seconds / _matrix_rate(model["device"]), "device": model["device"]}


def _matrix_rate(device: str) -> float:
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


def _peak_mb() -> float | None:
    """The most memory that this process ever held, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
