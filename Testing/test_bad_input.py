"""Bad input, files that hold no volume: one clear sentence on standard error, nothing written, an exit code that is not 0."""

from __future__ import annotations

import bad_files
import numpy as np
import pytest
from bad_files import COLUMNS, ROWS, nifti, saved, series, slices
from MedSRLib.errors import MedSRError
from MedSRLib.io import formats

attempt, refused = bad_files.attempt, bad_files.refused


def test_no_file(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "nothing.nrrd")


def test_an_empty_file(refused, tmp_path):
    (tmp_path / "empty.nrrd").touch()
    refused(tmp_path / "empty.nrrd")


@pytest.mark.parametrize("name", ["text.nrrd", "text.nii", "text.nii.gz", "text.mha", "text.dcm", "text.docx", "text"])
def test_a_file_that_is_no_image(refused, tmp_path, name):
    (tmp_path / name).write_text("this is no image")
    refused(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "a.mha"])
def test_a_file_cut_short(refused, tmp_path, name):
    path = saved(tmp_path / name, slices())
    path.write_bytes(path.read_bytes()[:-200])
    refused(path)


@pytest.mark.parametrize(
    ("line", "bad"),
    [("Offset = ", "Offset = 1.\x80 0 0\n"), ("ElementSpacing = ", "ElementSpacing = 1 nan 1\n"),
     ("Offset = ", "Offset = 1 2\n"), ("DimSize = ", "DimSize = 6 five 5\n")],
)  # fmt: skip
def test_a_header_whose_numbers_are_none(refused, tmp_path, line, bad):
    path = saved(tmp_path / "a.mha", slices())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(bad.encode("latin-1") if text.startswith(line.encode()) else text for text in lines))
    assert line.split()[0] in refused(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_to_dicom_bytes_is_told_in_a_sentence(tmp_path):
    """Three bytes of one of its files changed at random, 150 times: read as an image, or refused, and never anything else."""
    rng = np.random.default_rng(0)
    path = sorted(series(tmp_path / "series", [0, 5, 10, 15]).iterdir())[1]
    whole, refusals = path.read_bytes(), 0
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(132, len(data) - 2 * ROWS * COLUMNS, 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            formats.read(tmp_path / "series")
        except MedSRError as error:
            refusals += 1
            assert "\n" not in error.sentence()
    assert refusals > 10


def test_a_folder_without_dicom(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder")
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    assert "DICOM" in refused(tmp_path / "folder")


def test_a_single_slice(refused, tmp_path):
    assert "single slice" in refused(saved(tmp_path / "a.nrrd", slices(1)))


def test_a_single_dicom_slice(refused, tmp_path):
    assert "slice" in refused(series(tmp_path / "one", [0.0]))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii.gz"])
def test_a_2d_image(refused, tmp_path, name):
    refused(saved(tmp_path / name, slices(1)[0]))


def test_one_voxel_in_the_plane(refused, tmp_path):
    assert "1 voxel" in refused(saved(tmp_path / "a.nrrd", slices(6, 12, 1)))


def test_one_voxel_in_the_plane_with_a_named_axis(refused, tmp_path):
    refused(saved(tmp_path / "a.nrrd", slices(6, 1, 10)), "--axis", "k")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_colour(refused, tmp_path, name):
    colour = np.random.default_rng(0).integers(0, 255, (6, 12, 10, 3)).astype(np.uint8)
    assert "colour" in refused(saved(tmp_path / name, colour, vector=True))


def test_colour_nifti(refused, tmp_path):
    colour = np.zeros((10, 12, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(nifti(tmp_path / "a.nii.gz", colour, np.diag([1.0, 1.0, 5.0, 1.0])))


def test_complex_numbers(refused, tmp_path):
    assert "complex" in refused(nifti(tmp_path / "a.nii.gz", slices().T.astype(np.complex64), np.diag([1.0, 1.0, 5.0, 1.0])))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_no_number(refused, tmp_path, bad):
    array = slices().astype(np.float32)
    array[2, 3, 4] = bad
    assert "1 voxels are NaN or infinite" in refused(saved(tmp_path / "a.nrrd", array))


def test_a_constant_volume(refused, tmp_path):
    assert "every voxel is 7" in refused(saved(tmp_path / "a.nrrd", np.full((6, 12, 10), 7, np.int16)))
