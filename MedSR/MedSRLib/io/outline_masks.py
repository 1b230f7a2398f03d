"""Outlines out of masks: pictures of any value or colour, label volumes, Slicer segmentations. Rings run along pixel borders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..outlines import DEFAULT_COLOUR, Outline
from .outline_files import OutlineFile
from .outline_trace import polygons_of
from .slide_source import check_piece

MOST_LABELS = 64
"""A picture or volume with more different values is an image that was given for a mask, or a mask blurred or packed with loss."""
SAME_SHAPE = 0.01
"""Relative difference of width to height between a mask and the slide that it is said to cover."""


def read_picture(path: Path, slide_size: tuple[int, int] | None) -> OutlineFile:
    """Each value or colour but the background's as an outline. Raises InputError where the picture is no mask."""
    pixels = _pixels(path)
    labels, values, said = _labelled(pixels, path)
    outlines = []
    for number, value in enumerate(values, 1):
        name, colour = (f"Label {value[0]}", DEFAULT_COLOUR) if len(value) == 1 else ("#" + bytes(value).hex(), value)
        outlines.append((number, name, colour))
    return _outlines(labels, outlines, slide_size, path, None, said)


def read_volume(path: Path, slide_size: tuple[int, int] | None, slice_index: int | None) -> OutlineFile:
    """Each label of one slice as an outline, with the names and colours of a Slicer segmentation.

    The volume's x and y are the slide's, whatever its direction says of the patient; its pixel size is the slide's.
    """
    from . import formats

    frames = formats.read_labels(path)
    if len(frames) > 1:
        raise InputError(f"holds {len(frames)} frames", where=str(path), fix="give one label volume")
    volume = frames[0]
    chosen = _slice(volume.array, slice_index, path)
    plane = np.asarray(volume.array[chosen])
    if plane.dtype.kind == "f" and not (plane == np.rint(plane)).all():
        raise InputError("its values are not whole numbers, so it is no label volume", where=str(path), fix="give labels, not an image")
    values = [v for v in _values(plane) if v != 0]
    if len(values) > MOST_LABELS:
        raise _photograph(len(values), path)
    names, colours = volume.meta.get("segments", {}), volume.meta.get("segment_colours", {})
    labels = [(v, str(names.get(v, f"Label {v}")), colours.get(v, DEFAULT_COLOUR)) for v in values]
    mpp = volume.spacing_mm[0] * 1000, volume.spacing_mm[1] * 1000
    offset = volume.meta.get("segment_offset", (0, 0, 0))
    if any(offset[:2]):
        return _cropped(plane, labels, (offset[0], offset[1]), mpp)
    return _outlines(plane, labels, slide_size, path, mpp, ())


def _values(plane: np.ndarray) -> list[int]:
    """The different values, without sorting all pixels where they are small numbers."""
    if plane.dtype.kind in "u" and plane.dtype.itemsize <= 2:
        return np.flatnonzero(np.bincount(plane.ravel())).tolist()
    return [int(value) for value in np.unique(plane)]


def _inside(labels: np.ndarray, value: int) -> np.ndarray:
    """(h, w) bool of (h, w), or of (h, w, layer) where segments overlap."""
    return labels == value if labels.ndim == 2 else (labels == value).any(-1)


def _cropped(plane: np.ndarray, wanted: list[tuple[int, str, Any]], offset: tuple[int, int], mpp: tuple[float, float]) -> OutlineFile:
    """Outlines of a segmentation that Slicer saved without its empty margin: pixels of the picture that it was drawn on."""
    matrix = np.array([[1.0, 0, offset[0]], [0, 1, offset[1]], [0, 0, 1]])
    found = tuple(Outline(name, polygons_of(_inside(plane, value)), colour).moved(matrix) for value, name, colour in wanted)
    said = ("the segmentation holds a part of a picture; its pixels are taken for those of the slide's finest level",)
    return OutlineFile(found, None, mpp, said)


def _outlines(
    labels: np.ndarray,
    wanted: list[tuple[int, str, Any]],
    slide_size: tuple[int, int] | None,
    path: Path,
    mpp: tuple[float, float] | None,
    said: tuple[str, ...],
) -> OutlineFile:
    size = labels.shape[1], labels.shape[0]
    scale, more = _scale(size, slide_size, path)
    matrix = np.diag([scale[0], scale[1], 1.0])
    found = tuple(Outline(name, polygons_of(_inside(labels, value)), colour).moved(matrix) for value, name, colour in wanted)
    mpp = None if mpp is None else (mpp[0] / scale[0], mpp[1] / scale[1])
    return OutlineFile(found, slide_size or size, mpp, said + more)


def _scale(size: tuple[int, int], slide_size: tuple[int, int] | None, path: Path) -> tuple[tuple[float, float], tuple[str, ...]]:
    """(x, y) level-0 pixels per mask pixel, and a sentence where they are not one. Raises InputError for another shape."""
    if slide_size is None or size == slide_size:
        return (1.0, 1.0), ()
    x, y = slide_size[0] / size[0], slide_size[1] / size[1]
    if abs(x / y - 1) > SAME_SHAPE + 1 / min(size):
        what = f"a mask of {size[0]} x {size[1]} pixels does not have the shape of the slide ({slide_size[0]} x {slide_size[1]})"
        raise InputError(what, where=str(path), fix="export the mask over the whole slide")
    return (x, y), (f"the mask has {size[0]} x {size[1]} pixels; it is taken to cover the whole slide, {x:.4g} slide pixels each",)


def _slice(array: np.ndarray, chosen: int | None, path: Path) -> int:
    if chosen is not None:
        if not 0 <= chosen < len(array):
            raise InputError(f"has no slice {chosen}", where=str(path), fix=f"choose one of 0 to {len(array) - 1}")
        return chosen
    filled = [z for z in range(len(array)) if array[z].any()]
    if len(filled) > 1:
        fix = "choose one of " + ", ".join(map(str, filled))
        raise InputError(f"{len(filled)} of its slices hold labels, and a slide is one", where=str(path), fix=fix)
    return filled[0] if filled else 0


def _pixels(path: Path) -> np.ndarray:
    """(h, w) or (h, w, 3): the values as stored."""
    if path.suffix.lower() in (".tif", ".tiff"):
        from . import slide_tiff

        try:
            with slide_tiff.library(path).TiffFile(path) as file:
                page = file.pages[0]
                check_piece(path, int(np.prod(page.shape)) * page.dtype.itemsize)
                pixels = page.asarray()
        except slide_tiff.FORMAT_ERRORS as error:
            raise InputError("the mask is cut short or damaged", where=str(path), fix="copy or export it again") from error
        pixels = np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 else pixels
    else:
        from .slide_picture import PictureSource

        source = PictureSource(path)
        try:
            pixels = source.values()
        finally:
            source.close()
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        pixels = pixels[..., :3]
        grey = (pixels == pixels[..., :1]).all()
        return pixels[..., 0] if grey else pixels
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels.squeeze()


def _labelled(pixels: np.ndarray, path: Path) -> tuple[np.ndarray, list[tuple[int, ...]], tuple[str, ...]]:
    """((h, w) numbers from 0 for the background, each number's value or colour, warnings)."""
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "iu":
        raise InputError(f"a picture of shape {pixels.shape} and type {pixels.dtype} is no mask", where=str(path))
    flat = pixels if pixels.ndim == 2 else pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    values, labels = np.unique(flat, return_inverse=True)
    if len(values) > MOST_LABELS + 1:
        raise _photograph(len(values), path)
    labels = labels.reshape(flat.shape)
    back, said = _background(values, labels)
    order = [back, *(i for i in range(len(values)) if i != back)]
    numbers = np.empty(len(values), np.uint8)
    numbers[order] = np.arange(len(values))
    decode = (lambda v: (int(v),)) if pixels.ndim == 2 else (lambda v: (int(v) >> 16, int(v) >> 8 & 255, int(v) & 255))
    return numbers[labels], [decode(values[i]) for i in order[1:]], said


def _background(values: np.ndarray, labels: np.ndarray) -> tuple[int, tuple[str, ...]]:
    """Which of the values is the background: 0, else what most of the border has, which is said."""
    if values[0] == 0:
        return 0, ()
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    back = int(np.bincount(border).argmax())
    return back, (f"the mask has no value 0; the value {int(values[back])}, which most of its border has, is taken for the background",)


def _photograph(count: int, path: Path) -> InputError:
    what = f"has {count} different values, so it is a photograph or a blurred mask"
    return InputError(what, where=str(path), fix="export the mask without smoothing and as PNG or TIFF, not as JPEG")


def named(outlines: tuple[Outline, ...], names: Mapping[str, str]) -> tuple[Outline, ...]:
    """The same outlines under other class names: names["Label 255"] = "cancer"."""
    return tuple(Outline(names.get(outline.name, outline.name), outline.polygons, outline.colour) for outline in outlines)
