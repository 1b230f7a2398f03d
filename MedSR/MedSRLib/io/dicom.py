"""DICOM to Volumes: a folder, a file of a series, classic or enhanced, 3-D or 4-D. Slices are placed by position and orientation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..volume import Volume
from .dicom_headers import Slice, slices_below
from .dicom_pixels import Pixels
from .dicom_stack import consistent_keys, frames_of, grid_of, images_of, places_of, plane_of
from .rescale import rescale
from .series import SeriesInfo

MAX_LISTED = 20
"""How many series an error names before it stops."""


def list_series(path: Path) -> list[SeriesInfo]:
    """The images of a folder, or of a file's series. Raises InputError where there is no DICOM image."""
    return [_info(uid, image) for uid, image in _images(path).items()]


def read(path: Path, series: str = "") -> tuple[Volume, ...]:
    """The frames of one series: modality values (HU for CT), true geometry, and what was odd in meta["warnings"].

    series: its UID, or "UID#2" for the second of several images (planes, sizes) that share one UID; needed where there are several.
    Raises InputError where there are several and none was chosen, or where they do not make one grid; DependencyError where a
    decoder is missing.
    """
    image = _chosen(_images(path), path, series)
    _refuse(image, path)
    pixels = Pixels(image)
    places, told = _without_copies(places_of(image), pixels, path)
    frames = frames_of(places)
    grid = grid_of(frames[0])
    values = _values(frames, pixels)
    told += _mixed_kinds(places) + grid.warnings
    return tuple(
        Volume(v, grid.spacing_mm, grid.origin_mm, grid.direction, grid.positions_mm, _meta(frame, places, path, told))
        for v, frame in zip(values, frames, strict=True)
    )


def _images(path: Path) -> dict[str, list[Slice]]:
    """{UID, or "UID#n" where one UID holds several images: slices}."""
    slices = slices_below(path)
    if not slices:
        raise InputError("there is no DICOM image in this folder", where=str(path), fix="give the folder that holds the series")
    found: dict[str, list[Slice]] = {}
    for uid in dict.fromkeys(s.series for s in slices):
        images = images_of([s for s in slices if s.series == uid])
        for number, image in enumerate(images, 1):
            found[uid if len(images) == 1 else f"{uid}#{number}"] = image
    if path.is_file():
        found = {uid: image for uid, image in found.items() if any(s.path == path for s in image)}
    return found


def _info(uid: str, image: Sequence[Slice]) -> SeriesInfo:
    first = image[0]
    places = len(places_of(image)) if first.placed else len(image)
    shape = (len(image) // places, places, *first.size)
    return SeriesInfo(uid, first.description, first.modality, tuple(dict.fromkeys(s.path for s in image)), shape)


def _chosen(images: dict[str, list[Slice]], path: Path, series: str) -> list[Slice]:
    if series:
        images = {uid: image for uid, image in images.items() if series in (uid, uid.partition("#")[0])}
        if not images:
            raise InputError(f"there is no series {series} here", where=str(path), fix="choose one that is listed")
    if len(images) == 1:
        return next(iter(images.values()))
    names = [f"{uid} ({_summary(image)})" for uid, image in images.items()]
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    if len({uid.partition("#")[0] for uid in images}) == 1:
        raise InputError(
            f"one series holds images of {len(images)} planes or sizes: {listed}", where=str(path), fix="choose one by its UID"
        )
    raise InputError(f"holds {len(images)} series: {listed}", where=str(path), fix="choose one by its UID")


def _summary(image: Sequence[Slice]) -> str:
    first = image[0]
    spacing = f" at {first.spacing_mm[0]:.4g} mm" if first.spacing_mm else ""
    what = f"{first.modality} {first.description}".strip()
    return f"{what}, {len(image)} {plane_of(first)} of {first.size[1]}x{first.size[0]}{spacing}"


def _refuse(image: Sequence[Slice], path: Path) -> None:
    first = image[0]
    if first.refusal:
        raise InputError(f"this is {first.refusal}", where=str(path))
    if first.colour:
        raise InputError("holds colour pictures", where=str(path), fix="give a series of one number a pixel")
    if not first.placed:
        what = "does not say where its pictures lie (no position, orientation or pixel spacing)"
        raise InputError(what, where=str(path), fix="give the original series")
    if first.mosaic < 0:
        raise InputError(
            "is a Siemens mosaic whose own header was removed, so its slices cannot be placed",
            where=str(path),
            fix="give the original files",
        )


def _without_copies(places: list[list[Slice]], pixels: Pixels, path: Path) -> tuple[list[list[Slice]], tuple[str, ...]]:
    """Drop slices that are copies, pixel for pixel, of another at their place, and say so.

    Frames of a 4-D series stay, even where a place happens not to change. Raises InputError where the places do not hold as many
    slices each: then some are missing, or one place was taken twice.
    """
    if {len(p) for p in places} == {1}:
        return places, ()
    single = [pixels.distinct(place) for place in places]
    even, even_single = len({len(p) for p in places}) == 1, len({len(p) for p in single}) == 1
    if even and max(len(p) for p in single) > 1:
        return places, ()
    if even_single:
        dropped = sum(map(len, places)) - sum(map(len, single))
        what = "picture is a copy" if dropped == 1 else "pictures are copies"
        return single, (f"{dropped} {what} of another at the same place and left out",)
    counts = [len(place) for place in single]
    usual = max(set(counts), key=counts.count)
    odd = next(i for i, count in enumerate(counts) if count != usual)
    what = f"its slices do not make complete frames: {counts[odd]} different pictures at place {odd + 1}, {usual} at others"
    raise InputError(what, where=str(path), fix="remove the extra files, or export the series again")


def _values(frames: Sequence[Sequence[Slice]], pixels: Pixels) -> np.ndarray:
    """(frames, z, y, x) modality values: one slope for all keeps integers where it can, several give float32."""
    stored = np.stack([np.stack([pixels[s] for s in frame]) for frame in frames])
    scales = {(s.slope, s.intercept) for frame in frames for s in frame}
    if len(scales) == 1:
        return rescale(stored, *scales.pop())
    slope, intercept = (np.array([[getattr(s, n) for s in f] for f in frames])[..., None, None] for n in ("slope", "intercept"))
    return (stored * slope + intercept).astype(np.float32)


def _mixed_kinds(places: Sequence[Sequence[Slice]]) -> tuple[str, ...]:
    kinds = list(dict.fromkeys(s.keys["kind"] for s in places[0]))
    return (f"its frames are of different kinds ({', '.join(kinds)})",) if len(kinds) > 1 else ()


def _meta(frame: Sequence[Slice], places: Sequence[Sequence[Slice]], path: Path, warnings: tuple[str, ...]) -> dict[str, Any]:
    first = frame[0]
    return {
        "name": first.description or (path if path.is_dir() else path.parent).name,
        "modality": first.modality,
        "units": first.units,
        "warnings": warnings,
        "identity": {"series": first.series, "instances": [s.instance for s in frame]},
        "frame_time_ms": _time_ms(frame) if len(places[0]) > 1 else None,
        "frame_keys": {key: first.keys[key] for key in consistent_keys(places)},
        "dicom_files": tuple(str(s.path) for s in frame),
        "dicom_frames": tuple(s.frame for s in frame),
    }


def _time_ms(frame: Sequence[Slice]) -> float | None:
    """Mean trigger time, or time offset, of a frame's slices."""
    for key in ("trigger_time_ms", "time_offset_ms"):
        times = [s.keys[key] for s in frame]
        if None not in times:
            return float(np.mean(times))
    return None
