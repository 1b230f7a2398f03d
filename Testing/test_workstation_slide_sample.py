"""The slide sample in the browser: one click opens it with its MRI and outlines, the next registers them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from workstation_driver import PATIENT, Page, a_browser, a_server

pytestmark = pytest.mark.browser
sitk = pytest.importorskip("SimpleITK")
tifffile = pytest.importorskip("tifffile")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with a_server(tmp_path_factory.mktemp("workstation")) as server, a_browser() as browser:
        page = Page(browser, server.link)
        yield page
        page.tab.close()


def field(page: Page, port: str) -> str:
    return page.tab.evaluate(
        f"document.querySelector('#input-{port}').closest('.v-input').innerText + document.querySelector('#input-{port}').value"
    )


def test_one_click_opens_it_on_its_mri_and_the_next_registers_it(page, tmp_path):
    page.tab.click("#sample-prostate_slide")
    page.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 3")
    page.tab.wait_for_function("document.querySelector('#estimate')?.innerText.startsWith('prostate_slide.ome is laid on the best of')")
    assert page.tab.locator("#task-register_slide.v-btn--active").count() == 1
    assert "prostate_slide" in field(page, "slide") and "prostate_slide_cancer" in field(page, "outlines")
    page.run_to_result()
    page.tab.wait_for_selector("#dice tbody tr", timeout=PATIENT)
    assert [row.split()[0] for row in page.tab.locator("#dice tbody tr").all_inner_texts()] == ["tissue", "cancer"]
    with zipfile.ZipFile(page.download("#download-registration-zip", tmp_path)) as archive:
        archive.extractall(tmp_path)
    pyramid = page.download("#download-fused_slide-ome-tif", tmp_path)
    assert pyramid.read_bytes() == (tmp_path / "fused_slide.ome.tif").read_bytes()
    with tifffile.TiffFile(pyramid) as file:
        assert file.pages[0].shape == (2000, 2000, 3) and len(file.series[0].levels) > 1
    facts = json.loads((tmp_path / "registration.json").read_text())
    assert facts["grade"] == "doubtful" and any("which way round the slide lies" in text for text in facts["warnings"])
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labels.seg.nrrd")))
    tissue, cancer = labels[..., 0] > 0, labels[..., 1] > 0
    assert labels.dtype == np.uint8 and np.count_nonzero(tissue & cancer) > 0.9 * np.count_nonzero(cancer) > 0, "the gland is whole"
    flat = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labelmap.nii.gz")))
    assert np.array_equal(flat == 2, cancer) and np.array_equal(flat > 0, tissue | cancer)


def test_another_sample_has_its_own_task_and_the_slides_mri_keeps_its(page):
    page.tab.click("#open-sample")
    page.tab.get_by_text("CT sample", exact=True).click()
    page.tab.wait_for_selector("#task-super_resolve_ct.v-btn--active")
    page.tab.locator(".medsr-row:has-text('prostate_slide_gland')").first.click()
    page.tab.wait_for_selector("#task-register_slide.v-btn--active")
    assert page.complaints == []
