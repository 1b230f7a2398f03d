"""NRRD (and the rarer MetaImages) through SimpleITK: the frames of a file, with the geometry that the file states."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..volume import Volume
from . import seg_nrrd
from .series import MODALITY_KEY, file_meta, is_modality, suffix_of

_MAX_HEADER = 1 << 16
_CHUNK = 1 << 20
_TO_MS = {"ms": 1.0, "msec": 1.0, "millisecond": 1.0, "s": 1000.0, "sec": 1000.0, "second": 1000.0}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No ITK warnings on the terminal meanwhile: what matters of them is said in Volume.meta."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read(path: Path, layered: bool = False) -> tuple[Volume, ...]:
    """The frames of a NRRD or MetaImage file, in LPS. Raises InputError for anything but real 3-D or 4-D data.

    layered: take a segmentation whose segments overlap, as one Volume of several layers (volume_layers.py), instead of refusing it.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
            _refuse(reader, path, layered)
            image = reader.Execute()
        _check_packing(path)
    except RuntimeError as error:
        raise InputError(_reason(str(error)), where=str(path), fix="copy or export it again") from error
    facts = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.isascii()}  # others come damaged out of it
    values = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    elif values.ndim == 3:
        values = values[None]
    meta = file_meta(path) | _segments(facts, path)
    if is_modality(facts.get(MODALITY_KEY, "")):
        meta["modality"] = facts[MODALITY_KEY]
    if layered and len(values) > 1 and suffix_of(path) == ".seg.nrrd":
        values, meta = _layers(values, meta, facts)
    rank = image.GetDimension()
    axes = np.array(image.GetDirection()).reshape(rank, rank)[:3, :3]
    times = _frame_times_ms(facts, len(values), image)
    # NRRD holds axis vectors: their lengths are the spacing but for the last bits
    x, y, z = (float(f"{s:.12g}") for s in image.GetSpacing()[:3])
    grid = ((x, y, z), image.GetOrigin()[:3], axes)
    return tuple(Volume(v, *grid, meta={**meta, "frame_time_ms": t}) for v, t in zip(values, times, strict=True))


def _refuse(reader: Any, path: Path, layered: bool) -> None:
    """Raise InputError for what is no real 3-D or 4-D image, before its voxels are read."""
    import SimpleITK as sitk

    rank, size, parts = reader.GetDimension(), reader.GetSize(), reader.GetNumberOfComponents()
    kind = reader.GetMetaData("NRRD_kinds[pixel]") if reader.HasMetaDataKey("NRRD_kinds[pixel]") else ""
    if kind == "complex" or "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise InputError("holds complex values", where=str(path), fix="give its magnitude")
    if rank < 3:
        raise InputError("a 2-D image is not a volume", where=str(path), fix="give a 3-D image")
    if rank > 4 or (rank == 4 and parts > 1):
        raise InputError(f"an image of size {'x'.join(map(str, size))} is not a 3-D or 4-D volume", where=str(path))
    if parts > 1 and suffix_of(path) == ".seg.nrrd":  # ITK writes layers as a vector
        if not layered:
            raise InputError("its segments overlap", where=str(path), fix="export them from Slicer as one label map")
    elif parts > 1 and kind != "list":
        what = "colour" if "color" in kind.lower() or parts in (3, 4) and not kind else "vector"
        raise InputError(f"holds {what} values ({parts} numbers a voxel)", where=str(path), fix="give an image of one number a voxel")


def _check_packing(path: Path) -> None:
    """Raise RuntimeError where the checksum of a NRRD's gzipped voxels fails: ITK returns them all the same."""
    with path.open("rb") as file:
        header, _, voxels = file.read(_MAX_HEADER).partition(b"\n\n")
        if not header.startswith(b"NRRD") or not re.search(rb"^encoding: gz", header, re.MULTILINE) or b"data file:" in header:
            return
        file.seek(len(header) + 2)
        unpacker = zlib.decompressobj(wbits=31)
        try:
            while voxels := file.read(_CHUNK):
                while voxels:
                    unpacker.decompress(voxels, _CHUNK)
                    voxels = unpacker.unconsumed_tail
        except zlib.error as error:
            raise RuntimeError("damaged") from error
        if not unpacker.eof:
            raise RuntimeError("cut short")


def _reason(message: str) -> str:
    """What ITK's report comes down to."""
    if re.search(r"Could not create IO object|not recognized|wrong magic|not a NRRD", message, re.IGNORECASE):
        return "is not a readable image, or is empty"
    if re.search(r"No such file|could not open|cannot be opened|Failed to open", message, re.IGNORECASE):
        return "the file that holds its voxels is missing"
    return "the file is cut short or damaged"


def _segments(facts: dict[str, str], path: Path) -> dict[str, Any]:
    """What a Slicer segmentation says of its segments and where its array begins, else nothing."""
    if suffix_of(path) != ".seg.nrrd":
        return {}
    return seg_nrrd.meta_of({s.value: s for s in seg_nrrd.stated(facts)}) | {"segment_offset": seg_nrrd.offset(facts)}


def _layers(values: np.ndarray, meta: dict[str, Any], facts: dict[str, str]) -> tuple[np.ndarray, dict[str, Any]]:
    """(one frame of (z, y, x, layer), the meta of its segments) of the layers' frames."""
    array, segments = seg_nrrd.numbered(np.moveaxis(values, 0, -1), seg_nrrd.stated(facts))
    return array[None], meta | seg_nrrd.meta_of(segments)


def _frame_times_ms(facts: dict[str, str], frames: int, image: Any) -> list[float | None]:
    """From Slicer's index values, else from the step of a fourth axis; None where neither tells."""
    unit = facts.get("NRRD_units[pixel]", facts.get("NRRD_units[3]", "")).strip('" ')
    values = next((v.split() for k, v in facts.items() if re.fullmatch(r"axis \d index values", k)), [])
    if len(values) == frames > 1 and unit in _TO_MS:
        with contextlib.suppress(ValueError):
            return [float(v) * _TO_MS[unit] for v in values]
    if frames > 1 and image.GetDimension() == 4 and unit in _TO_MS:
        return [(image.GetOrigin()[3] + i * image.GetSpacing()[3]) * _TO_MS[unit] for i in range(frames)]
    return [None] * frames
