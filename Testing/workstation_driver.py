"""Drives the browser workstation as a user does: a server in its own process, a real Chromium, one page of it."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "MedSR" / "Resources" / "SampleData" / "pig_cine_ed.nrrd"
SECONDS = 1000
PATIENT = 120 * SECONDS
"""Longest wait for one thing on a busy machine; a missing thing fails after it."""
SERVER = "import sys; from MedSRLib.workstation import run; sys.exit(run(sys.argv[1:], open_browser=False))"
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]


def chromium_path() -> str | None:
    """The system's Chromium, or None for Playwright's own."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


class Server:
    """A workstation in its own process, as `medsr app` starts it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        """variables: of the environment, beside this process's own."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "MedSR"), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", **variables}
        environment.pop("DISPLAY", None)
        self._log = (folder / "server.log").open("w+")
        streams = {"stdout": self._log, "stderr": self._log}
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], env=environment, start_new_session=True, **streams)
        self.folder = folder
        self.link = self._wait_for_link()

    def log(self) -> str:
        if not self._log.closed:
            self._log.flush()
        return (self.folder / "server.log").read_text()

    def _wait_for_link(self) -> str:
        for _ in range(1800):
            found = re.search(r"http://127\.0\.0\.1:\d+/\?secret=\S+", self.log())
            if found:
                return found.group(0)
            assert self.process.poll() is None, self.log()
            time.sleep(0.1)
        raise AssertionError("no link: " + self.log())

    @property
    def address(self) -> str:
        return self.link.partition("/?")[0]

    def private_folders(self) -> list[Path]:
        return list(self.folder.glob("medsr_app_*"))

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._log.close()


class Page:
    """The open page, and everything it asked for or complained of."""

    def __init__(self, browser, link: str) -> None:
        self.tab = browser.new_page(viewport={"width": 1440, "height": 860})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.progress: list[str] = []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.set_default_timeout(PATIENT)
        self.tab.goto(link)
        self.tab.wait_for_selector("#panel")

    def open_path(self, path: Path | str) -> None:
        self.tab.fill("#path", str(path))
        self.tab.press("#path", "Enter")

    def set_option(self, name: str, value: str, task: str = "interpolate_slices") -> None:
        """A field of the task's form: typed, or picked from its list."""
        field = self.tab.locator(f"#option_{task}_{name}")
        if field.get_attribute("type") == "number":
            field.fill(value)
        else:
            field.click(force=True)
            self.tab.get_by_role("option", name=value, exact=True).click()
        self.tab.wait_for_timeout(200)

    def run_to_result(self) -> None:
        """A click on the task's button, and the wait for what it makes. `progress` keeps what the bar said meanwhile."""
        self.tab.click("#run")
        for _ in range(2 * PATIENT // 50):
            text, done = self.tab.evaluate("[document.querySelector('#progress')?.innerText ?? '', !!document.querySelector('#result')]")
            self.progress.append(text)
            if done:
                return
            self.tab.wait_for_timeout(50)
        raise AssertionError("no result: " + self.tab.inner_text("#notes"))

    def rows(self) -> list[str]:
        return self.tab.locator(".medsr-row").all_inner_texts()

    def picture(self, view: int) -> np.ndarray:
        """(rows, columns) grey picture of one view, 0 to 255."""
        from PIL import Image

        shot = self.tab.locator(".layout-grid-item").nth(view).screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("L"), float)

    def wait_for_picture(self, view: int, test) -> np.ndarray:
        """The first picture of a view that passes `test`; the last one where none does."""
        for _ in range(60):
            picture = self.picture(view)
            if test(picture):
                return picture
            self.tab.wait_for_timeout(500)
        return picture

    def download(self, selector: str, folder: Path) -> Path:
        with self.tab.expect_download() as waiting:
            self.tab.click(selector)
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path


@contextmanager
def a_server(folder: Path, **variables: str) -> Iterator[Server]:
    """A running server, which must end cleanly whatever was done with it; the test is skipped where its packages are not installed."""
    pytest.importorskip("trame_slicer", reason="the workstation's packages are not installed")
    running, code = Server(folder, **variables), 0
    try:
        yield running
    finally:
        if running.process.poll() is None:
            code = running.stop()
    assert code == 0, f"the server ended with {code}: {running.log()}"


@contextmanager
def a_browser() -> Iterator:
    """A headless Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        try:
            chromium = driver.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def browser():
    with a_browser() as chromium:
        yield chromium
