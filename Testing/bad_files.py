"""Made-up input for the command, right or wrong, and fixtures that try it and tell what came of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from MedSRLib import cli
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

INPUT, OPTION, MODEL, OUTPUT = 2, 3, 4, 5
ROWS, COLUMNS = 12, 10


@dataclasses.dataclass
class Tried:
    """What came of a command."""

    code: int
    said: str
    written: list[str]
    out: Path


@pytest.fixture
def attempt(tmp_path, capsys):
    """Interpolate an input by the command; tells what came of it."""

    def run(source, *words: str, out: str = "a.nrrd", method: str = "linear") -> Tried:
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        how = ("--method", method) if method else ()
        code = cli.main(["interpolate-slices", str(source), str(folder / out), *how, *words, "--quiet"])
        return Tried(code, capsys.readouterr().err, sorted(path.name for path in folder.iterdir()), folder / out)

    return run


@pytest.fixture
def refused(attempt):
    """The same, where it must be refused: gives the one sentence."""

    def run(source, *words: str, code: int = INPUT, **how: str) -> str:
        tried = attempt(source, *words, **how)
        assert tried.code == code, tried.said
        assert tried.written == []
        assert tried.said.count("\n") == 1 and tried.said.endswith(".\n") and "Traceback" not in tried.said, tried.said
        return tried.said

    return run


def slices(count: int = 6, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """(count, rows, columns) int16 without two equal slices."""
    return np.random.default_rng(1).integers(0, 500, (count, rows, columns)).astype(np.int16)


def saved(path: Path, array: np.ndarray, spacing=(1.0, 1.0, 5.0), vector: bool = False) -> Path:
    """The array as a file, written by SimpleITK."""
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing[: image.GetDimension()])
    sitk.WriteImage(image, str(path))
    return path


def series(folder: Path, positions, *, uid: str = "", orientations=None, values: np.ndarray | None = None, tilt: float = 0.0) -> Path:
    """A classic MR series by pydicom, 1×1 mm pixels, one file a position (z, or z with an in-plane shift by `tilt` per mm)."""
    folder.mkdir(exist_ok=True)
    array = slices(len(positions)) if values is None else values
    uid = uid or generate_uid()
    for number, z in enumerate(positions):
        image = pydicom.Dataset()
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.3", uid, "1.2.4"
        image.Modality, image.PatientID, image.PatientName, image.StudyID = "MR", "phantom", "Phantom", "1"
        image.SeriesNumber, image.InstanceNumber, image.SeriesDescription = 1, number + 1, "made"
        image.ImagePositionPatient = [0.0, float(z) * tilt, float(z)]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if orientations is None else orientations[number]
        image.PixelSpacing, image.SliceThickness = [1.0, 1.0], 5.0
        image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.PixelData = array[number].tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folder / f"{uid[-6:]}_{number:03}.dcm", enforce_file_format=True)
    return folder


def nifti(path: Path, array: np.ndarray, affine: np.ndarray | None) -> Path:
    """An array (x, y, z) as NIfTI, by nibabel."""
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path
