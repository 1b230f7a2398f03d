"""Siemens mosaics: the slices of a volume tiled in one picture. Their number and normal stand in Siemens' own (CSA) header.

The layout of that header (version 2, "SV10") and the shift of the first tile are those published with NiBabel's DICOM documentation.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any

import numpy as np

from .dicom_headers import Slice

CSA_IMAGE_HEADER = (0x0029, 0x1010)


def tiles_of(picture: Slice, dataset: Any) -> list[Slice]:
    """The slices of a mosaic, each with its own place; the picture itself, unplaced, where Siemens' header does not tell."""
    facts = csa_facts(dataset.get(CSA_IMAGE_HEADER))
    count = int(float(next(iter(facts.get("NumberOfImagesInMosaic", [])), 0)))
    normal = np.array([float(v) for v in facts.get("SliceNormalVector", [])])
    if count < 1 or normal.shape != (3,) or not picture.placed or picture.thickness_mm is None:
        return [replace(picture, mosaic=-1)]
    assert picture.position is not None and picture.axes is not None and picture.spacing_mm is not None
    across = math.ceil(math.sqrt(count))
    size = (picture.size[0] // across, picture.size[1] // across)
    # the header places a picture of the mosaic's size around the volume's own centre
    margin = np.array([picture.size[1] - size[1], picture.size[0] - size[0]]) / 2 * picture.spacing_mm
    first = picture.position + margin @ picture.axes
    cross = np.cross(*picture.axes)
    step = cross / np.linalg.norm(cross) * np.sign(cross @ normal) * picture.thickness_mm
    order = picture.order[0]
    return [replace(picture, frame=i, size=size, mosaic=count, position=first + i * step, order=(order, i)) for i in range(count)]


def cut(picture: np.ndarray, count: int) -> np.ndarray:
    """(count, rows, columns) tiles of a (rows, columns) mosaic, row by row."""
    across = math.ceil(math.sqrt(count))
    rows, columns = picture.shape[0] // across, picture.shape[1] // across
    tiles = picture[: rows * across, : columns * across].reshape(across, rows, across, columns).swapaxes(1, 2)
    return tiles.reshape(-1, rows, columns)[:count]


def csa_facts(element: Any) -> dict[str, list[str]]:
    """{name: values} of a CSA header of version 2; empty where it is absent, of another version, or damaged."""
    data = getattr(element, "value", b"")
    if not isinstance(data, bytes) or data[:4] != b"SV10":
        return {}
    facts: dict[str, list[str]] = {}
    try:
        (tags,) = struct.unpack_from("<I", data, 8)
        at = 16
        for _ in range(min(tags, 1000)):
            name, items = data[at : at + 64].split(b"\0")[0].decode("latin-1"), struct.unpack_from("<i", data, at + 76)[0]
            at += 84
            values = []
            for _ in range(items):
                (length,) = struct.unpack_from("<i", data, at + 4)
                values.append(data[at + 16 : at + 16 + length].split(b"\0")[0].decode("latin-1").strip())
                at += 16 + (length + 3) // 4 * 4
            facts[name] = [v for v in values if v]
    except (struct.error, ValueError):
        return {}
    return facts
