"""NIfTI-1 and NIfTI-2, by their own header: what others guess about geometry is decided here, and said.

The header's affine maps voxel index to RAS mm; a Volume is LPS. Header numbers are 32-bit: they are taken as the shortest
decimal that names them, so that 1.4 comes back as 1.4 and not as 1.39999998.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..volume import Volume
from .atomic import replacing_file
from .rescale import rescale
from .series import file_meta
from .slabs import slabs

SCALE_TOLERANCE = 1e-3
"""Largest relative difference between pixdim and the column lengths of the sform that still counts as agreement."""

HALF_TURN = 1e-7
"""Below this, 1 - b2 - c2 - d2 of a quaternion is the rounding of 32-bit numbers: the rotation is half a turn (as in nifti1_io.c)."""

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
"""NIfTI datatype codes and the numpy types they mean; the others (bits, complex, RGB, 128-bit) are refused."""

_COLOUR = {32: "complex", 1792: "complex", 2048: "complex", 128: "colour (RGB)", 2304: "colour (RGBA)"}
_TIME_UNITS_MS = {8: 1000.0, 16: 1.0, 24: 1e-3, 0: 1000.0}

_FIELDS_1 = {
    "sizeof_hdr": ("i4", 0), "dim": ("8i2", 40), "intent_code": ("i2", 68), "datatype": ("i2", 70), "bitpix": ("i2", 72),
    "pixdim": ("8f4", 76), "vox_offset": ("f4", 108), "scl_slope": ("f4", 112), "scl_inter": ("f4", 116), "xyzt_units": ("u1", 123),
    "toffset": ("f4", 136), "qform_code": ("i2", 252), "sform_code": ("i2", 254), "quatern": ("3f4", 256), "qoffset": ("3f4", 268),
    "srow": ("(3,4)f4", 280), "magic": ("S4", 344),
}  # fmt: skip
_FIELDS_2 = {
    "sizeof_hdr": ("i4", 0), "magic": ("S8", 4), "datatype": ("i2", 12), "bitpix": ("i2", 14), "dim": ("8i8", 16), "pixdim": ("8f8", 104),
    "vox_offset": ("i8", 168), "scl_slope": ("f8", 176), "scl_inter": ("f8", 184), "toffset": ("f8", 216), "qform_code": ("i4", 344),
    "sform_code": ("i4", 348), "quatern": ("3f8", 352), "qoffset": ("3f8", 376), "srow": ("(3,4)f8", 400), "xyzt_units": ("i4", 500),
    "intent_code": ("i4", 504),
}  # fmt: skip


def _layout(fields: dict[str, tuple[str, int]], size: int) -> np.dtype:
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": list(formats), "offsets": list(offsets), "itemsize": size})


HEADER_1 = _layout(_FIELDS_1, 348)
HEADER_2 = _layout(_FIELDS_2, 540)


def read(path: Path) -> tuple[Volume, ...]:
    """The frames of a NIfTI file, in LPS. Raises InputError for anything but real 3-D or 4-D data."""
    data = _bytes(path)
    header = _header(data, path)
    shape = _shape(header, path)
    values = _rescaled(_values(data, header, shape, path), header)
    affine, spacing, warnings = _geometry(header, path)
    meta = file_meta(path, warnings)
    times = _frame_times_ms(header, shape[0])
    grid = (tuple(spacing), tuple(affine[:3, 3]), affine[:3, :3] / spacing)
    return tuple(Volume(v, *grid, meta={**meta, "frame_time_ms": t}) for v, t in zip(values, times, strict=True))


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError("the file is cut short or damaged", where=str(path), fix="copy or download it again") from error


def _header(data: bytes, path: Path) -> np.void:
    for layout in (HEADER_1, HEADER_2):
        for order in ("<", ">"):
            if len(data) >= layout.itemsize:
                header = np.frombuffer(data, layout.newbyteorder(order), 1)[0]  # type: ignore[arg-type]
                if header["sizeof_hdr"] == layout.itemsize and header["magic"][:2] == b"n+":
                    return header
    raise InputError("is not a NIfTI file", where=str(path), fix="give a .nii or .nii.gz file that opens elsewhere")


def _shape(header: np.void, path: Path) -> tuple[int, int, int, int]:
    """(frames, z, y, x)."""
    rank = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : rank + 1]]
    code = int(header["datatype"])
    if code not in TYPES:
        what = f"holds {_COLOUR.get(code, f'NIfTI type {code}')} values"
        raise InputError(what, where=str(path), fix="give an image of one real number a voxel")
    if rank < 3:
        raise InputError("a 2-D image is not a volume", where=str(path), fix="give a 3-D image")
    if rank > 7 or min(sizes) < 1 or any(n != 1 for n in sizes[4:]):
        raise InputError(f"an image of size {'x'.join(map(str, sizes))} is not a 3-D or 4-D volume", where=str(path))
    x, y, z, t = (sizes + [1])[:4]
    return t, z, y, x


def _values(data: bytes, header: np.void, shape: tuple[int, ...], path: Path) -> np.ndarray:
    stored = np.dtype(TYPES[int(header["datatype"])])
    offset = float(header["vox_offset"])
    start = max(int(offset) if math.isfinite(offset) else 0, header.dtype.itemsize + 4)
    count = math.prod(shape)
    if len(data) < start + count * stored.itemsize:
        raise InputError("the file is cut short", where=str(path), fix="copy or download it again")
    if header.dtype["sizeof_hdr"].byteorder == ">":
        return np.frombuffer(data, stored.newbyteorder(">"), count, start).astype(stored).reshape(shape)
    return np.frombuffer(data, stored, count, start).reshape(shape)


def _rescaled(values: np.ndarray, header: np.void) -> np.ndarray:
    """Apply scl_slope and scl_inter: whole numbers keep an integer type, others give float32 (float64 from 32-bit and wider)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0 or (slope, intercept) == (1.0, 0.0):
        return values
    return rescale(values, slope, intercept)


def _decimal(number: Any) -> float:
    """The shortest decimal that a header number stands for."""
    return float(str(number))


def _qform(header: np.void, pixdim: np.ndarray) -> np.ndarray:
    """4x4 RAS affine of the quaternion; the sign of pixdim[0] flips the third axis."""
    vector = np.array(header["quatern"], np.float64)
    rest = 1.0 - float(vector @ vector)
    if rest < HALF_TURN:
        vector, rest = vector / np.linalg.norm(vector), 0.0
    a, (b, c, d) = math.sqrt(rest), vector
    turn = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ])  # fmt: skip
    flip = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = turn * pixdim * (1.0, 1.0, flip)
    affine[:3, 3] = [_decimal(o) for o in header["qoffset"]]
    return affine


def _sform(header: np.void) -> np.ndarray | None:
    """4x4 RAS affine, or None where the header has none, or an impossible one."""
    affine = np.eye(4)
    affine[:3] = np.vectorize(_decimal, otypes=[float])(header["srow"])
    usable = header["sform_code"] > 0 and np.all(np.isfinite(affine)) and abs(np.linalg.det(affine)) > 1e-12
    return affine if usable else None


def _geometry(header: np.void, path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(4x4 LPS affine, (3,) spacing mm, warnings). Spacing is pixdim's; the axes are the sform's, else the qform's.

    Where the sform's lengths are not pixdim's (ACDC's headers: identity sform, true pixdim), pixdim is believed, and the
    axes and origin come from the qform where there is one.
    """
    pixdim = np.array([_decimal(p) for p in header["pixdim"][1:4]])
    if not np.all(np.isfinite(pixdim)) or pixdim.min() <= 0:
        raise InputError(f"spacing {tuple(pixdim.tolist())} mm is not positive", where=str(path), fix="correct the header's pixdim")
    sform = _sform(header)
    qform = _qform(header, pixdim) if header["qform_code"] > 0 else None
    warnings: tuple[str, ...] = ()
    if sform is not None:
        lengths = np.linalg.norm(sform[:3, :3], axis=0)
        if np.abs(lengths / pixdim - 1).max() > SCALE_TOLERANCE:
            said, told = (" x ".join(f"{v:g}" for v in three) for three in (lengths, pixdim))
            warnings = (f"the header's sform says {said} mm and its pixdim {told} mm: pixdim was taken",)
        affine = sform if qform is None or not warnings else qform
        affine[:3, :3] *= pixdim / np.linalg.norm(affine[:3, :3], axis=0)
    else:
        affine = qform if qform is not None else np.diag([*pixdim, 1.0])
        if qform is None:
            warnings = ("the header has neither sform nor qform: orientation and position are unknown",)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine + 0.0, pixdim, warnings


def _frame_times_ms(header: np.void, frames: int) -> list[float | None]:
    step = _decimal(header["pixdim"][4])
    scale = _TIME_UNITS_MS.get(int(header["xyzt_units"]) & 0x38)
    if frames == 1 or scale is None or not math.isfinite(step) or step <= 0:
        return [None] * frames
    return [(_decimal(header["toffset"]) + i * step) * scale for i in range(frames)]


def write(path: Path, frames: Sequence[Volume]) -> None:
    """Write NIfTI-1, gzipped where the name ends in .gz. Geometry is rounded to the format's 32-bit numbers.

    sform and qform are both written; a sheared grid has a sform only. Frame times that are not even are written as their mean step.
    """
    header = _new_header(frames)
    with replacing_file(path) as file:
        packed = path.name.lower().endswith(".gz")
        target = gzip.GzipFile("", "wb", 3, file, mtime=0) if packed else file
        target.write(header.tobytes() + bytes(4))
        for slab in (slab for frame in frames for slab in slabs(frame.array)):
            target.write(slab)
        if packed:
            target.close()


def _new_header(frames: Sequence[Volume]) -> np.ndarray:
    first = frames[0]
    header = np.zeros((), HEADER_1.newbyteorder("<"))
    header["sizeof_hdr"], header["magic"], header["vox_offset"], header["xyzt_units"] = 348, b"n+1", 352, 2 | 16
    header["datatype"] = next(code for code, name in TYPES.items() if np.dtype(name) == first.array.dtype.newbyteorder("="))
    header["bitpix"] = first.array.dtype.itemsize * 8
    header["dim"] = [4 if len(frames) > 1 else 3, *first.shape[::-1], len(frames), 1, 1, 1]
    header["scl_slope"] = 1
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ first.affine
    header["srow"], header["sform_code"], header["qoffset"] = affine[:3], 1, affine[:3, 3]
    header["pixdim"] = [1, *first.spacing_mm, _mean_step_ms(frames), 0, 0, 0]
    if not first.is_sheared:
        header["qform_code"] = 1
        header["pixdim"][0], header["quatern"] = _quaternion(affine[:3, :3] / first.spacing_mm)
    return header


def _quaternion(axes: np.ndarray) -> tuple[float, np.ndarray]:
    """(sign of the third axis, (b, c, d)) of the rotation nearest to three unit columns."""
    from scipy.spatial.transform import Rotation

    sign = 1.0 if np.linalg.det(axes) > 0 else -1.0
    return sign, Rotation.from_matrix(axes * (1.0, 1.0, sign)).as_quat(canonical=True)[:3]


def _mean_step_ms(frames: Sequence[Volume]) -> float:
    times = [f.meta.get("frame_time_ms") for f in frames]
    return 0.0 if len(frames) < 2 or None in times else (times[-1] - times[0]) / (len(frames) - 1)  # type: ignore[operator]
