"""Parts of the browser workstation that need neither a browser nor a server."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from MedSRLib.io import formats
from workstation_driver import SAMPLE


def test_file_names_are_made_harmless():
    transfer = pytest.importorskip("MedSRLib.workstation.transfer")
    assert transfer.safe_name("../../etc/passwd") == "etc_passwd"
    assert transfer.safe_name("C:\\x\\.hidden") == "C__x_.hidden"
    assert transfer.safe_name("ä ö.nii.gz") == "ä ö.nii.gz"
    assert transfer.safe_name("..") == "file"
    assert len(transfer.safe_name("脳" * 110 + ".nii.gz").encode()) <= transfer.NAME_BYTES
    assert transfer.safe_path("series/../b/./x.mhd") == Path("series/b/x.mhd")
    assert transfer.safe_path("C:\\a\\.b") == Path("C_/a/b") and transfer.safe_path("..") == Path("file")
    long = transfer.safe_name("a" * 300 + ".nii.gz")
    assert long.endswith(".nii.gz") and len(long) <= transfer.NAME_LENGTH


def test_without_egl_one_sentence_says_what_to_install(monkeypatch):
    from MedSRLib.errors import DependencyError
    from MedSRLib.workstation import environment

    def missing(_name: str):
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setattr(environment.ctypes, "CDLL", missing)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("VTK_DEFAULT_OPENGL_WINDOW", raising=False)
    with pytest.raises(DependencyError, match="libegl1") as error:
        environment.prepare_drawing()
    assert error.value.sentence().count("\n") == 0


@pytest.mark.parametrize(
    ("asked", "shown"),
    [((2.0, 6.0), (2.0, 6.0)), ((-5.0, 50.0), (-5.0, 50.0)), ((5.0, 5.0), (0, 9)), ((20.0, 30.0), (0, 9)), ((-9.0, 0.0), (0, 9))],
)
def test_the_window_of_the_file_is_taken_where_it_shows_something(asked, shown):
    window = pytest.importorskip("MedSRLib.workstation.window").window_of(np.arange(10.0), asked)
    assert (window.low, window.high) == pytest.approx(shown, abs=0.1)
    assert window.lowest <= window.low < window.high <= window.highest, "the slider must reach it"


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.0, 0.0, 0.0], 0.0, 1.0), ([np.nan, np.nan], 0.0, 1.0), ([np.nan, 1.0, 3.0, np.inf], 1.0, 3.0), ([7, 7, 7], 7.0, 8.0)],
)
def test_the_grey_window_is_never_empty_nor_infinite(values, low, high):
    window = pytest.importorskip("MedSRLib.workstation.window").window_of(np.array(values))
    assert window.low < window.high and np.isfinite([window.low, window.high]).all()
    assert (window.lowest, window.highest) == (low, high)


def test_frames_of_types_that_slicer_cannot_draw_are_written_to_their_nodes():
    pytest.importorskip("trame_slicer")
    nodes = pytest.importorskip("MedSRLib.scene.nodes")
    assert nodes._drawable(np.ones((2, 2, 2), np.int64)).dtype == np.int32


def test_a_segmentation_has_no_other_formats_than_its_own(tmp_path):
    """An unknown format must not be answered with another image."""
    downloads = pytest.importorskip("MedSRLib.workstation.downloads")
    errors = pytest.importorskip("MedSRLib.errors")
    volume = formats.read(SAMPLE)[0]
    for name in ("v.nrrd", "s.nrrd"):
        formats.write(tmp_path / name, volume)
    outputs = {"volume": tmp_path / "v.nrrd", "segmentation": tmp_path / "s.nrrd"}
    entry = SimpleNamespace(is_result=True, outputs=outputs, frames=(volume,), fidelity=(volume,), source="v0", registration=None)
    said: list[str] = []
    found = downloads.Downloads(SimpleNamespace(get={"v1": entry}.get), lambda _what: None, said.append)
    assert asyncio.run(found.find("v1", "segmentation.nrrd")) == outputs["segmentation"]
    assert asyncio.run(found.find("v1", "volume.mha")).is_file()
    for what in ("segmentation.nii.gz", "volume.exe", "volume.dicom.zip", "nothing.nrrd"):
        with pytest.raises(errors.InputError):
            asyncio.run(found.find("v1", what))
    assert len(said) == 4 and not list(tmp_path.glob("*.zip"))


def test_one_zip_holds_one_folder(tmp_path):
    downloads = pytest.importorskip("MedSRLib.workstation.downloads")
    volume = formats.read(SAMPLE)[0]
    small = volume.with_(array=volume.array[:3, :16, :16])
    path = tmp_path / f"a 2.5 mm é.{downloads.DICOM_ZIP}"
    downloads.write_dicom_zip(path, [small], [small])
    assert zipfile.ZipFile(path).namelist() == [f"a 2.5 mm é/IM0000{n}.dcm" for n in (1, 2, 3)]
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing else is left"
    assert Path(path).stat().st_size > 1000
