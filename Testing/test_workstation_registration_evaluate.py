"""A registration in the browser, button "Evaluate this registration": figures counted again from what was downloaded."""

from __future__ import annotations

import csv
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


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with a_server(tmp_path_factory.mktemp("workstation")) as server, a_browser() as browser:
        page = Page(browser, server.link)
        page.server = server
        yield page
        page.tab.close()


def choose(page: Page, port: str, text: str | Path) -> None:
    """An input of the registration: the name of an open image, or a path."""
    page.tab.fill(f"#input-{port}", str(text))
    page.tab.press(f"#input-{port}", "Tab")
    page.tab.wait_for_timeout(300)


@pytest.fixture(scope="module")
def with_t2(page, data_dir):
    """aaa0060's T2 in the registration's panel, gland and outlines of a slide chosen by their paths."""
    pairs = data_dir / "pairs" / "aaa0060"
    page.open_path(pairs / "aaa0060_T2.nii.gz")
    page.tab.wait_for_selector(".medsr-row:has-text('aaa0060_T2')")
    page.tab.wait_for_timeout(SECONDS)
    page.tab.click(f"#task-{TASK}")
    page.tab.wait_for_selector("#input-slide")
    page.tab.wait_for_timeout(SECONDS)
    choose(page, "slide", pairs / "results" / "aaa0060_input_highres_region00_label.nii.gz")
    choose(page, "mri_mask", pairs / "aaa0060_T2_prostate_label.nii.gz")
    page.set_option("slice", str(T2_SLICE), TASK)
    page.set_option("slide_slice", "0", TASK)
    page.set_option("orientation", "r0", TASK)
    page.tab.wait_for_function("document.querySelector('#estimate')?.innerText.includes('on slice 13')")
    return page


@pytest.fixture(scope="module")
def registered(with_t2):
    with_t2.run_to_result()
    with_t2.tab.wait_for_selector("#evaluate")
    return with_t2


def evaluate(page: Page) -> None:
    """Click, and wait for the dialog."""
    page.tab.click("#evaluate")
    page.tab.wait_for_selector("#evaluation-table tbody tr", timeout=PATIENT)
    page.tab.wait_for_timeout(SECONDS)


def close(page: Page) -> None:
    page.tab.click("#evaluation-close")
    page.tab.wait_for_selector("#evaluation", state="hidden")


def shown(page: Page) -> dict[str, list[str]]:
    """{measure: its cells}."""
    rows = [row.locator("td").all_inner_texts() for row in page.tab.locator("#evaluation-table tbody tr").all()]
    return {row[0]: row[1:] for row in rows}


def test_without_a_registration_there_is_nothing_to_evaluate(with_t2):
    assert with_t2.tab.locator("#run").is_visible() and not with_t2.tab.locator("#evaluate").is_visible()


def test_the_shown_registration_is_measured_as_it_was_downloaded(registered, data_dir, tmp_path):
    page = registered
    with zipfile.ZipFile(page.download("#download-registration-zip", tmp_path)) as archive:
        archive.extractall(tmp_path)
    labels, truth = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[T2_SLICE] > 0
        for path in (tmp_path / "labels.seg.nrrd", data_dir / "pairs/aaa0060/aaa0060_T2_prostate_label.nii.gz")
    )
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (labels, truth)))
    assert page.tab.inner_text("#evaluate").strip() == "Evaluate this registration"
    evaluate(page)
    heads, rows = page.tab.locator("#evaluation-table th").all_inner_texts(), shown(page)
    name = json.loads((tmp_path / "registration.json").read_text())["outlines"][0]["outline"]
    assert heads == ["Measure", "Value", "Unit"] and rows[f"95 % Hausdorff distance, {name}"][1] == "mm"
    assert float(rows[f"Dice, {name}"][0]) == pytest.approx(overlap.GetDiceCoefficient(), abs=0.003)
    assert float(rows["share that folds"][0]) == 0
    note = page.tab.inner_text("#evaluation-note")
    assert note.startswith("aaa0060_input_highres") and "against the mask that drove the registration." in note
    assert page.tab.locator("#evaluation img").count() == 0, "of one case a box plot says nothing"
    assert "no fused image" in page.tab.inner_text("#notes") and "plot" not in page.tab.inner_text("#notes"), "nor is it missed"
    folder = os.environ.get("MEDSR_SCREENSHOTS")
    if folder:
        page.tab.screenshot(path=Path(folder) / "workstation_registration_evaluation.png")
    (row,) = csv.DictReader(page.download("#download-csv", tmp_path).open(encoding="utf-8"))
    assert row["outline"] == name and float(row["dice"]) == pytest.approx(overlap.GetDiceCoefficient(), abs=0.003)
    close(page)


@pytest.fixture(scope="module")
def laid(registered, data_dir):
    """A real slide laid by hand on the mask of its gland, not scored."""
    page, pairs = registered, data_dir / "pairs" / "aaa0043"
    for name in ("aaa0043_B.tiff", "aaa0043_prostate_label.nii.gz"):
        page.open_path(pairs / name)
        page.tab.wait_for_selector(f".medsr-row:has-text('{name.partition('.')[0]}')")
        page.tab.wait_for_timeout(SECONDS)
    page.tab.wait_for_selector(f"#task-{TASK}.v-btn--active")
    choose(page, "slide", "aaa0043_B")
    choose(page, "mri_mask", "")
    page.tab.click("#lay")
    page.tab.wait_for_selector(".medsr-row:has-text('aaa0043_B registered')")
    page.tab.wait_for_timeout(SECONDS)
    return page


def test_a_slide_laid_by_hand_is_to_be_scored_first(laid):
    laid.tab.click("#evaluate")
    laid.tab.wait_for_function(f"{NOTES}?.includes('score its position first')")
    assert not laid.tab.locator("#evaluation").is_visible()


def test_a_slide_that_was_moved_since_is_measured_with_a_warning(laid):
    page = laid
    page.tab.click("#score")
    page.tab.wait_for_selector(".medsr-row:has-text('aaa0043_B registered 2')", timeout=2 * PATIENT)
    page.tab.wait_for_timeout(SECONDS)
    evaluate(page)
    dice = next(cells[0] for measure, cells in shown(page).items() if measure.startswith("Dice"))
    assert dice == page.tab.locator("#dice tbody tr").first.inner_text().split()[-3], "of the whole gland, as the card has it"
    assert "mask alone" in page.tab.inner_text("#evaluation-note") and "SSIM, tissue" not in shown(page)
    close(page)
    assert "moved by hand" not in page.tab.inner_text("#notes")
    captions = ".medsr-caption:has-text('Slide on MRI')"
    assert "moved by hand since" not in " ".join(page.tab.locator(captions).all_inner_texts())
    page.tab.click("#move-right")
    page.tab.wait_for_timeout(SECONDS)
    assert "moved by hand since" in " ".join(page.tab.locator(captions).all_inner_texts()), "the Dice there is that of before"
    page.tab.click("#evaluate")
    page.tab.wait_for_function(f"{NOTES}?.includes('score its position to have them measured anew')")
    page.tab.wait_for_selector("#evaluation", state="visible")
    page.tab.wait_for_timeout(SECONDS)
    assert "moved by hand after the registration" in page.tab.inner_text("#evaluation-note"), "beside the figures, too"
    close(page)


def test_nothing_complained(laid):
    assert laid.tab.locator("#run").is_enabled() and laid.complaints == []
    assert "Traceback" not in laid.server.log() and "ERROR" not in laid.server.log()
