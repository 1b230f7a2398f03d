"""What a job will give and take, known before it runs: size, memory, room on the disk; and its time, after the first tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..geometry import plan_slices
from ..io import slabs
from ..run import check_disk, check_memory
from ..volume import Volume
from .ct_cost import nominal_seconds
from .ct_input import name_of
from .ct_region import hollow
from .options import validate
from .slice_engine import memory_bytes
from .super_resolve_ct import FACTOR, Options

FINE_COPIES = 8
"""Float32 images of one output slice that are held at once while it is put together (counted, and measured)."""
BATCH_BYTES = 2**30
"""What a batch of tiles takes at most, and the network with it."""
FIDELITY_BYTES = 4


@dataclass(frozen=True)
class JobPlan:
    """shape: (z, y, x) of each result; slices: of the region. Bytes: volume and fidelity of all frames, memory at its peak, and what of
    the results lies in temporary files meanwhile.
    """

    shape: tuple[int, int, int]
    slices: int
    frames: int
    volume_bytes: int
    fidelity_bytes: int
    memory_bytes: int
    scratch_bytes: int

    def check(self) -> None:
        """Raises ResourceError where memory or the disk for temporary files is too small."""
        check_memory(self.memory_bytes, self.size_text)
        if self.scratch_bytes:  # once while it is made, once as it is written
            check_disk(slabs.scratch_folder(), 2 * self.scratch_bytes)

    @property
    def size_text(self) -> str:
        z, y, x = self.shape
        return f"{x} × {y} × {z} voxels" + (f" × {self.frames} frames" if self.frames > 1 else "")

    def sentence(self, seconds: float) -> str:
        """For a person who waits."""
        time = f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {math.ceil(seconds)} s"
        return f"{self.size_text}, {(self.volume_bytes + self.fidelity_bytes) / 2**20:.0f} MB, {time}"


def plan_job(region: Volume, frames: int, options: Options) -> JobPlan:
    """The plan for a region (on its own grid). Raises InputError where its slices are unevenly spaced and would be kept so."""
    z, y, x = region.shape
    pixels, item = FACTOR**2 * y * x, region.array.dtype.itemsize
    count, later = z, 0
    if options.slice_spacing_mm > 0:
        if z < 2:
            raise InputError(
                "there is a single slice, so nothing lies in between", where=name_of(region), fix="leave {slice_spacing_mm} out"
            )
        steps = plan_slices(region, options.slice_spacing_mm)
        count = len(steps.targets_mm)
        later = memory_bytes((z, FACTOR * y, FACTOR * x), item, count, frames) + frames * count * pixels * FIDELITY_BYTES
    elif region.positions_mm is not None:
        raise InputError(
            "the slices are unevenly spaced", where=name_of(region), fix="choose a region where they are even, or give {slice_spacing_mm}"
        )
    parts = [frames * z * pixels * size for size in (item, FIDELITY_BYTES)]
    in_files = sum(part for part in parts if part // frames >= slabs.LARGE_BYTES)
    batch = BATCH_BYTES if options.method == "model" else 0
    memory = max(FINE_COPIES * 4 * pixels + batch, later) + sum(parts) - in_files
    return JobPlan(
        (count, FACTOR * y, FACTOR * x),
        z,
        frames,
        frames * count * pixels * item,
        frames * count * pixels * FIDELITY_BYTES,
        memory,
        in_files,
    )


def output_bytes(frames: Sequence[Volume], options: Options) -> dict[str, int]:
    """See super_resolve_ct.output_bytes."""
    plan = plan_job(hollow(frames[0], options.roi), len(frames), options)
    return {"volume": plan.volume_bytes, "fidelity": plan.fidelity_bytes}


def foretold(volume: Volume, frames: int, options: Options) -> str:
    """Size, bytes, time and memory of a result in one line, from the grid of the volume alone; its voxels are not looked at.

    Raises InputError, OptionError or ResourceError where the job would be refused for its region, its slices or its size.
    """
    validate(options)
    region = hollow(volume, options.roi)
    plan = plan_job(region, frames, options)
    plan.check()
    return f"{plan.sentence(nominal_seconds(region, frames, options))}, {plan.memory_bytes / 2**30:.1f} GB of memory"
