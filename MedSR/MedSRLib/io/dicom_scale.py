"""How values are stored in the 16 bits of a DICOM pixel: exactly where that is possible, with a stated error where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import OutputError

LATTICE = 1e-3
"""How far, in stored units, a value may lie from a whole number and still count as held exactly (32-bit rounding)."""


@dataclass(frozen=True)
class Scale:
    """value = slope x stored + intercept. signed: of the stored numbers. note: the largest error in words, "" where exact."""

    slope: float
    intercept: float
    signed: bool
    note: str = ""

    @property
    def stated(self) -> bool:
        """True where the file must carry the rescale."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """The 16-bit numbers for values, little endian."""
        if values.dtype.kind != "f" and not self.stated:
            return values.astype("<i2" if self.signed else "<u2")
        stored = np.rint((values.astype(np.float64) - self.intercept) / self.slope)
        low, high = (-32768, 32767) if self.signed else (0, 65535)
        return np.clip(stored, low, high).astype("<i2" if self.signed else "<u2")


def scale_for(arrays: Sequence[np.ndarray], sources: Sequence[tuple[float, float]], folder: Path) -> Scale:
    """The first that holds all values exactly: the source's own (where its slices share one), none, else 16 bits over their range.

    Raises OutputError where the values are not finite numbers.
    """
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    if not np.isfinite([low, high]).all():
        raise OutputError("NaN or infinite voxels do not fit DICOM", where=str(folder), fix="write NRRD")
    own = sources[0] if sources and len(set(sources)) == 1 else (1.0, 0.0)
    for slope, intercept in dict.fromkeys((own, (1.0, 0.0))):
        ends = sorted(((low - intercept) / slope, (high - intercept) / slope))
        signed = ends[0] < -0.5 or (intercept == 0 and arrays[0].dtype.kind == "i" and ends[1] < 32767.5)
        fits = ends[0] > -32768.5 and ends[1] < (32767.5 if signed else 65535.5)
        if fits and all(_whole(a, slope, intercept) for a in arrays):
            return Scale(slope, intercept, signed)
    slope, intercept = _short((high - low) / 65534 or 1.0), _short(low)
    return Scale(slope, intercept, False, f"Stored as 16 bits, largest rounding error {slope / 2:.3g}.")


def _whole(values: np.ndarray, slope: float, intercept: float) -> bool:
    if values.dtype.kind in "biu" and slope == 1 and intercept == int(intercept):
        return True
    stored = (values.astype(np.float64) - intercept) / slope
    return bool(np.abs(stored - np.rint(stored)).max() <= LATTICE)


def _short(number: float) -> float:
    """A number that 16 characters hold exactly, so that readers compute with the very same one."""
    return float(f"{number:.8e}")
