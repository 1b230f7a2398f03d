"""MetaImage (.mha, .mhd), read and written by its own text header; SimpleITK reads its rarer forms (ASCII, slices in many files).

ITK returns a volume of noise where the packed voxels are damaged; here that is an error.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..volume import Volume
from .atomic import replacing_file
from .series import file_meta
from .slabs import is_large, slabs

TYPES = {
    "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT", "u4": "MET_UINT",
    "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip
_NUMPY = {name: code for code, name in TYPES.items()}
_MAX_HEADER = 1 << 16


def read(path: Path) -> tuple[Volume, ...]:
    """The frames of a MetaImage, in LPS. Raises InputError for anything but real 3-D or 4-D data."""
    header, start = _parse(path)
    sizes = [int(n) for n in _numbers(header, "DimSize", path)]
    voxels = header.get("ElementDataFile", "")
    ascii_or_many = header.get("BinaryData", "True") != "True" or voxels.startswith("LIST") or "%" in voxels
    if not sizes or header.get("ElementType") not in _NUMPY or ascii_or_many:
        from . import itk

        return itk.read(path)
    _refuse(header, sizes, path)
    values = _values(header, sizes, path, start)
    rank = len(sizes)
    direction = _first_of(header, ("TransformMatrix", "Rotation", "Orientation"), np.eye(rank).ravel(), path).reshape(rank, rank).T
    origin = _first_of(header, ("Offset", "Position", "Origin"), np.zeros(rank), path)
    spacing = _first_of(header, ("ElementSpacing", "ElementSize"), np.ones(rank), path)
    meta = file_meta(path) | {"frame_time_ms": None}
    return tuple(Volume(v, tuple(spacing[:3]), tuple(origin[:3]), direction[:3, :3], meta=meta) for v in values)


def _parse(path: Path) -> tuple[dict[str, str], int]:
    """(header fields, number of bytes the header takes)."""
    with path.open("rb") as file:
        start, header = file.read(_MAX_HEADER), {}
    position = 0
    for line in start.splitlines(keepends=True):
        key, found, value = line.decode("latin-1").partition("=")
        if not found:
            break
        position += len(line)
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return header, position
    raise InputError("is not a MetaImage, or its header is cut short", where=str(path), fix="copy or export it again")


def _refuse(header: dict[str, str], sizes: list[int], path: Path) -> None:
    parts = int(_first_of(header, ("ElementNumberOfChannels",), np.ones(1), path)[0])
    if parts > 1:
        what = "colour" if parts in (3, 4) else "vector or complex"
        raise InputError(f"holds {what} values ({parts} numbers a voxel)", where=str(path), fix="give an image of one number a voxel")
    if len(sizes) < 3:
        raise InputError("a 2-D image is not a volume", where=str(path), fix="give a 3-D image")
    if len(sizes) > 4 or min(sizes) < 1:
        raise InputError(f"an image of size {'x'.join(map(str, sizes))} is not a 3-D or 4-D volume", where=str(path))


def _numbers(header: dict[str, str], name: str, path: Path) -> list[float]:
    """The finite numbers of one header line, none where it is not there."""
    text = header.get(name, "")
    try:
        values = [float(v) for v in text.split()]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InputError(f"its header says {name} = {ascii(text)}, which are not numbers", where=str(path), fix="copy or export it again")
    return values


def _first_of(header: dict[str, str], names: tuple[str, ...], default: np.ndarray, path: Path) -> np.ndarray:
    """The numbers of the first of these lines that is there, else `default`; as many as `default` has."""
    name = next((n for n in names if n in header), None)
    if name is None:
        return default
    values = _numbers(header, name, path)
    if len(values) != default.size:
        what = f"its header gives {len(values)} numbers for {name}, not {default.size}"
        raise InputError(what, where=str(path), fix="copy or export it again")
    return np.array(values)


def _values(header: dict[str, str], sizes: list[int], path: Path, start: int) -> np.ndarray:
    """(frames, z, y, x) in the stored type, native byte order."""
    name = header["ElementDataFile"]
    source = path if name.upper() == "LOCAL" else path.parent / name
    if not source.is_file():
        raise InputError(f"the file that holds its voxels, {name}, is missing", where=str(path), fix="keep both files in one folder")
    big = "True" in (header.get("BinaryDataByteOrderMSB"), header.get("ElementByteOrderMSB"))
    stored = np.dtype(_NUMPY[header["ElementType"]]).newbyteorder(">" if big else "<")
    count = math.prod(sizes)
    data = source.read_bytes()
    skip = start if source == path else int(_first_of(header, ("HeaderSize",), np.zeros(1), path)[0])
    data = data[skip if skip >= 0 else len(data) - count * stored.itemsize :]
    if header.get("CompressedData", "False") == "True":
        try:
            data = zlib.decompress(data, wbits=47)
        except zlib.error as error:
            raise InputError("the file is cut short or damaged", where=str(path), fix="copy or export it again") from error
    if len(data) < count * stored.itemsize:
        raise InputError("the file is cut short", where=str(path), fix="copy or export it again")
    values = np.frombuffer(data, stored, count).astype(stored.newbyteorder("="), copy=False)
    return values.reshape((*(sizes[3:] or [1]), *sizes[2::-1]))


def write(path: Path, frames: Sequence[Volume]) -> None:
    """Write one frame as 3-D, several as 4-D (frame times that are not even: their mean step), every number at full precision.

    An .mhd keeps its voxels in the same file, so that one rename replaces all of it. Large voxels (slabs.LARGE_BYTES) are not
    compressed: the header, which comes first, states the compressed size.
    """
    voxels = None if is_large(*(frame.array for frame in frames)) else list(_compressed(frames))
    with replacing_file(path) as file:
        file.write(_header(frames, None if voxels is None else sum(map(len, voxels))).encode())
        file.writelines(_plain(frames) if voxels is None else voxels)


def _plain(frames: Sequence[Volume]) -> Iterator[memoryview]:
    return (slab for frame in frames for slab in slabs(frame.array))


def _compressed(frames: Sequence[Volume]) -> Iterator[bytes]:
    packer = zlib.compressobj(3)
    for slab in _plain(frames):
        yield packer.compress(slab)
    yield packer.flush()


def _header(frames: Sequence[Volume], size: int | None) -> str:
    first, rank = frames[0], 3 + (len(frames) > 1)
    direction, origin, spacing, shape = np.eye(rank), np.zeros(rank), np.ones(rank), [len(frames)] * rank
    direction[:3, :3], origin[:3], spacing[:3], shape[:3] = first.direction, first.origin_mm, first.spacing_mm, first.shape[::-1]
    times = [f.meta.get("frame_time_ms") for f in frames]
    if rank == 4 and None not in times:
        origin[3], spacing[3] = times[0], (times[-1] - times[0]) / (len(times) - 1)  # type: ignore[operator]
    text = {
        "ObjectType": "Image",
        "NDims": rank,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        **({"CompressedData": False} if size is None else {"CompressedData": True, "CompressedDataSize": size}),
        "TransformMatrix": _text(direction.T.ravel()),
        "Offset": _text(origin),
        "CenterOfRotation": _text(np.zeros(rank)),
        "ElementSpacing": _text(spacing),
        "DimSize": " ".join(map(str, shape)),
        "ElementType": TYPES[first.array.dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{key} = {value}\n" for key, value in text.items())


def _text(values: np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values)
