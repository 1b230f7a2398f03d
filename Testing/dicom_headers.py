"""Difficult DICOM cases, and where their headers say that each pixel lies.

The expected figures of the tests were read from ImagePositionPatient, ImageOrientationPatient and PixelSpacing with pydicom, by the
arithmetic of `corner` below; none of them comes from the code under test.
"""

from __future__ import annotations

import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.volume import Volume

pydicom = pytest.importorskip("pydicom")


@pytest.fixture(scope="session")
def hard(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of one difficult case, unpacked where it is an archive."""
    unpacked: dict[str, Path] = {}

    def folder(name: str) -> Path:
        source = data_dir / name
        if source.is_dir():
            return source
        if name not in unpacked:
            target = unpacked[name] = tmp_path_factory.mktemp("case")
            if source.suffix == ".zip":
                zipfile.ZipFile(source).extractall(target)
            else:
                with tarfile.open(source) as archive:
                    archive.extractall(target, filter="data")
        return unpacked[name]

    return folder


def headers(folder: Path) -> list[pydicom.Dataset]:
    """Every DICOM file below a folder, with pixels, in no order."""
    found = []
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(pydicom.dcmread(file))
    return found


def corner(header: pydicom.Dataset, row: int, column: int) -> np.ndarray:
    """LPS mm of a pixel, by the equation of DICOM PS3.3 C.7.6.2.1.1."""
    iop, spacing = np.array(header.ImageOrientationPatient, float), np.array(header.PixelSpacing, float)
    return np.array(header.ImagePositionPatient, float) + iop[:3] * spacing[1] * column + iop[3:] * spacing[0] * row


def place(volume: Volume, x: int, y: int, z: int) -> np.ndarray:
    """LPS mm of a voxel of the volume under test, uneven steps included."""
    offset = volume.slice_positions_mm[z] * volume.direction[:, 2]
    return np.array(volume.origin_mm) + volume.direction[:, :2] @ (np.array([x, y]) * volume.spacing_mm[:2]) + offset


def assert_each_slice_lies_where_its_header_says(volume: Volume, sources: list[pydicom.Dataset], tolerance_mm: float = 2e-3) -> None:
    """Each source picture is found, pixel for pixel, in the slice at its own position."""
    for header in sources:
        at = [i for i in range(volume.shape[0]) if np.linalg.norm(place(volume, 0, 0, i) - corner(header, 0, 0)) < tolerance_mm]
        assert len(at) == 1
        slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
        assert np.allclose(volume.array[at[0]], header.pixel_array * slope + intercept)
        rows, columns = header.Rows - 1, header.Columns - 1
        assert np.allclose(place(volume, columns, rows, at[0]), corner(header, rows, columns), atol=tolerance_mm)
