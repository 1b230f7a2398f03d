"""Volumes of thick slices that are quick to interpolate: a corner of a real heart, and stacks made by formula."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib.io import formats
from MedSRLib.volume import Volume


@pytest.fixture
def a_heart(sample_dir) -> Volume:
    """The shipped pig heart, a corner of it: 6 slices of 72×80 pixels."""
    volume = formats.read(sample_dir / "pig_cine_ed.nrrd")[0]
    return volume.with_(array=volume.array[4:10, 60:132, 60:140])


def a_stack(dtype=np.int16, n=5, **more) -> Volume:
    """A blob that wanders through n slices of 4 mm."""
    z, y, x = np.mgrid[:n, :32, :36].astype(float)
    values = 100 * np.exp(-((x - 14 - z) ** 2 + (y - 15) ** 2) / 60) + 5 * np.sin(x + y)
    return Volume(values.astype(dtype), (1, 1, 4), **more)


SHEARED = np.column_stack([[1, 0, 0], [0, 1, 0], [0, 0.3, 0.954]])
