"""DICOM pixels, each file decoded once, as stored (before any rescale)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, InputError
from .dicom_headers import Slice, is_damage
from .dicom_mosaic import cut

_NO_DECODER = ("missing dependencies", "missing required dependencies", "no available", "unable to decode pixel data with a transfer")
"""Words of pydicom 2.4 and 3 for a compressed transfer syntax that no installed library decodes."""


class Pixels:
    """The stored pixels of slices: `pixels[slice]` is (rows, columns). Raises InputError or DependencyError while loading."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self._of: dict[tuple[Path, int], np.ndarray] = {}
        for one in slices:
            if (one.path, one.frame) not in self._of:
                pictures = _decoded(one)
                self._of.update({(one.path, number): picture for number, picture in enumerate(pictures)})

    def __getitem__(self, one: Slice) -> np.ndarray:
        return self._of[one.path, one.frame]

    def distinct(self, place: Sequence[Slice]) -> list[Slice]:
        """The slices without those that equal an earlier one in every pixel and in their rescale."""
        kept: list[Slice] = []
        for one in place:
            if not any(self._equal(one, other) for other in kept):
                kept.append(one)
        return kept

    def _equal(self, one: Slice, other: Slice) -> bool:
        return (one.slope, one.intercept) == (other.slope, other.intercept) and np.array_equal(self[one], self[other])


def _decoded(one: Slice) -> np.ndarray:
    """(frames, rows, columns) of the slice's file, native byte order."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(one.path, force=True)
            pictures = dataset.pixel_array
    except MemoryError:
        raise
    except Exception as error:
        if not is_damage(error):
            raise
        raise _reason(one, error) from error
    pictures = cut(pictures, one.mosaic) if one.mosaic > 0 else pictures.reshape(-1, *one.size)
    return pictures.astype(pictures.dtype.newbyteorder("="), copy=False)


def _reason(one: Slice, error: Exception) -> Exception:
    from pydicom.uid import UID

    syntax: Any = UID(one.syntax) if one.syntax else None
    text = str(error).lower()
    undecodable = any(words in text for words in _NO_DECODER)
    if syntax is not None and syntax.is_transfer_syntax and syntax.is_compressed and undecodable:
        fix = "install pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg"
        return DependencyError(f"a decoder for {syntax.name} is missing", where=str(one.path), fix=fix)
    return InputError("its pixels are cut short or damaged", where=str(one.path), fix="copy or export the file again")
