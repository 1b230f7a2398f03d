"""DICOM with several frames, enhanced files and mosaics among them: each picture at the place and time that its header says."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import dicom_headers
import numpy as np
import pytest
from dicom_headers import assert_each_slice_lies_where_its_header_says, headers, place
from MedSRLib.errors import InputError
from MedSRLib.io import formats

hard = dicom_headers.hard


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
