"""Running a job: progress, cancel, device, batch size. The standard library at import; torch inside functions."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from .errors import Cancelled, DependencyError, ResourceError


class Progress:
    """What a task calls as it goes: reports a fraction of the whole, and stops the task when the user cancels.

    report: called with (fraction in [0, 1], message); cancelled: asked before each report.
    """

    def __init__(
        self,
        report: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        start: float = 0.0,
        end: float = 1.0,
    ) -> None:
        self._report, self._cancelled, self._start, self._end = report, cancelled, start, end

    def __call__(self, fraction: float, message: str = "") -> None:
        """Report `fraction` of this part. Raises Cancelled where the user asked to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled()
        if self._report is not None:
            self._report(self._start + min(max(fraction, 0.0), 1.0) * (self._end - self._start), message)

    def part(self, start: float, end: float) -> Progress:
        """A progress whose 0 to 1 is `start` to `end` of this one."""
        width = self._end - self._start
        return Progress(self._report, self._cancelled, self._start + start * width, self._start + end * width)

    def shares(self, weights: Sequence[float]) -> list[Progress]:
        """Parts one after the other, each as wide as its weight: where weights are times, fractions are times too."""
        whole = sum(weights) or 1.0
        ends = [min(1.0, end / whole) for end in accumulate(weights)]
        return [self.part(start, end) for start, end in pairwise([0.0, *ends])]


def choose_device(name: str = "auto") -> str:
    """The torch device to use: the one named, or the first there is of cuda, mps and cpu.

    Raises ResourceError where the one named is not there, DependencyError without torch.
    """
    torch = import_torch()
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name, False):
        raise ResourceError(f"there is no {name} device on this computer", where="{device}", fix="use {device} auto or cpu")
    return name


def import_torch() -> Any:
    """The torch module, with Apple's fallback switched on first. Raises DependencyError where it is not installed."""
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    try:
        import torch
    except ImportError as error:
        raise DependencyError("the learned model needs PyTorch", fix="install torch, or use a {method} that needs no model") from error
    return torch


def available_memory_bytes() -> int | None:
    """Memory that can still be taken without swapping, in bytes, within the limit of a container; None where unknown."""
    found = [b for b in (_meminfo_bytes(), _cgroup_bytes()) if b is not None]
    if found:
        return min(found)
    try:  # macOS knows its pages only, free or not
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _meminfo_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kilobytes) * 1024 if kilobytes else None


def _cgroup_bytes() -> int | None:
    """What the container (control group 2) still allows, in bytes; page cache counts as free."""
    root = Path("/sys/fs/cgroup")
    try:
        limit = (root / "memory.max").read_text(encoding="ascii").strip()
        used = int((root / "memory.current").read_text(encoding="ascii"))
        stat = (line.split() for line in (root / "memory.stat").read_text(encoding="ascii").splitlines())
        cache = next((int(value) for key, value in stat if key == "inactive_file"), 0)
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + cache)


def check_memory(needed_bytes: int, what: str) -> None:
    """Refuse a job before it starts where it cannot fit. Raises ResourceError with both numbers."""
    available = available_memory_bytes()
    if available is not None and needed_bytes > available:
        numbers = f"{what} needs about {needed_bytes / 2**30:.1f} GB of memory, {available / 2**30:.1f} GB are free"
        raise ResourceError(numbers, fix="ask for a coarser spacing, crop the volume, or close other programs")


def check_disk(folder: Path, needed_bytes: int) -> None:
    """Raises ResourceError where the disk of `folder` has less room than this."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        numbers = f"the disk has {free / 2**20:.0f} MB free, the result needs about {needed_bytes / 2**20:.0f} MB"
        raise ResourceError(numbers, where=str(folder), fix="free some space, or choose another folder")


def run_batches(
    function: Callable[[int, int, str], None],
    count: int,
    *,
    batch_size: int,
    device: str,
    warn: Callable[[str], None] = lambda sentence: None,
    progress: Progress = Progress(),
) -> str:
    """Call function(start, stop, device) over range(count) in batches; returns the device that did the last one.

    Out of memory: the same batch again at half the size; at one item on an accelerator, on the CPU from there on; at one
    item on the CPU, ResourceError. Each step down is told to `warn`.
    """
    start = 0
    while start < count:
        progress(start / count)
        stop = min(count, start + batch_size)
        try:
            function(start, stop, device)
            start = stop
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            batch_size, device = _smaller(stop - start, device, error)
            warn(f"memory ran out: going on with {batch_size} at a time on {device}")
            _release()
    progress(1.0)
    return device


def run_lanes(
    lanes: Sequence[Sequence[Callable[[], None]]],
    *,
    begin: Callable[[], None] = lambda: None,
    progress: Progress = Progress(),
    message: str = "",
) -> None:
    """Make the calls of each lane in their order, the lanes side by side, each in a thread of its own that calls `begin` first.

    A single lane runs in this thread, without `begin`. Progress is told in this thread, before the first call and after each. After
    an error or a cancellation what has not begun is dropped, and what has is waited for.
    """
    count = sum(map(len, lanes))
    progress(0.0, message)
    if len(lanes) <= 1:
        for done, call in enumerate((call for lane in lanes for call in lane), 1):
            call()
            progress(done / count, message)
        return
    pools = [ThreadPoolExecutor(1, initializer=begin) for _ in lanes]
    try:
        calls = [pool.submit(call) for pool, lane in zip(pools, lanes, strict=True) for call in lane]
        for done, call_done in enumerate(as_completed(calls), 1):
            call_done.result()
            progress(done / count, message)
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _smaller(batch_size: int, device: str, error: BaseException) -> tuple[int, str]:
    if batch_size > 1:
        return batch_size // 2, device
    if device != "cpu":
        return 1, "cpu"
    raise ResourceError(
        "one piece at a time does not fit in memory", fix="crop the volume, or use a {method} that needs no model"
    ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, whichever of torch's allocators raised it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def _release() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
