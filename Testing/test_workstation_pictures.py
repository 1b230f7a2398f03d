"""Pictures of the browser workstation for the README, taken where a variable names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import workstation_driver
from workstation_driver import PATIENT, SAMPLE, Page, Server

pytestmark = pytest.mark.browser
browser = workstation_driver.browser


def test_pictures_for_the_readme(browser, tmp_path):
    """Taken anew with MEDSR_SCREENSHOTS=Resources/Screenshots: the samples, by the default methods."""
    folder = os.environ.get("MEDSR_SCREENSHOTS", "")
    if not folder:
        pytest.skip("MEDSR_SCREENSHOTS does not name a folder")
    own = Server(tmp_path)
    page = Page(browser, own.link)

    def save(name: str) -> None:
        page.tab.mouse.move(700, 500)
        page.tab.wait_for_timeout(5000)
        page.tab.screenshot(path=Path(folder) / name, type="jpeg", quality=88)

    page.open_path(SAMPLE)
    page.tab.wait_for_selector(".medsr-row")
    page.tab.click("#run")
    page.tab.wait_for_selector("#result", timeout=10 * PATIENT)
    save("workstation.jpg")
    page.tab.click("#mode-coronal")
    page.tab.click("#overlay", force=True)
    save("workstation-fidelity.jpg")
    page.tab.click("#evaluate")
    page.tab.wait_for_selector("#evaluation-table tbody tr", timeout=10 * PATIENT)
    save("workstation-evaluation.jpg")
    page.tab.click("#evaluation-close")
    page.open_path(SAMPLE.with_name("thorax_ct.nrrd"))
    page.tab.wait_for_selector("#region")
    page.tab.wait_for_timeout(2000)
    page.tab.click("#run")
    page.tab.wait_for_selector("#result:has-text('super-resolved')", timeout=10 * PATIENT)
    page.tab.click("#mode-axial")
    save("workstation-ct.jpg")
    page.tab.close()
    assert own.stop() == 0
    assert all(path.stat().st_size < 250_000 for path in Path(folder).glob("workstation*.jpg"))
