"""The browser workstation where things go otherwise than planned: narrow windows, two tabs, closing at the wrong moment, cut uploads."""

from __future__ import annotations

import http.client
import re
import socket
import time

import pytest
from workstation_driver import SAMPLE, SECONDS, Page, a_browser, a_server

FOUR_PHASES = SAMPLE.with_name("pig_cine_4phases.seq.nrrd")
WIDTHS = (1440, 900, 500)


@pytest.fixture(scope="module")
def browser():
    with a_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory, browser):
    with a_server(tmp_path_factory.mktemp("workstation")) as running:
        yield running


@pytest.fixture(scope="module")
def page(server, browser):
    return Page(browser, server.link)


@pytest.fixture(scope="module")
def with_result(page):
    """The sample and its result at 2.5 mm, by the quickest method."""
    page.open_path(SAMPLE)
    page.tab.wait_for_selector(".medsr-row")
    page.set_option("method", "linear")
    page.set_option("spacing_mm", "2.5")
    page.tab.click("#run")
    page.tab.wait_for_selector("#result")
    return page


def private_folders(server) -> list[str]:
    return sorted(p.name for folder in server.private_folders() for p in folder.iterdir())


def wait_until(true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    assert true()


def resize(page, width: int) -> None:
    page.tab.set_viewport_size({"width": width, "height": 860})
    page.tab.wait_for_timeout(SECONDS)


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_every_control_lies_within_the_window(with_result, width):
    resize(with_result, width)
    for selector in ("#modes button", "#window", "#cursor", "#overlay", "#fit", "#research", "#quit"):
        for place in (one.bounding_box() for one in with_result.tab.locator(selector).all()):
            assert place is not None and place["x"] >= 0 and place["x"] + place["width"] <= width, selector
    views = [view.bounding_box() for view in with_result.tab.locator(".layout-grid-item").all()]
    assert len(views) == 4 and min(v["width"] for v in views) > 240 and max(v["x"] + v["width"] for v in views) <= width + 1
    with_result.tab.click("#cursor")
    line = with_result.tab.locator(".medsr-probe").bounding_box()
    assert line["y"] + line["height"] <= 861 and line["y"] > 700, "the line of the cursor hides other controls"
    with_result.tab.click("#cursor")
    if width >= 900:
        assert with_result.tab.locator("#panel").bounding_box()["x"] == 0


@pytest.mark.browser
def test_in_a_narrow_window_the_panel_comes_when_called_and_goes_again(with_result):
    resize(with_result, 500)

    def left() -> float:
        return with_result.tab.locator("#panel").bounding_box()["x"]

    wait_until(lambda: left() < -300)
    with_result.tab.click("#menu")
    wait_until(lambda: left() == 0)
    assert with_result.tab.locator("#run").bounding_box()["width"] > 250
    with_result.tab.mouse.click(480, 500)
    wait_until(lambda: left() < -300)
    resize(with_result, 1440)
    wait_until(lambda: left() == 0)
    assert with_result.tab.locator("#menu").count() == 0


@pytest.mark.browser
def test_a_second_tab_shows_the_same_and_closes_without_harm(with_result, server, browser):
    second = Page(browser, server.link)
    second.tab.wait_for_selector("#result")
    assert second.rows() == with_result.rows()
    second.tab.click("#mode-axial")
    with_result.tab.wait_for_function("document.querySelectorAll('.layout-grid-item').length === 2")
    second.tab.close()
    with_result.tab.click("#mode-four")
    with_result.tab.wait_for_function("document.querySelectorAll('.layout-grid-item').length === 4")
    assert second.complaints == []


@pytest.mark.browser
def test_closing_the_original_ends_its_job(with_result, server):
    page = with_result
    page.open_path(FOUR_PHASES)
    page.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 3")
    page.set_option("spacing_mm", "0.1")
    page.tab.click("#run")
    page.tab.wait_for_selector("#cancel")
    page.tab.locator(".medsr-row:has-text('4phases') button").click()
    page.tab.wait_for_selector("#run")
    assert "Cancelled" in page.tab.inner_text("#notes")
    page.tab.wait_for_timeout(2 * SECONDS)
    assert len(page.rows()) == 2, "no result without its original"
    page.set_option("spacing_mm", "2.5")


@pytest.mark.browser
def test_closing_an_upload_removes_its_files_and_leaves_those_of_others(with_result, server, tmp_path):
    page = with_result
    before = private_folders(server)
    twins = [{"name": name, "mimeType": "", "buffer": SAMPLE.read_bytes()} for name in ("one.nrrd", "two.nrrd")]
    with page.tab.expect_file_chooser() as chooser:
        page.tab.click("#open-files")
    chooser.value.set_files(twins)
    page.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 4")
    (upload,) = set(private_folders(server)) - set(before)
    page.tab.locator(".medsr-row:has-text('one') button").click()
    page.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 3")
    assert upload in private_folders(server), "the other image of the upload is still open"
    page.tab.locator(".medsr-row:has-text('two') button").click()
    wait_until(lambda: private_folders(server) == before)
    assert SAMPLE.is_file()


@pytest.mark.browser
def test_a_header_and_its_voxels_are_opened_from_an_uploaded_folder(with_result, server, tmp_path):
    before = private_folders(server)
    folder = tmp_path / "Übung 1" / "in (side)"
    folder.mkdir(parents=True)
    sitk = pytest.importorskip("SimpleITK")
    sitk.WriteImage(sitk.ReadImage(str(SAMPLE))[56:120, 56:120, 5:14], str(folder / "heart.mhd"))
    page = with_result
    with page.tab.expect_file_chooser() as chooser:
        page.tab.click("#open-folder")
    chooser.value.set_files(str(tmp_path / "Übung 1"))
    page.tab.wait_for_selector(".medsr-row:has-text('heart')")
    assert "64 × 64 × 9" in page.rows()[-1]
    page.tab.locator(".medsr-row:has-text('heart') button").click()
    wait_until(lambda: private_folders(server) == before)


@pytest.mark.browser
def test_an_upload_that_is_cut_off_leaves_nothing(with_result, server):
    before = private_folders(server)
    host, port = server.address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = (
        f"POST /upload?{server.link.partition('?')[2]} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.nrrd"\r\n\r\nNRRD'
    )
    connection.sendall(head.encode() + b"0" * 5000)
    wait_until(lambda: len(private_folders(server)) > len(before))
    connection.close()
    wait_until(lambda: private_folders(server) == before)


@pytest.mark.browser
def test_an_upload_that_is_no_form_is_refused_in_a_sentence(with_result, server):
    host, port = server.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", f"/upload?{server.link.partition('?')[2]}", b"hello", {"Content-Type": "text/plain"})
    answer = connection.getresponse()
    assert answer.status == 400 and b"The upload failed" in answer.read()


@pytest.mark.browser
def test_nothing_complained(with_result, server):
    assert with_result.complaints == []
    assert not re.search("Traceback|ERROR", server.log())
