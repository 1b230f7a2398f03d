"""What `medsr benchmark super-resolve-ct` measures: each model on a region of a chest, the whole task, plain bicubic beside them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .cli_benchmark_child import operations, peak_mb, timed
from .run import Progress

if TYPE_CHECKING:
    from .tasks.ct_network import Network
    from .volume import Volume

REFERENCE = "bicubic, array to array"
FACTOR = 8
SIDE, SLICES = 128, 16
QUICK_SIDE, QUICK_SLICES = 64, 4
GROWTH_SIZES = ((64, 4), (64, 8), (128, 8))
"""(side, slices) of regions that the time is measured on too."""


def plan(quick: bool) -> dict[str, Any]:
    """How large, how often."""
    side, slices = (QUICK_SIDE, QUICK_SLICES) if quick else (SIDE, SLICES)
    return {"side": side, "slices": slices, "repeats": 1, "growth": [] if quick else [list(size) for size in GROWTH_SIZES]}


def methods() -> list[str]:
    """What is measured beside the reference."""
    from . import models

    return ["bicubic", *(card.id for card in models.of_task("super_resolve_ct"))]


def described(values: dict[str, Any]) -> str:
    """The volume in words."""
    side, slices = values["side"], values["slices"]
    return f"{side}×{side}×{slices} → {FACTOR * side}×{FACTOR * side}×{slices} voxels"


def measure(values: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the network on all tiles (warm), of the whole task, of the start, voxels made a second, and peak memory."""
    began = time.perf_counter()
    volume = phantom(values["slices"], values["side"])
    if values["method"] == REFERENCE:
        seconds, first = timed(lambda: _bicubic(volume), values["repeats"])
        return {"seconds": seconds, "start_seconds": first - seconds, "peak_mb": peak_mb()}
    found: dict[str, Any] = {}
    network = _network(values) if values["method"] != "bicubic" else None
    if network is not None:
        loaded = time.perf_counter() - began
        found["seconds"], first = timed(lambda: _made(volume, network, values["slices"]), values["repeats"])
        found["start_seconds"] = loaded + first - found["seconds"]
    found["task_seconds"], first = timed(lambda: _task(volume, values), values["repeats"])
    found.setdefault("start_seconds", first - found["task_seconds"])
    found["voxels_a_second"] = volume.array.size * FACTOR**2 / found["task_seconds"]
    found["peak_mb"] = peak_mb()
    found["growth"] = _growth(values, (volume.array.size, found["task_seconds"]))
    if network is not None:
        found |= operations(lambda: _made(volume, network, 1), found["seconds"] / values["slices"], network.facts())
        found["gflop"] *= values["slices"]
    return found


def phantom(slices: int, side: int) -> Volume:
    """A volume (slices, side, side) int16 in HU of 0.7×0.7×1 mm: vessels as waves in air-filled lung, and noise; seeded."""
    import numpy as np

    from .volume import Volume

    z, y, x = np.mgrid[:slices, :side, :side]
    image = -800 + 300 * np.maximum(0, np.sin(x / 2.3 + z) * np.cos(y / 3.1)) + np.random.default_rng(0).normal(0, 15, z.shape)
    return Volume(image.astype(np.int16), (0.7, 0.7, 1.0), meta={"name": "phantom", "modality": "CT"})


def _bicubic(volume: Volume) -> None:
    """Every slice enlarged, nothing else."""
    from .tasks.ct_parts import Enlarger

    plain = Enlarger((volume.shape[1], volume.shape[2]), FACTOR)
    for plane in volume.array:
        plain.bicubic(plane)


def _network(values: dict[str, Any]) -> Network:
    from .tasks.ct_network import Network

    return Network(values["method"], device=values["device"], self_ensemble=False, batch_size=4, warn=lambda sentence: None)


def _made(volume: Volume, network: Network, slices: int) -> None:
    """The first slices through the network, tile by tile."""
    from . import tiles
    from .tasks.ct_input import intensity_for
    from .tasks.ct_planes import Planes
    from .tasks.ct_region import Region
    from .tasks.super_resolve_ct import Options

    options = Options()
    how = {"size": options.tile, "context": network.context, "overlap": options.overlap}
    grid = tiles.plan((volume.shape[1], volume.shape[2]), **how)
    intensity = intensity_for(volume, network.intensity, True, [])
    planes = Planes(Region(volume, volume.array, (0, 0, 0)), network, intensity, grid, None, options.batch_size)
    for z in range(slices):
        planes.made(z, Progress())


def _task(volume: Volume, values: dict[str, Any]) -> None:
    from .tasks.super_resolve_ct import Options, super_resolve_ct

    how = {"method": "bicubic"} if values["method"] == "bicubic" else {"model": values["method"]}
    super_resolve_ct((volume,), Options(**how, device=values["device"], any_modality=True, region="all"))


def _growth(values: dict[str, Any], last: tuple[int, float]) -> list[tuple[int, float]]:
    """(voxels of the region, seconds of the task) for regions of several sizes."""
    points = []
    for side, slices in values["growth"]:
        volume = phantom(slices, side)
        points.append((volume.array.size, timed(lambda volume=volume: _task(volume, values), 1)[0]))  # type: ignore[misc]
    return [*points, last] if points else []
