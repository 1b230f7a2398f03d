"""What `medsr benchmark interpolate-slices` measures: each method from array to array, the whole task, SimpleITK beside them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from .cli_benchmark_child import operations, peak_mb, timed
from .run import Progress

if TYPE_CHECKING:
    import numpy as np

    from .volume import Volume

REFERENCE = "SimpleITK B-spline"
FACTOR = 8
SIDE, QUICK_SIDE = 256, 128
SLICES = 10
GROWTH_SLICES = (5, 10, 20)
STEP_MM, PIXEL_MM = 8.0, 1.0


def plan(quick: bool) -> dict[str, Any]:
    """How large, how often."""
    side, growth = (QUICK_SIDE, ()) if quick else (SIDE, GROWTH_SLICES)
    return {"side": side, "slices": SLICES, "factor": FACTOR, "repeats": 1 if quick else 3, "growth": list(growth)}


def methods() -> list[str]:
    """What is measured beside the reference."""
    from . import models

    return ["linear", "bspline", "lanczos", "flow", *(card.id for card in models.of_task("interpolate_slices")), "auto"]


def described(values: dict[str, Any]) -> str:
    """The volume in words."""
    made = (values["slices"] - 1) * values["factor"] + 1
    return f"{values['side']}×{values['side']}×{values['slices']} → {made} slices"


def measure(values: dict[str, Any]) -> dict[str, Any]:
    """Seconds (warm, array to array), those of the whole task, of the start, and peak memory of this process."""
    began = time.perf_counter()
    volume = phantom(values["slices"], values["side"])
    if values["method"].startswith("SimpleITK"):
        seconds, first = timed(lambda: _simpleitk(volume, values["factor"]), values["repeats"])
        return {"seconds": seconds, "start_seconds": first - seconds, "peak_mb": peak_mb()}
    candidate = None if values["method"] == "auto" else _candidate(values)
    found = _method(candidate, values, volume, began) if candidate else {}
    options = _options(values)
    found["task_seconds"], first = timed(lambda: _task(volume, options), values["repeats"])
    found.setdefault("start_seconds", first - found["task_seconds"])
    found["peak_mb"] = peak_mb()
    if candidate:
        found["growth"] = _growth(candidate, values)
        found |= operations(lambda: _synthesise(candidate, volume, values["factor"]), found["seconds"], candidate.model)
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


def _options(values: dict[str, Any]) -> Any:
    from .tasks.interpolate_slices import METHODS, Options

    how = {"method": values["method"]} if values["method"] in METHODS else {"method": "model", "model": values["method"]}
    return Options(factor=values["factor"], device=values["device"], **how)


def _task(volume: Volume, options: Any) -> Any:
    from .tasks.interpolate_slices import interpolate_slices

    return interpolate_slices((volume,), options)


def _candidate(values: dict[str, Any]) -> Any:
    from .tasks.slice_candidates import classical, learned
    from .tasks.slice_methods import CLASSICAL

    name = values["method"]
    return classical(name) if name in CLASSICAL else learned(name, device=values["device"])


def _method(candidate: Any, values: dict[str, Any], volume: Volume, began: float) -> dict[str, Any]:
    """The synthesis alone: what it takes beyond a warm run to start, and the seconds of a warm run."""
    loaded = time.perf_counter() - began
    seconds, first = timed(lambda: _synthesise(candidate, volume, values["factor"]), values["repeats"])
    return {"seconds": seconds, "start_seconds": loaded + first - seconds}


def _synthesise(candidate: Any, volume: Volume, factor: int) -> Any:
    """Every slice between the acquired ones, from and to arrays."""
    import numpy as np

    positions = volume.slice_positions_mm
    all_targets = np.linspace(positions[0], positions[-1], (len(positions) - 1) * factor + 1)
    return candidate.run(volume.array.astype(np.float32), positions, np.delete(all_targets, np.s_[::factor]), Progress())


def _growth(candidate: Any, values: dict[str, Any]) -> list[tuple[int, float]]:
    """(slices made, seconds) for volumes of several heights."""
    points = []
    for count in values["growth"]:
        seconds, _ = timed(partial(_synthesise, candidate, phantom(count, values["side"]), values["factor"]), 3)
        points.append(((count - 1) * (values["factor"] - 1), seconds))
    return points
