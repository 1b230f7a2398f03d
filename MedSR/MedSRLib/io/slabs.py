"""Large arrays: made in an unnamed temporary file instead of memory, and given to writers slab by slab."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import ResourceError

LARGE_BYTES = 2**28
"""From this size on an array is made in a file, and written without compression."""
SLAB_BYTES = 2**24


def is_large(*arrays: np.ndarray) -> bool:
    """Whether these arrays together count as large."""
    return sum(array.nbytes for array in arrays) >= LARGE_BYTES


def new_array(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array of zeros; where it is large, in a file without a name, which is gone with the array or with the process.

    The file lies in the system's folder for temporary files (TMPDIR). Raises ResourceError where its disk has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE_BYTES:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="medsr-") as file:
        try:
            _reserve(file, size)
        except OSError as error:
            what = f"the disk for temporary files has no {size / 2**30:.1f} GB free"
            raise ResourceError(what, where=str(scratch_folder()), fix="free some space, or name another folder by TMPDIR") from error
        return np.memmap(file, dtype, "r+", shape=shape)


def scratch_folder() -> Path:
    """Where large arrays are kept meanwhile."""
    return Path(tempfile.gettempdir())


def _reserve(file: BinaryIO, size: int) -> None:
    """Take the room now: a mapped page that finds none later would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, SLAB_BYTES):
        file.write(bytes(min(SLAB_BYTES, size - start)))
    file.flush()


def release(array: np.ndarray) -> None:
    """Give back the memory that holds a mapped array's pages; what they hold stays. Nothing happens to other arrays."""
    base = array
    while isinstance(base, np.ndarray):
        base = base.base  # type: ignore[assignment]
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)


def slabs(array: np.ndarray) -> Iterator[memoryview]:
    """The array's bytes in order, little-endian, some slices at a time. array: (z, ...)."""
    step = max(1, SLAB_BYTES * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), step):
        yield np.ascontiguousarray(array[start : start + step], array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
        release(array)
