"""The command on real files: each becomes a volume in the same box, with the acquired slices and the range it had."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from MedSRLib import cli
from MedSRLib.io import formats

FILES = (
    "brain/pyrad_brain1/brain1_image.nrrd",
    "brain/eun/eun_uchar_8.nii.gz",
    "cardiac/mnms/mnms_sax_ed.nii.gz",
    "cardiac/acdc_5mm/patient035_frame01.nii.gz",
    "ct/cip_crop_ct_2slices.nrrd",
    "hard/d2n_rle",
    "hard/d2n_jpegls",
    "hard/d2n_hyperfine_multiframe",
    "hard/px_complete_reference",
    "hard/qa_enh_siemens_xa10_4d",
    "hard/px_dwi_4d_classic.tar.xz",
    "other/abdomen/example_mr_sm.nii.gz",
    "other/spine/sct_t2s_uncropped.nii.gz",
    "pairs/aaa0060/aaa0060_T2.nii.gz",
    "prostate/ProstateX-0000/t2_tra.tar.xz",
    "prostate/ProstateX-0218/t2_tra.tar.xz",
)


def opened(path: Path, folder: Path) -> Path:
    """The file or folder itself; what is inside it, where it is an archive."""
    if path.suffixes[-2:] != [".tar", ".xz"]:
        return path
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder


def command(*words: object) -> int:
    return cli.main(["interpolate-slices", *map(str, words), "--method", "linear", "--factor", "2", "--quiet"])


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_keeps_its_box_its_slices_and_its_range(data_dir, tmp_path, name):
    source = opened(data_dir / name, tmp_path / "in")
    frames = formats.read(source)
    before = np.stack([frame.array for frame in frames])
    assert command(source, tmp_path / "a.nii.gz") == 0
    made = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    after = sitk.GetArrayFromImage(made).reshape(len(frames), *made.GetSize()[2::-1])
    axis = next(a for a in (1, 2, 3) if after.shape[a] != before.shape[a])
    assert after.shape[axis] == 2 * before.shape[axis] - 1 and after.dtype == before.dtype
    assert np.array_equal(np.moveaxis(after, axis, 0)[::2], np.moveaxis(before, axis, 0))
    assert (after.min(), after.max()) == (before.min(), before.max())
    rest = [0] * (made.GetDimension() - 3)
    for corner in ((0, 0, 0), tuple(n - 1 for n in frames[0].shape[::-1])):
        same = [n * 2 if 3 - axis == i else n for i, n in enumerate(corner)]
        place = made.TransformIndexToPhysicalPoint([int(n) for n in (*same, *rest)])[:3]
        assert place == pytest.approx((frames[0].affine @ (*corner, 1))[:3], abs=0.02)


def test_a_dicom_series_becomes_a_derived_one(data_dir, tmp_path, capsys):
    """In by folder, out by folder: pydicom finds new UIDs, the derived image type, and twice the slices less one."""
    source = opened(next((data_dir / "prostate" / "ProstateX-0218").glob("*.tar.xz")), tmp_path / "in")
    target = tmp_path / "derived series"
    assert command(source, target) == 0
    assert capsys.readouterr().out == f"{target}\n"
    first = pydicom.dcmread(next(iter(sorted(source.rglob("*.dcm")))))
    made = [pydicom.dcmread(path) for path in sorted(target.iterdir())]
    files = len(list(source.rglob("*.dcm")))
    assert len(made) == 2 * files - 1 and {m.ImageType[0] for m in made} == {"DERIVED"}
    assert {m.SeriesInstanceUID for m in made}.isdisjoint({first.SeriesInstanceUID})
    assert {m.StudyInstanceUID for m in made} == {first.StudyInstanceUID}
    reader = sitk.ImageSeriesReader()
    image = sitk.ReadImage(reader.GetGDCMSeriesFileNames(str(target)))
    truth = formats.read(source)[0]
    assert np.array_equal(sitk.GetArrayFromImage(image)[::2], truth.array)
    assert image.GetSpacing()[2] == pytest.approx(truth.spacing_mm[2] / 2, abs=1e-3)
    facts = json.loads(target.with_name("derived series.json").read_text())
    assert first.SeriesInstanceUID in json.dumps(facts["inputs"]) and str(first.PatientName) not in json.dumps(facts)


def test_every_file_of_a_series_stands_for_the_series(data_dir, tmp_path):
    files = sorted((data_dir / "hard" / "d2n_rle").rglob("*"))
    one = next(path for path in files if path.is_file())
    assert command(one, tmp_path / "a.nrrd") == 0
    assert sitk.ReadImage(str(tmp_path / "a.nrrd")).GetSize()[2] > 3
