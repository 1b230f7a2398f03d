"""DICOM in the browser workstation: its own window on screen, a derived series to take home."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.io import dicom_window, formats
from workstation_driver import SAMPLE, Page, a_browser, a_server

pydicom = pytest.importorskip("pydicom")
CENTRE, WIDTH = 60, 41
BLACK, WHITE = 39.5, 79.5
"""What the standard's linear function makes of that: centre − 0.5 ± (width − 1)/2."""


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """The middle of the sample, 64 × 64 × 9 voxels, as DICOM of a named patient, in a folder with spaces and accents."""
    volume = formats.read(SAMPLE)[0]
    folder = tmp_path_factory.mktemp("dicom") / "coupe épaisse – Übung"
    formats.write(folder, volume.with_(array=volume.array[5:14, 56:120, 56:120]))
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PatientID, dataset.WindowCenter, dataset.WindowWidth = "P-17", CENTRE, WIDTH
        dataset.save_as(path)
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory, series):
    with a_server(tmp_path_factory.mktemp("workstation")) as server, a_browser() as browser:
        page = Page(browser, server.link)
        page.server = server
        page.open_path(series)
        page.tab.wait_for_selector(".medsr-row")
        yield page
        page.tab.close()


@pytest.fixture(scope="module")
def with_result(page):
    page.set_option("method", "linear")
    page.set_option("spacing_mm", "2.5")
    page.tab.click("#run")
    page.tab.wait_for_selector("#result")
    return page


def window_text(page) -> str:
    page.tab.click("#window")
    page.tab.wait_for_selector("text=Grey values shown")
    return page.tab.inner_text("text=Grey values shown")


@pytest.mark.browser
def test_the_first_picture_has_the_window_of_the_file(page):
    assert f"{BLACK} to {WHITE}" in window_text(page)
    own = page.wait_for_picture(0, lambda p: p.std() > 15)
    page.tab.click("#window-auto")
    assert page.wait_for_picture(0, lambda p: np.abs(p.mean() - own.mean()) > 8).mean() != pytest.approx(own.mean(), abs=8)
    assert f"{BLACK} to {WHITE}" not in page.tab.inner_text("text=Grey values shown")
    page.tab.click("#window-file")
    back = page.wait_for_picture(0, lambda p: np.abs(p.mean() - own.mean()) < 2)
    assert back.mean() == pytest.approx(own.mean(), abs=2)
    page.tab.keyboard.press("Escape")


@pytest.mark.browser
def test_the_result_is_shown_in_the_same_window(with_result):
    with_result.tab.wait_for_function("document.querySelectorAll('.layout-grid-item').length === 4")
    for _ in range(40):  # the views find their size, then their scale
        original, result = (with_result.picture(view)[100:-100, 120:-120].mean() for view in (0, 2))
        if abs(result - original) < 12:
            break
        with_result.tab.wait_for_timeout(500)
    assert result == pytest.approx(original, abs=12)
    assert f"{BLACK} to {WHITE}" in window_text(with_result)
    with_result.tab.keyboard.press("Escape")


@pytest.mark.browser
def test_why_a_download_fails_is_said_on_the_page(with_result, series):
    gone = sorted(series.iterdir())[3]
    hidden = gone.rename(series.with_name("hidden.dcm"))
    try:
        with with_result.tab.expect_download() as waiting:
            with_result.tab.click("#download-volume-dicom-zip")
        assert waiting.value.failure()
        with_result.tab.wait_for_function("document.querySelector('#notes')?.innerText.includes('can no longer be read')")
    finally:
        hidden.rename(gone)


@pytest.mark.browser
def test_the_result_comes_as_a_derived_series(with_result, series, tmp_path):
    archive = with_result.download("#download-volume-dicom-zip", tmp_path)
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "out")
    made = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").rglob("*.dcm"))]
    acquired = [pydicom.dcmread(path) for path in sorted(series.iterdir())]
    assert archive.name.endswith("_interpolated.dicom.zip") and len(made) == 17
    assert {d.PatientID for d in made} == {"P-17"} and {d.StudyInstanceUID for d in made} == {acquired[0].StudyInstanceUID}
    assert {d.SeriesInstanceUID for d in made}.isdisjoint({d.SeriesInstanceUID for d in acquired})
    assert all(d.ImageType[0] == "DERIVED" and (d.WindowCenter, d.WindowWidth) == (CENTRE, WIDTH) for d in made)
    at = {tuple(round(float(v), 2) for v in d.ImagePositionPatient): d for d in made}
    for one in acquired:
        same = at[tuple(round(float(v), 2) for v in one.ImagePositionPatient)]
        assert np.array_equal(same.pixel_array, one.pixel_array), "an acquired slice must come back unchanged"
    places = np.array(sorted(at))
    assert np.linalg.norm(np.diff(places, axis=0), axis=1) == pytest.approx(2.5, abs=0.02)


@pytest.mark.browser
def test_nothing_complained(page):
    assert [text for text in page.complaints if "404" not in text] == []
    assert not re.search("Traceback|ERROR", page.server.log())


def test_the_window_is_the_median_over_the_slices(data_dir, tmp_path):
    """On a prostate T2 whose scanner chose another window for each slice; the reference reads the files by itself."""
    with tarfile.open(data_dir / "prostate" / "ProstateX-0218" / "t2_tra.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    datasets = [pydicom.dcmread(p, stop_before_pixels=True) for p in tmp_path.rglob("*") if p.is_file()]
    centres, widths = (np.array([float(np.ravel(d[name].value)[0]) for d in datasets]) for name in ("WindowCenter", "WindowWidth"))
    assert len(set(zip(centres, widths, strict=True))) > 5
    low, high = dicom_window.window(formats.read(tmp_path)[0])
    half = (widths - 1) / 2
    assert (low, high) == pytest.approx((np.median(centres - 0.5 - half), np.median(centres - 0.5 + half)))


def test_files_without_a_window_or_gone_have_none(series, tmp_path):
    frame = formats.read(SAMPLE)[0]
    assert dicom_window.window(frame) is None
    assert dicom_window.window(frame.with_(meta={"dicom_files": (str(tmp_path / "gone.dcm"),)})) is None
    for number, path in enumerate(sorted(series.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.WindowWidth = 0 if number % 2 else None
        dataset.save_as(tmp_path / path.name)
    assert dicom_window.window(formats.read(tmp_path)[0]) is None
