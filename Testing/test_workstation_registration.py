"""Registering real slides in the browser: from files to the exported segmentation, its Dice, a slide moved by hand, and what is refused.

Dice and moves are computed here by SimpleITK from what was downloaded, not read from the page.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from workstation_driver import PATIENT, SECONDS, Page, a_browser, a_server

pytestmark = pytest.mark.browser
sitk = pytest.importorskip("SimpleITK")
TASK = "register_slide"
NOTES = "document.querySelector('#notes')?.innerText"
T2_SLICE = 13
"""Where the published study lays the first slide of this case."""


@pytest.fixture(scope="module")
def pairs(data_dir):
    return data_dir / "pairs"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with a_server(tmp_path_factory.mktemp("workstation")) as server, a_browser() as browser:
        page = Page(browser, server.link)
        page.server = server
        yield page
        page.tab.close()


def open_file(page: Page, path: Path) -> None:
    """Open it, and wait for its line in the list."""
    page.open_path(path)
    page.tab.wait_for_selector(f".medsr-row:has-text('{path.name.partition('.')[0]}')")
    page.tab.wait_for_timeout(SECONDS)


def choose(page: Page, port: str, text: str | Path) -> None:
    """An input of the registration: the name of an open image, or a path."""
    page.tab.fill(f"#input-{port}", str(text))
    page.tab.press(f"#input-{port}", "Tab")
    page.tab.wait_for_timeout(300)


def extracted(page: Page, folder: Path) -> Path:
    """The files of the zip that one click gives."""
    with zipfile.ZipFile(page.download("#download-registration-zip", folder)) as archive:
        archive.extractall(folder)
    return folder


def matrix(path: Path) -> np.ndarray:
    """4x4 from the slide's frame to the patient, LPS mm, of a transform file: SimpleITK's maps the other way."""
    found = sitk.ReadTransform(str(path))
    affine = np.eye(4)
    origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    for axis in range(3):
        affine[:3, axis] = np.array(found.TransformPoint(tuple(np.eye(3)[axis]))) - origin
    affine[:3, 3] = origin
    return np.linalg.inv(affine)


@pytest.fixture(scope="module")
def t2(page, pairs):
    """The page with a T2 and its gland mask open, the outlines of a slide chosen, all in the registration's panel."""
    open_file(page, pairs / "aaa0060" / "aaa0060_T2_prostate_label.nii.gz")
    page.open_path(pairs / "aaa0060" / "aaa0060_T2.nii.gz")
    page.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 2")
    page.tab.wait_for_timeout(SECONDS)
    page.tab.click(f"#task-{TASK}")
    page.tab.wait_for_selector("#input-slide")
    page.tab.wait_for_timeout(SECONDS)
    return page


def test_what_cannot_be_registered_is_said_in_a_sentence(t2):
    t2.tab.click("#run")
    t2.tab.wait_for_function(f"{NOTES}?.includes('no slide is chosen')")
    choose(t2, "slide", "/nowhere/slide.svs")
    t2.tab.click("#run")
    t2.tab.wait_for_function(f"{NOTES}?.includes('there is no such file')")
    assert len(t2.rows()) == 2, "nothing was made"


@pytest.fixture(scope="module")
def with_outlines(t2, pairs, tmp_path_factory):
    """(page, files): after a click, and what was downloaded."""
    choose(t2, "slide", pairs / "aaa0060" / "results" / "aaa0060_input_highres_region00_label.nii.gz")
    choose(t2, "mri_mask", "aaa0060_T2_prostate_label")
    t2.set_option("slice", str(T2_SLICE), TASK)
    t2.set_option("slide_slice", "0", TASK)
    t2.set_option("orientation", "r0", TASK)
    t2.tab.wait_for_function("document.querySelector('#estimate')?.innerText.includes('on slice 13')")
    t2.run_to_result()
    return t2, extracted(t2, tmp_path_factory.mktemp("outlines"))


def test_outlines_of_a_slide_become_segments_on_the_t2_with_their_dice(with_outlines, pairs):
    page, files = with_outlines
    names = {path.name for path in files.iterdir()}
    assert {"transform.h5", "registration.json", "labels.seg.nrrd", "labelmap.nii.gz", "dice.csv"} <= names
    labels = sitk.ReadImage(str(files / "labels.seg.nrrd"))
    mri = sitk.ReadImage(str(pairs / "aaa0060" / "aaa0060_T2.nii.gz"))
    assert labels.GetSize() == mri.GetSize() and labels.GetOrigin() == pytest.approx(mri.GetOrigin(), abs=1e-3)
    gland = sitk.GetArrayFromImage(labels) > 0
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(pairs / "aaa0060" / "aaa0060_T2_prostate_label.nii.gz"))) > 0
    assert gland[T2_SLICE].any() and not np.delete(gland, T2_SLICE, axis=0).any()
    dice = 2 * (gland & truth)[T2_SLICE].sum() / (gland[T2_SLICE].sum() + truth[T2_SLICE].sum())
    assert dice > 0.93
    row = page.tab.locator("#dice tbody tr").first.inner_text().split()
    assert float(row[-3]) == pytest.approx(dice, abs=0.003)
    assert json.loads((files / "registration.json").read_text())["slice"] == T2_SLICE


def test_its_grade_stands_on_the_card_in_words(with_outlines):
    page, files = with_outlines
    grade = json.loads((files / "registration.json").read_text())["grade"]
    assert page.tab.inner_text("#grade").lower().startswith(grade)
    assert "r0" in page.tab.inner_text("#result")


def test_outlines_are_drawn_on_the_mri_in_both_views(with_outlines):
    """Their colours: the T2 itself is grey."""
    page, _ = with_outlines
    page.wait_for_picture(1, lambda picture: picture.std() > 15)
    assert colourful(page, 0) > 200 and colourful(page, 1) > 200


def colourful(page: Page, view: int, by: int = 60) -> int:
    """Pixels of a view's middle that are `by` levels and more from grey."""
    from PIL import Image

    shot = Image.open(io.BytesIO(page.tab.locator(".layout-grid-item").nth(view).screenshot())).convert("RGB")
    rgb = np.asarray(shot, float)[160:-160, 40:-40]
    return int((rgb.max(axis=2) - rgb.min(axis=2) > by).sum())


@pytest.fixture(scope="module")
def with_slide(with_outlines, pairs):
    """A real H&E slide on the mask of its gland, slice 12."""
    page, _ = with_outlines
    open_file(page, pairs / "aaa0043" / "aaa0043_B.tiff")
    open_file(page, pairs / "aaa0043" / "aaa0043_prostate_label.nii.gz")
    page.tab.wait_for_selector(f"#task-{TASK}.v-btn--active")
    page.tab.wait_for_timeout(SECONDS)
    choose(page, "slide", "aaa0043_B")
    choose(page, "mri_mask", "")
    page.set_option("slice", "12", TASK)
    page.set_option("slide_slice", "-1", TASK)
    page.tab.click("#run")
    page.tab.wait_for_selector(".medsr-row:has-text('aaa0043_B registered')", timeout=2 * PATIENT)
    page.tab.wait_for_selector("#move-right")
    return page


def test_the_slide_covers_its_slice_and_gives_way_to_the_slider(with_slide):
    with_slide.wait_for_picture(1, lambda picture: picture.std() > 15)
    assert colourful(with_slide, 1, by=25) > 5000, "the stain is not seen"
    with_slide.tab.locator(".medsr-bar-row .v-slider-thumb").last.focus(timeout=10 * SECONDS)
    with_slide.tab.keyboard.press("Home")
    with_slide.tab.wait_for_timeout(2 * SECONDS)
    assert colourful(with_slide, 1, by=25) < 5000
    with_slide.tab.keyboard.press("End")
    with_slide.tab.wait_for_timeout(SECONDS)


def test_the_screenshot(with_slide):
    """Taken anew with MEDSR_SCREENSHOTS=Resources/Screenshots."""
    folder = os.environ.get("MEDSR_SCREENSHOTS")
    if not folder:
        pytest.skip("taken only where MEDSR_SCREENSHOTS names a folder")
    with_slide.tab.evaluate("document.querySelector('#result').scrollIntoView({block: 'end'})")
    with_slide.tab.wait_for_timeout(2 * SECONDS)
    path = Path(folder) / "workstation-registration.jpg"
    with_slide.tab.screenshot(path=path, type="jpeg", quality=88)
    assert path.stat().st_size < 200_000


def test_each_mri_keeps_the_slide_that_was_chosen_for_it(with_slide):
    page = with_slide
    page.tab.locator(".medsr-row:has-text('region00_label registered')").click()
    page.tab.wait_for_function("document.querySelector('#estimate')?.innerText.includes('region00_label.nii.gz is laid')")
    page.tab.locator(".medsr-row:has-text('aaa0043_B registered')").click()
    page.tab.wait_for_function("document.querySelector('#estimate')?.innerText.startsWith('aaa0043_B is laid')")
    page.tab.wait_for_timeout(SECONDS)


def test_a_move_by_hand_moves_the_transform_by_what_was_asked(with_slide, pairs, tmp_path):
    """Its MRI is axial, tilted about x: right on the screen is the patient's left, +x, and down are its rows."""
    page, tab = with_slide, with_slide.tab

    def now(name: str) -> np.ndarray:
        (tmp_path / name).mkdir()
        return matrix(page.download("#download-transform-h5", tmp_path / name))

    start = now("start")
    tab.fill("#step-shift_mm", "2.5")
    tab.wait_for_timeout(300)
    tab.click("#move-right")
    tab.wait_for_timeout(SECONDS)
    shifted = now("shifted")
    assert (shifted - start)[:3, 3] == pytest.approx((2.5, 0, 0), abs=1e-3)
    tab.fill("#step-turn_deg", "10")
    tab.wait_for_timeout(300)
    tab.click("#move-turn-right")
    tab.wait_for_timeout(SECONDS)
    turned = now("turned")
    cos, sin = np.cos(np.radians(10)), np.sin(np.radians(10))
    axes = np.reshape(sitk.ReadImage(str(pairs / "aaa0043" / "aaa0043_prostate_label.nii.gz")).GetDirection(), (3, 3))
    in_plane = axes.T @ (turned @ np.linalg.inv(shifted))[:3, :3] @ axes
    assert in_plane[:2, :2] == pytest.approx(np.array([[cos, -sin], [sin, cos]]), abs=1e-4)
    tab.click("#move-mirror")
    tab.wait_for_timeout(SECONDS)
    mirrored = axes.T @ (now("mirrored") @ np.linalg.inv(turned))[:3, :3] @ axes
    assert mirrored == pytest.approx(np.diag([-1, 1, -1]), abs=1e-4), "left to right, and turned over"
    for _ in range(3):
        tab.click("#move-undo")
        tab.wait_for_timeout(500)
    tab.wait_for_timeout(SECONDS)
    assert now("back") == pytest.approx(start, abs=1e-6)


def test_a_moved_slide_is_scored_where_it_lies(with_slide, tmp_path):
    page, tab = with_slide, with_slide.tab
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before = extracted(page, tmp_path / "before")
    tab.fill("#step-shift_mm", "3")
    tab.wait_for_timeout(300)
    tab.click("#move-left")
    tab.wait_for_timeout(SECONDS)
    tab.click("#score")
    tab.wait_for_selector(".medsr-row:has-text('aaa0043_B registered 2')", timeout=2 * PATIENT)
    tab.wait_for_timeout(SECONDS)
    after = extracted(page, tmp_path / "after")
    moved = matrix(after / "transform.h5") - matrix(before / "transform.h5")
    assert moved[:3, 3] == pytest.approx((-3, 0, 0), abs=0.05)
    dice = [json.loads((folder / "registration.json").read_text())["dice"] for folder in (before, after)]
    assert dice[1] < dice[0] - 0.01, "three millimetres off, it fits worse"


def test_cancel_leaves_no_result(with_slide):
    page = with_slide
    rows = page.rows()
    page.set_option("slice", "-1", TASK)
    page.tab.click("#run")
    page.tab.wait_for_selector("#cancel")
    page.tab.wait_for_timeout(SECONDS)
    page.tab.click("#cancel")
    page.tab.wait_for_function(f"{NOTES}?.includes('Cancelled')")
    assert page.rows() == rows and page.tab.locator("#run").is_enabled()


def test_nothing_complained(with_slide):
    assert with_slide.complaints == []
    assert "Traceback" not in with_slide.server.log() and "ERROR" not in with_slide.server.log()
