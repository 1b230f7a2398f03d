"""Bad input: one clear sentence on standard error, nothing written, an exit code that is not 0.

And what only looks bad, and is used for what it truly is, with a sentence that says so.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from MedSRLib import cli
from MedSRLib.errors import MedSRError
from MedSRLib.io import formats
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

INPUT, OPTION, MODEL, OUTPUT = 2, 3, 4, 5
STAND_IN = Path(__file__).parent / "stand_in_task"
LIBRARY = Path(__file__).resolve().parents[1] / "MedSR"
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


# ---------------------------------------------------------------- what is no volume


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


# ---------------------------------------------------------------- DICOM that is not what it seems


def test_two_series_without_a_choice(refused, attempt, tmp_path):
    folder = series(tmp_path / "both", range(0, 30, 5), uid="1.2.840.99.1")
    series(folder, range(0, 40, 5), uid="1.2.840.99.2")
    said = refused(folder)
    assert "1.2.840.99.1" in said and "1.2.840.99.2" in said and "choose one" in said
    chosen = attempt(folder, "--series", "1.2.840.99.2", "--factor", "5")
    assert chosen.code == 0 and sitk.ReadImage(str(chosen.out)).GetSize() == (COLUMNS, ROWS, 36)


def test_a_series_that_is_not_there(refused, tmp_path):
    assert "9.9.9" in refused(series(tmp_path / "one", range(0, 30, 5)), "--series", "9.9.9")


def test_mixed_orientations(refused, tmp_path):
    planes = [[1, 0, 0, 0, 1, 0]] * 3 + [[1, 0, 0, 0, 0, -1]] * 3
    refused(series(tmp_path / "mixed", range(0, 30, 5), orientations=planes))


def test_one_slice_twice(attempt, tmp_path):
    """Two files at one position cannot both be a slice: refused, or one of them used and said so, when they are the same."""
    values = slices(6)
    values[3] = values[2]
    tried = attempt(series(tmp_path / "twice", [0, 5, 10, 10, 15, 20], values=values))
    assert tried.said.count("\n") == 1
    assert (tried.code == INPUT and tried.written == []) or (tried.code == 0 and "Warning" in tried.said)


def test_one_position_with_two_pictures(attempt, tmp_path):
    """Different pixels at one position: no volume holds both."""
    tried = attempt(series(tmp_path / "twice", [0, 5, 10, 10, 15, 20]))
    assert tried.code == INPUT and tried.written == [] and tried.said.count("\n") == 1


@pytest.mark.parametrize(("positions", "words"), [([0, 5, 10, 20, 25], "missing"), ([0, 5, 10, 20, 30], "unevenly")])
def test_missing_slices_and_uneven_steps_are_used_at_their_true_positions(attempt, tmp_path, positions, words):
    """The slice at z mm holds 10·z everywhere: a linear result must hold 10·z at every height."""
    values = np.array([np.full((ROWS, COLUMNS), 10 * z, np.int16) for z in positions])
    tried = attempt(series(tmp_path / "uneven", positions, values=values), "--spacing", "2.5")
    assert tried.code == 0 and "Warning" in tried.said and words in tried.said
    made = sitk.ReadImage(str(tried.out))
    heights = [made.TransformIndexToPhysicalPoint((0, 0, k))[2] for k in range(made.GetSize()[2])]
    assert heights[0] == 0 and heights[-1] == positions[-1] and made.GetSpacing()[2] == pytest.approx(2.5)
    assert sitk.GetArrayFromImage(made)[:, 5, 5] == pytest.approx(10 * np.array(heights), abs=0.51)


def test_a_tilted_gantry(refused, attempt, tmp_path):
    folder = series(tmp_path / "tilt", range(0, 30, 5), tilt=0.3)
    assert "right angles" in refused(folder)
    allowed = attempt(folder, "--allow-shear")
    assert allowed.code == 0 and "right-angled" in allowed.said
    assert np.array(sitk.ReadImage(str(allowed.out)).GetDirection()) == pytest.approx(np.eye(3).ravel(), abs=1e-6)


def test_a_sheared_affine(refused, tmp_path):
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[0, 2] = 2.0
    assert "right angles" in refused(nifti(tmp_path / "a.nii.gz", slices().T, affine))


def test_a_nifti_whose_headers_disagree(attempt, tmp_path):
    """Like ACDC's: the sform is the identity, pixdim holds the true spacing. It is noticed, pixdim chosen, and said."""
    image = nibabel.Nifti1Image(slices().T, None)
    image.header.set_zooms((1.25, 1.25, 10.0))
    image.header.set_sform(np.eye(4), 2)
    image.header["qform_code"] = 0
    path = tmp_path / "acdc.nii.gz"
    nibabel.save(image, path)
    with gzip.open(path) as file:
        header = file.read(348)
    assert np.frombuffer(header[76:92], "<f4")[1:] == pytest.approx([1.25, 1.25, 10.0]), "the file is what it is meant to be"
    tried = attempt(path, "--factor", "2")
    assert tried.code == 0 and "Warning" in tried.said
    assert sitk.ReadImage(str(tried.out)).GetSpacing() == pytest.approx((1.25, 1.25, 5.0), rel=1e-5)


# ---------------------------------------------------------------- options that make no sense


@pytest.fixture
def good(tmp_path):
    """A volume with nothing wrong, 1×1×5 mm."""
    return saved(tmp_path / "good.nrrd", slices())


@pytest.mark.parametrize("words", [("--spacing", "0"), ("--spacing", "-1"), ("--spacing", "nan"), ("--spacing", "inf"), ("--factor", "0")])
def test_a_spacing_that_is_none(refused, good, words):
    assert words[0] in refused(good, *words, code=OPTION)


@pytest.mark.parametrize("words", [("--spacing", "7"), ("--factor", "0.5")])
def test_a_spacing_coarser_than_the_input(refused, good, words):
    assert "coarser" in refused(good, *words, code=OPTION)


def test_a_spacing_and_a_factor(refused, good):
    refused(good, "--spacing", "1", "--factor", "2", code=OPTION)


def test_a_result_that_no_memory_holds(refused, tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (6, 300, 300)).astype(np.uint8)
    assert "memory" in refused(saved(tmp_path / "large.nrrd", array, (1.0, 1.0, 10000.0)), "--spacing", "0.01", code=6)


def test_a_file_that_becomes_dicom_says_that_its_modality_is_not_known(attempt, good):
    tried = attempt(good, out="dicom")
    assert tried.code == 0 and "Warning" in tried.said and "does not say its modality" in tried.said
    record = json.loads(tried.out.with_name("dicom.json").read_text())
    assert any("modality OT" in sentence for sentence in record["warnings"])
    assert "modality" not in attempt(good, out="b.nrrd").said


# ---------------------------------------------------------------- models


def test_an_unknown_model(refused, good):
    assert "nonsense" in refused(good, "--model", "nonsense", code=MODEL, method="")


def model(folder: Path, weights: bytes, name: str = "weights.safetensors", **card) -> None:
    """A model folder whose card says that these are its weights, and is otherwise complete."""
    facts = {
        "id": folder.name, "title": "x", "task": "interpolate_slices", "network": "slice_refiner", "arguments": {}, "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(), "licence": "CC0-1.0", "training_data": [{"name": "x", "licence": "CC0"}],
        "command": "x", "left_open": ["x"], "valid_range": {"text": "x"}, "figures": {"x": 1}, "ideas": [{"x": 1}], "known_failures": ["x"],
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({**facts, **card}))
    (folder / "LICENSE").write_text("CC0")
    (folder / name).write_bytes(weights)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of a user's own models."""
    monkeypatch.setenv("MEDSR_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


def test_weights_with_a_wrong_checksum(refused, good, own):
    model(own / "bad", b"0123456789", sha256="0" * 64)
    assert "checksum" in refused(good, "--model", "bad", code=MODEL, method="")


def test_truncated_weights(refused, good, own):
    model(own / "bad", b"0123456789", bytes=20)
    assert "10 bytes" in refused(good, "--model", "bad", code=MODEL, method="")


def test_weights_that_are_none(refused, good, own):
    model(own / "bad", b"0123456789")
    refused(good, "--model", "bad", code=MODEL, method="")


def test_pickled_weights(refused, good, own, tmp_path):
    """The pickle would make a file if it were ever read."""
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    model(own / "bad", pickle.dumps(Trap()), "weights.pth")
    assert "pickled" in refused(good, "--model", "bad", code=MODEL, method="")
    assert not (tmp_path / "sprung").exists()


def test_a_card_that_is_incomplete(refused, good, own):
    model(own / "bad", b"0123456789", licence="")
    assert "licence" in refused(good, "--model", "bad", code=MODEL, method="")


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("out", ["no such folder/a.nrrd", "a.jpg", "a.xyz", "a.dcm"])
def test_a_target_that_cannot_be(refused, good, out):
    refused(good, out=out, code=OUTPUT)


def test_a_target_inside_a_file(refused, good):
    refused(good, out=f"../{good.name}/a.nrrd", code=OUTPUT)


def test_a_target_that_is_the_input(refused, good):
    before = good.read_bytes()
    assert "input itself" in refused(good, out=f"../{good.name}", code=OUTPUT)
    assert good.read_bytes() == before


def test_a_folder_that_may_not_be_written_to(attempt, good, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    tried = attempt(good, out="../locked/a.nrrd")
    assert tried.code == OUTPUT and "may not be written" in tried.said and list(locked.iterdir()) == []


def test_a_folder_of_the_system(attempt, good):
    """Not even root makes a file there."""
    if not Path("/proc/self").exists():
        pytest.skip("no /proc")
    code = cli.main(["interpolate-slices", str(good), "/proc/a.nrrd", "--method", "linear", "--quiet"])
    assert code == OUTPUT


@pytest.mark.parametrize("out", ["a.nrrd", "a.nii.gz", "a.mha", "dicom"])
def test_a_full_disk(refused, tmp_path, out):
    """A limit on file size is what a full disk looks like to a program."""
    resource = pytest.importorskip("resource")
    source = saved(tmp_path / "good.nrrd", slices(6, 60, 60))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        assert "disk is full" in refused(source, out=out, code=OUTPUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_half_way(good, tmp_path):
    """SIGKILL gives no chance to tidy up: there must be nothing to tidy, and an old result must still be whole."""
    target = tmp_path / "results" / "a.nrrd"
    target.parent.mkdir()
    target.write_text("old")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(STAND_IN), str(LIBRARY)))}
    words = ["wait", "here", str(good), str(target), "--seconds", "40", "--steps", "400", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "MedSRLib", *words], env=environment, stdout=subprocess.PIPE, text=True)
    while "Step" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert [path.name for path in target.parent.iterdir()] == ["a.nrrd"] and target.read_text() == "old"
