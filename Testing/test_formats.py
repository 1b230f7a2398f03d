"""NRRD, NIfTI and MetaImage: read for what they are, written whole or not at all; checked against SimpleITK and nibabel."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.errors import InputError, OutputError
from MedSRLib.io import formats
from MedSRLib.volume import Volume

nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

SPACING = (0.7, 1.3, 5.1)
ORIGIN = (-12.345678, 3.0, 333.3333)
SHAPE = (4, 5, 6)
_C, _S = np.cos(0.5), np.sin(0.5)
ORIENTATIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": np.array([[_C, -_S, 0], [_S, _C, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, _C, -_S], [0, _S, _C]]),
    "left-handed": np.diag([1.0, 1, -1]),
}
FORMATS = (".nrrd", ".mha", ".mhd", ".nii", ".nii.gz")
SCALARS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def a_volume(direction: np.ndarray = ORIENTATIONS["axial"], dtype: str = "int16", shape: tuple[int, ...] = SHAPE, **meta: object) -> Volume:
    values = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    return Volume(values, SPACING, ORIGIN, direction, meta=meta)


def last_voxel_mm(direction: np.ndarray) -> np.ndarray:
    """LPS position of voxel (x, y, z) = (5, 4, 3), by hand."""
    return np.array(ORIGIN) + 5 * 0.7 * direction[:, 0] + 4 * 1.3 * direction[:, 1] + 3 * 5.1 * direction[:, 2]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_written_volume_lies_where_others_and_we_read_it(tmp_path: Path, orientation: str, suffix: str) -> None:
    direction = ORIENTATIONS[orientation]
    volume, path = a_volume(direction), tmp_path / f"volume{suffix}"
    formats.write(path, volume)

    (back,) = formats.read(path)
    image = sitk.ReadImage(str(path))
    precise = 1e-4 if "nii" in suffix else 1e-9
    assert np.allclose(back.affine @ [5, 4, 3, 1], [*last_voxel_mm(direction), 1], atol=precise)
    assert np.allclose(back.spacing_mm, SPACING, rtol=1e-12)
    assert np.allclose(image.TransformIndexToPhysicalPoint((5, 4, 3)), last_voxel_mm(direction), atol=1e-4)
    assert np.array_equal(back.array, volume.array)
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.array)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_nibabel_finds_the_same_place_in_sform_and_qform(tmp_path: Path, orientation: str) -> None:
    direction = ORIENTATIONS[orientation]
    formats.write(tmp_path / "volume.nii.gz", a_volume(direction))
    image = nibabel.load(tmp_path / "volume.nii.gz")
    ras = last_voxel_mm(direction) * [-1, -1, 1]
    for affine in (image.get_sform(), image.get_qform()):
        assert np.allclose(affine @ [5, 4, 3, 1], [*ras, 1], atol=1e-3)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", SCALARS)
def test_the_scalar_type_stays(tmp_path: Path, dtype: str, suffix: str) -> None:
    volume = a_volume(dtype=dtype)
    formats.write(tmp_path / f"v{suffix}", volume)
    back = formats.read(tmp_path / f"v{suffix}")[0]
    assert back.array.dtype == np.dtype(dtype)
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize("suffix", [".seq.nrrd", ".nrrd", ".nii.gz", ".mha"])
def test_four_dimensions_come_back_as_frames(tmp_path: Path, suffix: str) -> None:
    frames = [a_volume(ORIENTATIONS["oblique"], frame_time_ms=25.0 * t).with_(array=np.full(SHAPE, t, np.int16)) for t in range(3)]
    formats.write(tmp_path / f"v{suffix}", frames)
    back = formats.read(tmp_path / f"v{suffix}")
    assert [int(f.array.max()) for f in back] == [0, 1, 2]
    assert all(f.array.shape == SHAPE and np.allclose(f.affine, frames[0].affine, atol=1e-4) for f in back)
    if suffix != ".mha":
        assert [f.meta["frame_time_ms"] for f in back] == [0.0, 25.0, 50.0]


def test_nifti_says_the_time_step_in_milliseconds(tmp_path: Path) -> None:
    formats.write(tmp_path / "v.nii", [a_volume(frame_time_ms=t) for t in (0.0, 25.0, 50.0)])
    header = nibabel.load(tmp_path / "v.nii").header
    assert header.get_zooms()[3] == 25.0
    assert header.get_xyzt_units() == ("mm", "msec")


def test_slicer_reads_a_sequence_with_its_times(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer")
    frames = [a_volume(ORIENTATIONS["oblique"], frame_time_ms=t) for t in (10.0, 167.0, 325.0)]
    formats.write(tmp_path / "v.seq.nrrd", frames)
    scene = slicer.vtkMRMLScene()
    storage, node = slicer.vtkMRMLVolumeSequenceStorageNode(), slicer.vtkMRMLSequenceNode()
    scene.AddNode(storage)
    scene.AddNode(node)
    storage.SetFileName(str(tmp_path / "v.seq.nrrd"))
    assert storage.ReadData(node)
    assert [float(node.GetNthIndexValue(i)) for i in range(3)] == [10.0, 167.0, 325.0]
    volume = node.GetNthDataNode(1)
    assert volume.GetImageData().GetDimensions() == (6, 5, 4)
    assert np.allclose(volume.GetSpacing(), SPACING)


def test_a_label_map_becomes_slicer_segments_with_their_names(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1], labels[2] = 1, 3
    formats.write(tmp_path / "s.seg.nrrd", Volume(labels, SPACING, ORIGIN, meta={"segments": {1: "myocardium", 3: "scar"}}))
    back = formats.read(tmp_path / "s.seg.nrrd")[0]
    assert back.meta["segments"] == {1: "myocardium", 3: "scar"}
    assert np.array_equal(back.array, labels)
    slicer = pytest.importorskip("slicer")
    scene = slicer.vtkMRMLScene()
    storage, node = slicer.vtkMRMLSegmentationStorageNode(), slicer.vtkMRMLSegmentationNode()
    scene.AddNode(storage)
    scene.AddNode(node)
    storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())] == ["myocardium", "scar"]


def test_segments_that_overlap_lie_in_layers_that_slicer_reads_and_writes_too(tmp_path: Path) -> None:
    """Slicer numbers each layer anew: its file is read back with one number a segment."""
    slicer = pytest.importorskip("slicer")
    from vtk.util.numpy_support import vtk_to_numpy

    layers = np.zeros((*SHAPE, 2), np.uint8)
    layers[1:3, ..., 0], layers[2, 1:4, 1:3, 1] = 1, 2
    names = {1: "prostate", 2: "cancer"}
    ours, theirs = tmp_path / "ours.seg.nrrd", tmp_path / "theirs.seg.nrrd"
    formats.write(ours, Volume(layers, SPACING, ORIGIN, meta={"segments": names, "segment_colours": {1: (10, 20, 30), 2: (255, 0, 0)}}))
    scene = slicer.vtkMRMLScene()
    storage, node = slicer.vtkMRMLSegmentationStorageNode(), slicer.vtkMRMLSegmentationNode()
    scene.AddNode(storage)
    scene.AddNode(node)
    storage.SetFileName(str(ours))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfLayers("Binary labelmap") == 2
    for number, name in names.items():
        segment = segmentation.GetNthSegment(number - 1)
        image = slicer.vtkOrientedImageData()
        node.GetBinaryLabelmapRepresentation(segmentation.GetNthSegmentID(number - 1), image)
        voxels = vtk_to_numpy(image.GetPointData().GetScalars())
        assert segment.GetName() == name and np.count_nonzero(voxels) == np.count_nonzero(layers == number)
    storage.SetFileName(str(theirs))
    assert storage.WriteData(node)
    back = formats.read_labels(theirs)[0]
    there = {name: (back.array == number).any(-1).sum() for number, name in back.meta["segments"].items()}
    assert there == {name: np.count_nonzero(layers == number) for number, name in names.items()}


# What NIfTI headers leave to the reader


def a_nifti(path: Path, affine: np.ndarray, values: np.ndarray | None = None, **header: object) -> Path:
    image = nibabel.Nifti1Image(np.arange(120, dtype=np.int16).reshape(6, 5, 4) if values is None else values, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def test_acdc_spacing_is_pixdims_and_the_reader_says_so(data_dir: Path) -> None:
    path = next((data_dir / "cardiac" / "acdc_5mm").glob("*.nii.gz"))
    pixdim = struct.unpack("<8f", gzip.decompress(path.read_bytes())[76:108])
    volume = formats.read(path)[0]
    assert pixdim[3] == 5.0
    assert np.allclose(volume.spacing_mm, pixdim[1:4], rtol=1e-6)
    assert np.allclose(volume.affine @ [10, 10, 2, 1], [10 * pixdim[1], 10 * pixdim[2], 10, 1], atol=1e-4)
    assert "pixdim was taken" in volume.meta["warnings"][0]


def test_a_wrong_sform_gives_way_to_the_qform(tmp_path: Path) -> None:
    path = a_nifti(tmp_path / "v.nii", np.diag([2.0, 2, 8, 1]))
    image = nibabel.load(path)
    image.set_qform(np.diag([-2.0, 2, -8, 1]), code=1)
    image.set_sform(np.eye(4), code=2)
    image.header["pixdim"][1:4] = 2, 2, 8
    nibabel.save(image, tmp_path / "w.nii")
    volume = formats.read(tmp_path / "w.nii")[0]
    assert volume.spacing_mm == (2.0, 2.0, 8.0)
    assert np.allclose(volume.direction, np.diag([1.0, -1, -1]), atol=1e-6)
    assert volume.meta["warnings"]


def test_a_sheared_affine_keeps_its_true_geometry(tmp_path: Path) -> None:
    affine = np.array([[1.0, 0, 0, 5], [0, 1, 1.5, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    volume = formats.read(a_nifti(tmp_path / "v.nii", affine, qform_code=0))[0]
    assert volume.is_sheared
    assert np.allclose(volume.affine, np.diag([-1.0, -1, 1, 1]) @ affine, atol=1e-6)
    formats.write(tmp_path / "again.nii", volume)
    assert np.allclose(nibabel.load(tmp_path / "again.nii").affine, affine, atol=1e-6)


def test_half_turns_in_a_quaternion_are_exact(data_dir: Path) -> None:
    path = data_dir / "pairs" / "aaa0060" / "results" / "aaa0060_moved_region00_label.nii.gz"
    volume = formats.read(path)[0]
    assert np.allclose(np.diag([-1.0, -1, 1, 1]) @ nibabel.load(path).affine, volume.affine, atol=1e-5)


@pytest.mark.parametrize(("slope", "intercept", "dtype", "first"), [(2.0, -1024.0, "int16", -1024), (0.5, 1.0, "float32", 1.0)])
def test_rescale_keeps_integers_where_it_can(tmp_path: Path, slope: float, intercept: float, dtype: str, first: float) -> None:
    path = a_nifti(tmp_path / "v.nii", np.eye(4))
    data = bytearray(path.read_bytes())
    struct.pack_into("<2f", data, 112, slope, intercept)
    path.write_bytes(data)
    volume = formats.read(path)[0]
    assert volume.array.dtype == np.dtype(dtype)
    assert volume.array[0, 0, 0] == first
    assert np.array_equal(volume.array.T, np.arange(120).reshape(6, 5, 4) * slope + intercept)


@pytest.mark.parametrize("kind", ["big-endian", "NIfTI-2"])
def test_other_headers_of_the_family(tmp_path: Path, kind: str) -> None:
    values = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    affine = np.array([[-0.9, 0, 0, 5], [0, 1.1, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    header = nibabel.Nifti1Header(endianness=">") if kind == "big-endian" else None
    image = (nibabel.Nifti1Image if header else nibabel.Nifti2Image)(values, affine, header)
    nibabel.save(image, tmp_path / "v.nii")
    volume = formats.read(tmp_path / "v.nii")[0]
    assert np.array_equal(volume.array.T, values)
    assert np.allclose(volume.affine, np.diag([-1.0, -1, 1, 1]) @ affine, atol=1e-6)


def test_every_real_file_agrees_with_simpleitk(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    files = [
        f for f in data_dir.rglob("*") if f.name.endswith((".nii.gz", ".nrrd")) and "acdc_10mm" not in str(f) and "highres" not in f.name
    ]
    assert len(files) > 25
    capfd.readouterr()
    volumes = [formats.read(f)[0] for f in files]
    assert capfd.readouterr() == ("", "")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before
    for file, volume in zip(files, volumes, strict=True):
        image = sitk.ReadImage(str(file))
        corner = [n - 1 for n in image.GetSize()]
        assert np.allclose(volume.affine @ [*corner, 1], [*image.TransformIndexToPhysicalPoint(corner), 1], atol=1e-3), file.name
        assert np.array_equal(volume.array, sitk.GetArrayViewFromImage(image)), file.name


# Bad input: one clear sentence


def _cut(path: Path, keep: float = 0.5) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return path


def _flipped(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 0xFF
    path.write_bytes(data)
    return path


def _whole(folder: Path, suffix: str) -> Path:
    formats.write(folder / f"v{suffix}", a_volume(shape=(10, 40, 40)))
    return folder / f"v{suffix}"


def _itk(folder: Path, suffix: str, array: np.ndarray, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(folder / f"v{suffix}"))
    return folder / f"v{suffix}"


def _text(folder: Path, name: str, content: bytes = b"hello, world " * 40) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


DETACHED = b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"
BAD = {
    **{f"cut {s}": (lambda d, s=s: _cut(_whole(d, s)), "cut short|damaged") for s in FORMATS},
    **{f"cut at the end {s}": (lambda d, s=s: _cut(_whole(d, s), 0.999), "cut short|damaged") for s in FORMATS},
    **{f"damaged {s}": (lambda d, s=s: _flipped(_whole(d, s)), "damaged") for s in FORMATS if s != ".nii"},
    **{f"two dimensions {s}": (lambda d, s=s: _itk(d, s, np.zeros((4, 5), np.uint8)), "2-D") for s in (".nrrd", ".mha", ".nii")},
    **{f"colour {s}": (lambda d, s=s: _itk(d, s, np.zeros((3, 4, 5, 3), np.uint8), True), "3") for s in (".nrrd", ".mha", ".nii")},
    **{f"complex {s}": (lambda d, s=s: _itk(d, s, np.zeros((3, 4, 5), np.complex64)), "complex") for s in (".nrrd", ".mha", ".nii")},
    **{f"text {s}": (lambda d, s=s: _text(d, "v" + s), "not a|damaged") for s in FORMATS},
    "no file": (lambda d: d / "absent.nrrd", "no such file"),
    "empty": (lambda d: _text(d, "v.nrrd", b""), "empty"),
    "unknown ending": (lambda d: _text(d, "v.xyz"), "not the ending"),
    "a picture": (lambda d: _text(d, "v.png"), "picture"),
    "a folder without DICOM": (lambda d: d, "no DICOM image"),
    "voxels elsewhere": (
        lambda d: _text(d, "v.mhd", DETACHED),
        "missing",
    ),
    "zero spacing": (lambda d: a_nifti(d / "v.nii", np.eye(4), pixdim=[1, 1, 0, 1, 0, 0, 0, 0]), "not positive"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_sentence(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, words = BAD[case]
    path = make(tmp_path)
    capfd.readouterr()
    with pytest.raises(InputError, match=words) as caught:
        formats.read(path)
    sentence = caught.value.sentence()
    assert str(path) in sentence
    assert "\n" not in sentence
    assert capfd.readouterr() == ("", "")


def test_nan_and_infinity_are_read_as_they_are(tmp_path: Path) -> None:
    values = np.array([[[np.nan, np.inf]]] * 3, np.float32)
    formats.write(tmp_path / "v.nrrd", Volume(values))
    assert np.array_equal(formats.read(tmp_path / "v.nrrd")[0].array, values, equal_nan=True)


def test_a_series_of_a_plain_file_is_refused_and_listed_as_one(tmp_path: Path) -> None:
    path = _whole(tmp_path, ".nrrd")
    with pytest.raises(InputError, match="no series"):
        formats.read(path, series="1.2.3")
    (only,) = formats.list_series(path)
    assert only.shape == (1, 10, 40, 40)


# Writing: all or nothing


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _whole(tmp_path, ".nrrd")
    old = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        formats.write(path, a_volume())
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("target", ["v.nrrd", "v.nii.gz", "v.mha", "dicom"])
def test_a_file_system_that_takes_no_more_is_reported(tmp_path: Path, target: str, root: Path) -> None:
    code = (
        "import resource, sys, numpy as np; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "from MedSRLib.io import formats; from MedSRLib.volume import Volume; from MedSRLib.errors import OutputError\n"
        "values = np.random.default_rng(0).integers(0, 999, (4, 90, 90)).astype('int16')\n"
        "try: formats.write(sys.argv[1], Volume(values))\n"
        "except OutputError as error: print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(root / "MedSR")}
    run = [sys.executable, "-c", code, str(tmp_path / target)]
    result = subprocess.run(run, capture_output=True, text=True, env=environment, check=True)
    assert "disk is full" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["absent/v.nrrd", "v.xyz", "v.nhdr"])
def test_targets_that_cannot_be_written_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError):
        formats.write(tmp_path / name, a_volume())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses")
def test_a_folder_that_may_not_be_written_to_is_one_sentence() -> None:
    with pytest.raises(OutputError, match="/proc/self/v.nrrd"):
        formats.write("/proc/self/v.nrrd", a_volume())


@pytest.mark.parametrize("suffix", FORMATS)
def test_uneven_slices_are_not_silently_made_even(tmp_path: Path, suffix: str) -> None:
    uneven = a_volume().with_(positions_mm=(0.0, 5.0, 10.0, 20.0))
    with pytest.raises(OutputError, match="unevenly"):
        formats.write(tmp_path / f"v{suffix}", uneven)


def test_frames_of_different_grids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="share one grid"):
        formats.write(tmp_path / "v.nrrd", [a_volume(), a_volume().with_(origin_mm=(0, 0, 0))])


def test_paths_with_spaces_and_accents(tmp_path: Path) -> None:
    for suffix in FORMATS:
        path = tmp_path / f"Cœur à dïastole{suffix}"
        formats.write(path, a_volume())
        assert formats.read(path)[0].meta["name"] == "Cœur à dïastole"
