"""The grey values between which a DICOM series asks to be shown: Window Center and Width (0028,1050 and 0028,1051)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..volume import Volume
from .dicom_headers import FrameFacts, header

MOST_SLICES = 25
"""Headers that are read at most: scanners vary the window from slice to slice by a few per cent only."""


def window(frame: Volume) -> tuple[float, float] | None:
    """(black, white) in the voxels' own units, one for all slices: the medians of theirs, the first where a slice has several.

    None where the volume does not come from DICOM files that are still there, or where they have no window.
    """
    files = frame.meta.get("dicom_files") or ()
    numbers = frame.meta.get("dicom_frames") or [0] * len(files)
    looked_at = np.linspace(0, len(files) - 1, min(len(files), MOST_SLICES)).round().astype(int)
    found = [_ends(Path(files[i]), numbers[i]) for i in looked_at]
    ends = [pair for pair in found if pair is not None]
    if not ends:
        return None
    low, high = (float(v) for v in np.median(ends, axis=0))
    return low, high


def _ends(file: Path, frame: int) -> tuple[float, float] | None:
    """The window of one slice, by the linear function of the standard (PS3.3 C.11.2.1.2) where the file names no other."""
    dataset = header(file)
    if dataset is None:
        return None
    facts = FrameFacts(dataset, frame)
    centre, width = facts.number("WindowCenter"), facts.number("WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    if facts.value("VOILUTFunction", "LINEAR") == "LINEAR" and width > 1:
        centre, width = centre - 0.5, width - 1
    return centre - width / 2, centre + width / 2
