"""Outlines by an earlier registration: the same as it carried itself, there and back, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import cli
from MedSRLib.errors import InputError, OptionError
from MedSRLib.geometry_slice import slice_plane, slice_under
from MedSRLib.io import formats
from MedSRLib.io.outline_files import read_outlines
from MedSRLib.metrics import dice
from MedSRLib.outlines import Outline, joined
from MedSRLib.tasks.transform_outlines import Options, transform_outlines

sitk = pytest.importorskip("SimpleITK")


@pytest.fixture(scope="module")
def registered(data_dir, tmp_path_factory) -> dict[str, Path]:
    """Slide 14 of aaa0060 by its gland, deformed; files by name."""
    from MedSRLib.io import outline_geojson

    folder, out = data_dir / "pairs/aaa0060", tmp_path_factory.mktemp("ä registered")
    found = []
    for region, name in (("00", "prostate"), ("01", "cancer")):
        label = folder / f"results/aaa0060_input_highres_region{region}_label.nii.gz"
        found.append(Outline(name, joined(read_outlines(label, slice_index=1).outlines)[0].polygons))
    outline_geojson.write(out / "slide.geojson", found)
    mri, mask = folder / "aaa0060_T2.nii.gz", folder / "aaa0060_T2_prostate_label.nii.gz"
    words = [mri, out / "slide.geojson", out / "r", "--mri-mask", mask, "--slice", 14, "--orientation", "r0", "--mpp", 7.2]
    assert cli.main(["register-slide", *map(str, words), "--deformable", "--quiet"]) == 0
    names = ("transform.h5", "warp.h5", "labels.seg.nrrd", "registration.json")
    return {"mri": mri, "outlines": out / "slide.geojson"} | {name: out / "r" / name for name in names}


def test_by_the_command_it_gives_the_labels_that_the_registration_gave(registered, tmp_path, capsys):
    out = tmp_path / "moved.nii.gz"
    words = [registered["transform.h5"], registered["outlines"], out, "--mri", registered["mri"], "--warp", registered["warp.h5"]]
    assert cli.main(["transform-outlines", *map(str, words), "--quiet"]) == 0
    before, after = sitk.ReadImage(str(registered["labels.seg.nrrd"].parent / "labelmap.nii.gz")), sitk.ReadImage(str(out))
    same = sitk.GetArrayFromImage(before) == sitk.GetArrayFromImage(after)
    assert "{" not in capsys.readouterr().err, "no option's name is left unsaid"
    assert np.count_nonzero(~same) <= 0.001 * np.count_nonzero(sitk.GetArrayFromImage(before)), "the warp is kept as 64-bit, the matrix too"
    assert after.GetDirection() == pytest.approx(before.GetDirection(), abs=1e-5)
    assert json.loads((tmp_path / "moved.nii.gz.json").read_text())["task"] == "transform_outlines"


def test_without_the_warp_it_says_so_and_gives_the_linear_step(registered, tmp_path):
    mri = formats.read(registered["mri"])[0]
    made = transform_outlines(registered["transform.h5"], outlines=registered["outlines"], mri=mri)
    assert "its warp is left out" in made.report["warnings"][0] and made.report["slice"] == 14
    slide = sitk.ReadTransform(str(registered["transform.h5"]))
    gland = read_outlines(registered["outlines"]).outlines[0]
    centre = np.array([*gland.centroid * 7.2 / 1000, 0.0])
    row = made.report["outlines"][0]
    back = slide.TransformPoint([row[f"centroid_{axis}_mm"] for axis in "lps"])
    assert np.array(back) == pytest.approx(centre, abs=1e-3), "SimpleITK takes the carried centre back to the drawn one"


def test_there_and_back_again(registered, tmp_path):
    out = tmp_path / "back.geojson"
    words = [registered["transform.h5"], registered["labels.seg.nrrd"], out, "--warp", registered["warp.h5"], "--direction", "to-slide"]
    assert cli.main(["transform-outlines", *map(str, words), "--quiet"]) == 0
    back = {outline.name: outline for outline in read_outlines(out).outlines}
    drawn = {outline.name: outline for outline in read_outlines(registered["outlines"]).outlines}
    assert set(back) == {"prostate", "cancer"}
    from MedSRLib.geometry_plane import window
    from MedSRLib.outlines_area import mask

    grid = window(drawn["prostate"].box, (20.0, 20.0))
    assert dice(mask(back["prostate"], grid), mask(drawn["prostate"], grid)) > 0.985, "whole, with the cancer in it"
    assert dice(mask(back["cancer"], grid), mask(drawn["cancer"], grid)) > 0.9


def test_a_dicom_series_gets_a_dicom_seg(registered, data_dir, tmp_path):
    pytest.importorskip("highdicom")
    import tarfile

    import pydicom

    with tarfile.open(data_dir / "prostate/ProstateX-0000/t2_tra.tar.xz") as archive:
        archive.extractall(tmp_path / "dicom", filter="data")
    folder = next((tmp_path / "dicom").rglob("*.dcm")).parent
    mri = formats.read(folder)[0]
    plane = slice_plane(mri, 3)
    matrix = plane.place(np.array([[1.0, 0, 30.0], [0, 1.0, 30.0], [0, 0, 1.0]]))
    from MedSRLib.io import transforms

    transforms.write_linear(tmp_path / "t.h5", matrix)
    words = [tmp_path / "t.h5", registered["outlines"], tmp_path / "s.dcm", "--mri", folder, "--mpp", "7.2"]
    assert cli.main(["transform-outlines", *map(str, words), "--quiet"]) == 0
    made = pydicom.dcmread(tmp_path / "s.dcm")
    assert made.Modality == "SEG" and [s.SegmentLabel for s in made.SegmentSequence] == ["prostate", "cancer"]


def test_what_cannot_be_is_refused_and_why(registered, tmp_path, capsys):
    mri = formats.read(registered["mri"])[0]
    shutil.copy(registered["transform.h5"], tmp_path / "alone.h5")
    with pytest.raises(OptionError, match="pixel size is not known"):
        transform_outlines(tmp_path / "alone.h5", outlines=registered["outlines"], mri=mri)
    with pytest.raises(InputError, match="the MRI that the labels are for is missing"):
        transform_outlines(registered["transform.h5"], outlines=registered["outlines"])
    made = transform_outlines(registered["transform.h5"], Options(mpp_um=8.0), outlines=registered["outlines"], mri=mri)
    assert "the registration used 7.2 µm a pixel, and 8 µm is given" in made.report["warnings"][0]
    with pytest.raises(InputError, match="different values on slice 14, so it is an image"):
        transform_outlines(registered["transform.h5"], Options(direction="to-slide"), outlines=registered["mri"])
    shifted = mri.with_(array=mri.array, origin_mm=tuple(np.array(mri.origin_mm) + 1000))
    with pytest.raises(InputError, match="does not lay its slide on one of the MRI's slices"):
        transform_outlines(registered["transform.h5"], outlines=registered["outlines"], mri=shifted)
    with pytest.raises(InputError, match="none of the outlines lies on the MRI"):
        transform_outlines(registered["transform.h5"], Options(mpp_um=5000.0), outlines=_far(registered, tmp_path), mri=mri)
    words = [registered["transform.h5"], registered["labels.seg.nrrd"], tmp_path / "x.nii.gz", "--direction", "to-slide"]
    assert cli.main(["transform-outlines", *map(str, words), "--quiet"]) == 5
    assert "use .geojson" in capsys.readouterr().err and not (tmp_path / "x.nii.gz").exists()
    with pytest.raises(InputError, match="does not lay"):
        slice_under(mri, slice_plane(mri, 3).frame @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0.1, 1, 0], [0, 0, 0, 1.0]]))


def test_a_warp_of_another_run_is_refused_and_one_that_is_stale_goes(registered, tmp_path, capsys):
    """The folder of a deformable run, used again for a linear one."""
    out = tmp_path / "r"
    shutil.copytree(registered["transform.h5"].parent, out)
    mri = formats.read(registered["mri"])[0]
    folder = registered["mri"].parent
    words = [registered["mri"], registered["outlines"], out, "--mri-mask", folder / "aaa0060_T2_prostate_label.nii.gz"]
    assert cli.main(["register-slide", *map(str, words), "--slice", "13", "--orientation", "r0", "--mpp", "7.2", "--quiet"]) == 0
    assert "warp.h5 of an earlier run is removed" in capsys.readouterr().err and not (out / "warp.h5").exists()
    with pytest.raises(InputError, match="belongs to another registration: the one beside the transform is linear"):
        transform_outlines(out / "transform.h5", outlines=registered["outlines"], mri=mri, warp=registered["warp.h5"])
    (out / "registration.json").unlink()
    with pytest.raises(InputError, match="belongs to another registration than the transform"):
        transform_outlines(out / "transform.h5", Options(mpp_um=7.2), outlines=registered["outlines"], mri=mri, warp=registered["warp.h5"])


def _far(registered: dict[str, Path], tmp_path: Path) -> Path:
    """An outline whose pixels would be half a metre away."""
    from MedSRLib.io import outline_geojson

    gland = read_outlines(registered["outlines"]).outlines[0]
    outline_geojson.write(tmp_path / "far.geojson", [gland.moved(np.array([[0.001, 0, 100], [0, 0.001, 100], [0, 0, 1]]))])
    return tmp_path / "far.geojson"
