"""Writing NRRD: 3-D, Slicer's segmentations (.seg.nrrd) and sequences (4-D, .seq.nrrd), every number at full precision."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from ..volume import Volume
from . import seg_nrrd
from .atomic import replacing_file
from .series import MODALITY_KEY, is_modality, suffix_of
from .slabs import is_large, slabs

TYPES = {
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip


def write(path: Path, frames: Sequence[Volume]) -> None:
    """Write one frame as 3-D (colour as a vector a voxel, a segmentation's layers as a list), several as the sequence that Slicer writes
    itself (last axis: list, with its index values).

    Compressed, unless the voxels are so many that it would take minutes (slabs.LARGE_BYTES).
    """
    raw = is_large(*(frame.array for frame in frames))
    with replacing_file(path) as file:
        file.write(_header(path, frames, "raw" if raw else "gzip").encode() + b"\n")
        with nullcontext(file) if raw else gzip.GzipFile("", "wb", 3, file, mtime=0) as target:
            for slab in (slab for frame in frames for slab in slabs(frame.array)):
                target.write(slab)


def _vector(numbers: np.ndarray | Sequence[float]) -> str:
    return "(" + ",".join(repr(float(n)) for n in numbers) + ")"


def _header(path: Path, frames: Sequence[Volume], encoding: str) -> str:
    first, many, colour = frames[0], len(frames) > 1, frames[0].array.ndim == 4
    parts = "list " if suffix_of(path) == ".seg.nrrd" else "vector "  # Slicer takes layers of segments for a list
    sizes = [*first.array.shape[3:], *first.shape[::-1], *([len(frames)] if many else [])]
    axes = [_vector(column) for column in first.affine[:3, :3].T]
    lines = [
        "NRRD0005",
        f"type: {TYPES[first.array.dtype.str[1:]]}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, sizes)),
        "space directions: " + " ".join(["none"] * colour + axes + ["none"] * many),
        "kinds: " + parts * colour + "domain domain domain" + " list" * many,
        "endian: little",
        f"encoding: {encoding}",
        "space origin: " + _vector(first.origin_mm),
        *(_sequence_lines(frames) if many else []),
        *(f"{MODALITY_KEY}:={text}" for text in [str(first.meta.get("modality") or "")] if is_modality(text)),
        *(seg_nrrd.header_lines(first) if suffix_of(path) == ".seg.nrrd" else []),
    ]
    return "\n".join(lines) + "\n"


def _sequence_lines(frames: Sequence[Volume]) -> list[str]:
    times = [f.meta.get("frame_time_ms") for f in frames]
    known = all(t is not None for t in times)
    label, unit = ("time", "ms") if known else ("frame", "")
    values = " ".join(repr(float(t)) for t in (times if known else range(len(frames))))  # type: ignore[arg-type, union-attr]
    return [
        f'labels: "" "" "" "{label}"',
        f'units: "" "" "" "{unit}"',
        "DataNodeClassName:=vtkMRMLScalarVolumeNode",
        "axis 3 index type:=numeric",
        f"axis 3 index values:={values}",
    ]
