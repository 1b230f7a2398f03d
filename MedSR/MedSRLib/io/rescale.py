"""Stored numbers to real ones: value = slope x stored + intercept."""

from __future__ import annotations

import numpy as np

_INTEGERS = tuple(np.dtype(t) for t in ("int16", "uint16", "int32", "uint32", "int64"))


def rescale(values: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Whole slope and intercept keep integers (in the stored type where the result fits, else the narrowest that does).

    Other slopes give float32, and float64 from 32-bit integers and wider. Slope 1 and intercept 0 change nothing.
    """
    if (slope, intercept) == (1.0, 0.0):
        return values
    if values.dtype.kind in "iu" and slope == int(slope) and intercept == int(intercept):
        ends = sorted(int(e) * int(slope) + int(intercept) for e in (values.min(), values.max()))
        for target in (values.dtype, *_INTEGERS):
            if np.iinfo(target).min <= ends[0] and ends[1] <= np.iinfo(target).max:
                return (values.astype(np.int64) * int(slope) + int(intercept)).astype(target)
    wide = values.dtype.itemsize > 4 or values.dtype in (np.dtype("int32"), np.dtype("uint32"))
    return (values * np.float64(slope) + intercept).astype(np.float64 if wide else np.float32)
