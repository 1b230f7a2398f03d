"""Derived DICOM: the same voxels in the same place for pydicom, SimpleITK and Slicer, and headers that say what they are."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import __version__
from MedSRLib.errors import OutputError
from MedSRLib.io import formats
from MedSRLib.volume import Volume

pydicom = pytest.importorskip("pydicom")
sitk = pytest.importorskip("SimpleITK")


@pytest.fixture(scope="module")
def prostate(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(data_dir / "prostate" / "ProstateX-0000" / "t2_tra.tar.xz", tmp_path_factory)


@pytest.fixture(scope="module")
def lung(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slices of the CT series are enough, and quicker."""
    folder = tmp_path_factory.mktemp("lung")
    for file in sorted((data_dir / "ct" / "lidc0314_mid").iterdir())[:6]:
        (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope="module")
def pig(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(data_dir / "cardiac" / "pig_E774S5_shortAxis_4phases.tar.xz", tmp_path_factory)


def unpacked(archive: Path, factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("dicom")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def halved(volume: Volume) -> Volume:
    """Twice as many slices, those between by the mean: what a task would hand over."""
    old = volume.array.astype(np.float64)
    new = np.empty((2 * len(old) - 1, *old.shape[1:]))
    new[::2], new[1::2] = old, (old[1:] + old[:-1]) / 2
    values = np.rint(new).astype(volume.array.dtype) if volume.array.dtype.kind in "iu" else new.astype(volume.array.dtype)
    return volume.with_(array=values, spacing_mm=(*volume.spacing_mm[:2], volume.spacing_mm[2] / 2))


def files_of(folder: Path) -> list[pydicom.Dataset]:
    found = [pydicom.dcmread(f) for f in folder.iterdir()]
    return sorted(found, key=lambda h: int(h.InstanceNumber))


def stacked(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(values, affine) by pydicom alone: sorted along the normal, the affine of DICOM PS3.3 C.7.6.2.1.1."""
    headers = files_of(folder)
    iop = np.array(headers[0].ImageOrientationPatient, float)
    normal = np.cross(iop[:3], iop[3:])
    headers.sort(key=lambda h: normal @ np.array(h.ImagePositionPatient, float))
    first, last = (np.array(h.ImagePositionPatient, float) for h in (headers[0], headers[-1]))
    affine, spacing = np.eye(4), np.array(headers[0].PixelSpacing, float)
    affine[:3, 0], affine[:3, 1] = iop[:3] * spacing[1], iop[3:] * spacing[0]
    affine[:3, 2], affine[:3, 3] = (last - first) / (len(headers) - 1), first
    scaled = [h.pixel_array * float(h.get("RescaleSlope", 1)) + float(h.get("RescaleIntercept", 0)) for h in headers]
    return np.stack(scaled), affine


@pytest.mark.parametrize("which", ["prostate", "lung"])
def test_pydicom_simpleitk_and_we_read_back_what_was_written(which: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    volume = halved(formats.read(request.getfixturevalue(which))[0])
    formats.write(tmp_path / "out", volume)

    values, affine = stacked(tmp_path / "out")
    assert np.array_equal(values, volume.array)
    assert np.allclose(affine, volume.affine, atol=1e-5)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.array)
    corner = [n - 1 for n in image.GetSize()]
    assert np.allclose(image.TransformIndexToPhysicalPoint(corner), (volume.affine @ [*corner, 1])[:3], atol=1e-3)

    (back,) = formats.read(tmp_path / "out")
    assert back.array.dtype == volume.array.dtype
    assert np.array_equal(back.array, volume.array)
    assert np.allclose(back.affine, volume.affine, atol=1e-5)
    assert back.meta["warnings"] == ()


@pytest.mark.parametrize("which", ["prostate", "lung"])
def test_slicer_reads_the_same_place_and_values(which: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    slicer, vtk = pytest.importorskip("slicer"), pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    volume = halved(formats.read(request.getfixturevalue(which))[0])
    formats.write(tmp_path / "out", volume)
    scene = slicer.vtkMRMLScene()
    storage, node = slicer.vtkMRMLVolumeArchetypeStorageNode(), slicer.vtkMRMLScalarVolumeNode()
    scene.AddNode(storage)
    scene.AddNode(node)
    files = sorted(str(f) for f in (tmp_path / "out").iterdir())
    storage.SetFileName(files[0])
    for file in files:
        storage.AddFileName(file)
    assert storage.ReadData(node)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ras = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    image = node.GetImageData()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    size = np.array(volume.shape[::-1])
    for index in ((0, 0, 0), size - 1):
        lps = np.diag([-1, -1, 1, 1]) @ ras @ [*index, 1]
        assert np.allclose(lps, volume.affine @ [*index, 1], atol=1e-3)
    assert np.array_equal(values, volume.array)


def test_the_headers_say_what_was_derived_from_what_by_whom(prostate: Path, tmp_path: Path) -> None:
    formats.write(tmp_path / "out", halved(formats.read(prostate)[0]))
    sources = {h.SOPInstanceUID: h for h in files_of(prostate / "t2_tra")}
    one = next(iter(sources.values()))
    written = files_of(tmp_path / "out")
    assert len(written) == 37
    assert len({h.SOPInstanceUID for h in written}) == 37
    assert {h.SeriesInstanceUID for h in written}.isdisjoint({one.SeriesInstanceUID})
    assert len({h.SeriesInstanceUID for h in written}) == 1
    for header in written:
        assert header.SOPClassUID == header.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
        assert list(header.ImageType) == ["DERIVED", "SECONDARY", "M", "NORM", "DIS2D"]
        for kept in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "Modality", "EchoTime", "Manufacturer"):
            assert header.get(kept) == one.get(kept), kept
        assert header.SeriesDescription == "t2_tse_tra MedSR"
        assert float(header.SpacingBetweenSlices) == float(header.SliceThickness) == 1.5
        assert header.DerivationCodeSequence[0].CodeMeaning == "Spatial resampling"
        equipment = header.ContributingEquipmentSequence[-1]
        assert (equipment.Manufacturer, equipment.SoftwareVersions) == ("MedSR", __version__)
        assert "RescaleSlope" not in header
        assert not any(element.tag.is_private for element in header.iterall())
        references = [sources[r.ReferencedSOPInstanceUID] for r in header.SourceImageSequence]
        away = [np.linalg.norm(np.subtract(r.ImagePositionPatient, header.ImagePositionPatient)) for r in references]
        acquired = int(header.InstanceNumber) % 2 == 1
        assert np.allclose(away, [0.0] if acquired else [1.5, 1.5], atol=1e-3)
        assert float(header.WindowCenter) == float(references[0].WindowCenter) or not acquired


def test_hounsfield_units_keep_the_scanners_rescale(lung: Path, tmp_path: Path) -> None:
    (volume,) = formats.read(lung)
    formats.write(tmp_path / "out", volume)
    for header in files_of(tmp_path / "out"):
        assert (float(header.RescaleSlope), float(header.RescaleIntercept), header.RescaleType) == (1.0, -1000.0, "HU")
        assert header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert 0 <= header.pixel_array.min() <= header.pixel_array.max() <= 4095  # the scanner's 12 bits


def test_the_cine_comes_back_as_four_phases(pig: Path, tmp_path: Path) -> None:
    frames = [halved(f.with_(array=f.array[:4])) for f in formats.read(pig)]
    formats.write(tmp_path / "out", frames)
    back = formats.read(tmp_path / "out")
    assert [f.meta["frame_time_ms"] for f in back] == [10.0, 167.0, 325.0, 483.0]
    assert all(np.array_equal(a.array, b.array) and np.allclose(a.affine, b.affine, atol=1e-4) for a, b in zip(frames, back, strict=True))
    triggers = [float(h.TriggerTime) for h in files_of(tmp_path / "out")]
    assert triggers == [10.0] * 7 + [167.0] * 7 + [325.0] * 7 + [483.0] * 7


def test_enhanced_sources_become_classic_files(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "hard" / "qa_enh_siemens_xa10_4d"
    frames = [halved(f) for f in formats.read(source)]
    formats.write(tmp_path / "out", frames)
    headers = files_of(tmp_path / "out")
    assert len(headers) == 4 * 11
    assert {h.SOPClassUID for h in headers} == {"1.2.840.10008.5.1.4.1.1.4"}
    assert not any(k in h for h in headers for k in ("NumberOfFrames", "PerFrameFunctionalGroupsSequence"))
    assert {float(h.EchoTime) for h in headers} == {30.0}
    assert headers[0].SourceImageSequence[0].ReferencedFrameNumber == 1
    back = formats.read(tmp_path / "out")
    assert all(np.array_equal(a.array, b.array) for a, b in zip(frames, back, strict=True))


def test_fractions_are_stored_within_the_error_that_is_stated(data_dir: Path, tmp_path: Path) -> None:
    (volume,) = formats.read(data_dir / "ct" / "cip_ct-64.nrrd")
    values = volume.array.astype(np.float32) + np.random.default_rng(0).random(volume.array.shape, np.float32)
    formats.write(tmp_path / "out", volume.with_(array=values, meta={"units": "HU"}))
    stated = float(str(files_of(tmp_path / "out")[0].DerivationDescription).rsplit(" ", 1)[1].rstrip("."))
    span = float(values.max() - values.min())
    assert stated == pytest.approx(span / 65534 / 2, rel=1e-2)
    (back,) = formats.read(tmp_path / "out")
    assert np.abs(back.array - values).max() <= stated * 1.02


def test_a_scanners_fractional_slope_is_kept_where_it_holds_all_values(data_dir: Path, tmp_path: Path) -> None:
    frames = formats.read(data_dir / "hard" / "d2n_philips_enhanced_fmri_4d")
    formats.write(tmp_path / "out", frames)
    header = files_of(tmp_path / "out")[0]
    assert float(header.RescaleSlope) == pytest.approx(1.85934065934065, rel=1e-9)
    assert np.allclose(formats.read(tmp_path / "out")[2].array, frames[2].array, rtol=1e-6)


C, S = np.cos(0.4), np.sin(0.4)
ORIENTATIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, C, -S], [0, S, C]]),
    "left-handed": np.diag([1.0, 1, -1]),
    "tilted gantry": np.array([[1, 0, 0], [0, C, 0], [0, -S, 1]]),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_without_a_source_every_voxel_still_lies_in_its_place(orientation: str, tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-50, 900, (4, 5, 6)).astype(np.int16)
    volume = Volume(values, (0.7, 1.3, 5.1), (-12.345678, 3, 333.3333), ORIENTATIONS[orientation])
    formats.write(tmp_path / "out", volume)
    (back,) = formats.read(tmp_path / "out")
    flipped = np.linalg.det(ORIENTATIONS[orientation]) < 0  # slices are sorted along the normal, so the other way round
    for x, y, z in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (5, 4, 3), (2, 3, 1)):
        twin = 3 - z if flipped else z
        assert np.allclose(back.affine @ [x, y, twin, 1], volume.affine @ [x, y, z, 1], atol=1e-5)
        assert back.array[twin, y, x] == values[z, y, x]
    headers = files_of(tmp_path / "out")
    assert len({(h.StudyInstanceUID, h.SeriesInstanceUID, h.FrameOfReferenceUID) for h in headers}) == 1
    for type_2 in ("PatientName", "PatientID", "StudyDate", "AccessionNumber", "ReferringPhysicianName"):
        assert headers[0][type_2].is_empty, type_2
    assert "SourceImageSequence" not in headers[0]


SECONDARY_CAPTURE, MR_IMAGE, PET_IMAGE, CT_IMAGE = (f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("7", "4", "128", "2"))


@pytest.mark.parametrize(
    ("meta", "modality", "sop_class"),
    [
        ({}, "OT", SECONDARY_CAPTURE),
        ({"modality": "MR"}, "MR", MR_IMAGE),
        ({"modality": "PT"}, "PT", PET_IMAGE),
        ({"units": "HU"}, "CT", CT_IMAGE),
        ({"modality": "US"}, "US", SECONDARY_CAPTURE),
    ],
)
def test_no_modality_is_made_up(meta: dict[str, str], modality: str, sop_class: str, tmp_path: Path) -> None:
    """An image that does not say what it is claims nothing, and the user hears of it; ITK still places it."""
    direction = ORIENTATIONS["oblique"]
    volume = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), (0.7, 1.3, 5.1), (-12.5, 3, 333), direction, meta=meta)
    formats.write(tmp_path / "out", volume)
    header = files_of(tmp_path / "out")[0]
    assert (header.Modality, header.SOPClassUID) == (modality, sop_class)
    assert ("ConversionType" in header) == (sop_class == SECONDARY_CAPTURE) and ("EchoTime" in header) == (modality == "MR")
    told = formats.doubts(tmp_path / "new", volume)
    assert len(told) == (modality == "OT") and all("modality" in sentence for sentence in told)
    assert formats.doubts(tmp_path / "a.nrrd", volume) == ()
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    assert image.GetSpacing() == pytest.approx((0.7, 1.3, 5.1)) and image.GetOrigin() == pytest.approx((-12.5, 3, 333))
    assert np.array(image.GetDirection()).reshape(3, 3) == pytest.approx(direction, abs=1e-6)


def test_uneven_slices_keep_their_positions(tmp_path: Path) -> None:
    values = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    formats.write(tmp_path / "out", Volume(values, (1, 1, 5), positions_mm=(0, 5, 10, 20)))
    (back,) = formats.read(tmp_path / "out")
    assert back.positions_mm == pytest.approx((0, 5, 10, 20))
    assert np.array_equal(back.array, values)


def test_strange_values_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="NaN"):
        formats.write(tmp_path / "out", Volume(np.full((2, 3, 3), np.nan, np.float32)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="already holds files"):
        formats.write(tmp_path, Volume(np.zeros((2, 3, 3), np.uint8)))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert not list(tmp_path.parent.glob(".*.part"))


def test_a_source_that_has_gone_is_one_sentence(prostate: Path, tmp_path: Path) -> None:
    volume = formats.read(prostate)[0].with_(meta={"dicom_files": ("/gone/1.dcm",) * 19})
    with pytest.raises(OutputError, match="can no longer be read"):
        formats.write(tmp_path / "out", volume)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_patient_is_printed(prostate: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formats.write(tmp_path / "out", formats.read(prostate)[0])
    assert capfd.readouterr() == ("", "")
