"""The browser workstation, driven as a user drives it: a real server, a real Chromium, the shipped sample.

Nothing here knows the workstation's classes, except where a function has no page of its own.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import workstation_driver
from workstation_driver import PATIENT, SAMPLE, SECONDS, Page, a_server

pytestmark = pytest.mark.browser
browser = workstation_driver.browser
PLACEHOLDER_FITS = """e => {
    const style = getComputedStyle(e), pen = document.createElement("canvas").getContext("2d");
    pen.font = getComputedStyle(e, "::placeholder").font;
    return pen.measureText(e.placeholder).width < e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with a_server(tmp_path_factory.mktemp("workstation")) as running:
        yield running


@pytest.fixture(scope="module")
def page(server, browser):
    return Page(browser, server.link)


@pytest.fixture(scope="module")
def with_sample(page):
    """The page with the shipped sample open."""
    if not page.rows():
        page.open_path(SAMPLE)
        page.tab.wait_for_selector(".medsr-row")
    return page


@pytest.fixture(scope="module")
def with_result(with_sample):
    """The page after a click on Interpolate slices: linear, 2.5 mm. Keeps what the progress bar said."""
    page = with_sample
    page.set_option("method", "linear")
    page.set_option("spacing_mm", "2.5")
    page.run_to_result()
    return page


def test_a_bad_file_becomes_a_sentence_on_the_page(page, tmp_path):
    bad = tmp_path / "broken.nrrd"
    bad.write_bytes(b"NRRD0004\ntype: short\nnot a header\n")
    page.open_path(bad)
    page.tab.wait_for_selector("#load-message")
    assert "broken.nrrd" in page.tab.inner_text("#load-message")
    page.open_path(tmp_path / "absent.nii.gz")
    page.tab.wait_for_function("document.querySelector('#load-message')?.innerText.includes('no such file')")


def test_an_uploaded_file_is_opened_under_a_harmless_name(page, server):
    with page.tab.expect_file_chooser() as chooser:
        page.tab.click("#open-files")
    chooser.value.set_files([{"name": "../..\\evil name;.nrrd", "mimeType": "application/octet-stream", "buffer": SAMPLE.read_bytes()}])
    page.tab.wait_for_selector(".medsr-row")
    uploads = [p.name for folder in server.private_folders() for p in folder.rglob("*.nrrd")]
    assert uploads == ["evil name_.nrrd"]
    page.tab.click(".medsr-row button")
    page.tab.wait_for_selector(".medsr-row", state="detached")


def test_an_upload_that_cannot_be_read_becomes_a_sentence(page):
    with page.tab.expect_file_chooser() as chooser:
        page.tab.click("#open-files")
    chooser.value.set_files([{"name": "letter.nrrd", "mimeType": "text/plain", "buffer": b"dear colleague"}])
    page.tab.wait_for_function("document.querySelector('#load-message')?.innerText.includes('letter.nrrd')")
    with page.tab.expect_file_chooser() as chooser:
        page.tab.click("#open-files")
    page.tab.route("**/upload", lambda route: route.fulfill(status=413, body='{"error": "Too large."}'))
    chooser.value.set_files([{"name": "big.nrrd", "mimeType": "text/plain", "buffer": b"0"}])
    page.tab.wait_for_function("document.querySelector('#load-message')?.innerText.includes('Too large.')")
    page.tab.unroute("**/upload")
    page.complaints[:] = [text for text in page.complaints if "413" not in text]  # the browser itself notes the refusal


def test_the_sample_is_listed_and_drawn(with_sample):
    assert "176 × 176 × 20" in with_sample.rows()[0] and "5 mm" in with_sample.rows()[0]
    for view in range(3):
        picture = with_sample.wait_for_picture(view, lambda p: p.std() > 15)
        assert picture.std() > 15, f"view {view} is empty"


def test_options_out_of_their_limits_are_refused_in_a_sentence(with_sample):
    with_sample.set_option("spacing_mm", "-1")
    with_sample.tab.click("#run")
    with_sample.tab.wait_for_function("document.querySelector('#notes')?.innerText.includes('out of range')")
    said = with_sample.tab.inner_text("#notes")
    assert "Spacing: -1 mm is out of range" in said and "--" not in said
    with_sample.set_option("spacing_mm", "7")
    with_sample.tab.wait_for_function("document.querySelector('#estimate')?.innerText.startsWith('Spacing: 7 mm is coarser')")


def test_an_empty_spacing_says_what_will_happen(with_sample):
    """0.833 mm: 5 mm slices in whole steps, next to pixels of 0.82 mm. A 0 that is typed is the same as nothing."""
    spacing, factor = (with_sample.tab.locator(f"#option_interpolate_slices_{name}") for name in ("spacing_mm", "factor"))
    with_sample.set_option("spacing_mm", "0")
    spacing.blur()
    with_sample.tab.wait_for_function("document.querySelector('#option_interpolate_slices_spacing_mm').value === ''")
    assert (spacing.get_attribute("placeholder"), factor.get_attribute("placeholder")) == ("isotropic (0.833 mm)", "6 ×")
    assert spacing.evaluate(PLACEHOLDER_FITS), "the text is cut off"
    with_sample.set_option("factor", "2")
    with_sample.tab.wait_for_function("document.querySelector('#option_interpolate_slices_spacing_mm').placeholder === '2.5 mm'")
    with_sample.set_option("factor", "")
    with_sample.tab.wait_for_function("document.querySelector('#option_interpolate_slices_spacing_mm').placeholder.startsWith('isotropic')")


def test_cancel_ends_the_job_at_once(with_sample, server):
    page = with_sample
    page.set_option("method", "lanczos")
    page.set_option("spacing_mm", "0.05")
    page.tab.click("#run")
    page.tab.wait_for_selector("#cancel")
    page.tab.wait_for_timeout(500)
    started = time.monotonic()
    page.tab.click("#cancel")
    page.tab.wait_for_function("document.querySelector('#notes')?.innerText.includes('Cancelled')")
    assert time.monotonic() - started < 5
    assert page.tab.locator("#run").is_enabled()
    for _ in range(50):
        if not children_of(server.process.pid):
            break
        time.sleep(0.1)
    assert not children_of(server.process.pid), "the child process outlived its job"


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [int(p) for p in found]


def test_interpolate_slices_gives_the_size_and_spacing_that_were_asked_for(with_result):
    original, result = with_result.rows()
    assert "176 × 176 × 39" in result and "0.82 × 0.82 × 2.5 mm" in result  # 19 gaps of 5 mm at 2.5 mm: 39 slices
    assert any(re.search(r"[1-9]\d* %", text) for text in with_result.progress), "no progress was seen"


def test_the_result_is_drawn_beside_the_original_at_the_same_scale(with_result):
    inner = slice(60, -60)  # without captions and sliders

    def likeness() -> float:
        pictures = [with_result.picture(view) for view in (0, 2)]
        rows, columns = (min(p.shape[axis] for p in pictures) for axis in (0, 1))
        original, result = (p[:rows, :columns][inner, inner] for p in pictures)
        return float(np.corrcoef(original.ravel(), result.ravel())[0, 1])

    with_result.tab.wait_for_function("document.querySelectorAll('.layout-grid-item').length === 4")
    best = -1.0
    for _ in range(60):
        best = max(best, likeness())
        if best > 0.9:
            break
        with_result.tab.wait_for_timeout(500)
    assert best > 0.9, "the two views do not show the same place"

    def ratio() -> float:
        original, result = (slice_height(with_result.picture(view)[inner, inner]) for view in (0, 2))
        return original / result

    for _ in range(20):  # a busy machine draws the sharp picture late
        if 1.6 < ratio() < 2.4:
            break
        with_result.tab.wait_for_timeout(500)
    assert 1.6 < ratio() < 2.4, "slices of 5 mm are drawn twice as high as slices of 2.5 mm"


def slice_height(picture: np.ndarray) -> float:
    """Pixels from one edge between slices to the next, in a view across the slices; JPEG leaves faint edges of its own."""
    from scipy.signal import find_peaks

    edges, _ = find_peaks(np.abs(np.diff(picture.astype(float), axis=0)).mean(axis=1), height=2, distance=5)
    return float(np.median(np.diff(edges)))


def test_the_fidelity_map_colours_the_result_only(with_result):
    from PIL import Image

    def colourfulness(view: int) -> float:
        shot = with_result.tab.locator(".layout-grid-item").nth(view).screenshot()
        rgb = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), float)[60:-60, 60:-60]
        return float((rgb.max(axis=2) - rgb.min(axis=2)).mean())

    assert colourfulness(2) < 5
    with_result.tab.click("#overlay", force=True)
    with_result.tab.wait_for_selector(".medsr-legend")
    for _ in range(40):
        if colourfulness(2) > 8:
            break
        with_result.tab.wait_for_timeout(250)
    assert colourfulness(2) > 8 > colourfulness(0)
    assert re.search(r"expected error\s+0\s+[\d.]+", with_result.tab.inner_text(".medsr-legend"))
    with_result.tab.click("#overlay", force=True)


def test_scrolling_one_view_moves_the_other(with_result):
    positions = with_result.tab.locator(".medsr-position")
    before = positions.all_inner_texts()
    assert before[0] == before[2]
    with_result.tab.locator(".layout-grid-item").nth(0).hover()
    for _ in range(5):
        with_result.tab.mouse.wheel(0, 100)
        with_result.tab.wait_for_timeout(100)
    with_result.tab.wait_for_function(f"document.querySelectorAll('.medsr-position')[2].innerText !== {before[2]!r}")
    with_result.tab.wait_for_timeout(500)
    after = positions.all_inner_texts()
    assert after[0] == after[2] != before[0]
    assert after[1] == before[1], "a view of another plane moved"


def test_downloads_hold_the_volume_where_it_lies(with_result, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    source = sitk.ReadImage(str(SAMPLE))
    for selector in ("#download-volume-nrrd", "#download-volume-nii-gz"):
        image = sitk.ReadImage(str(with_result.download(selector, tmp_path)))
        assert image.GetSize() == (176, 176, 39)
        assert image.GetSpacing() == pytest.approx((*source.GetSpacing()[:2], 2.5), abs=1e-4)
        assert image.GetOrigin() == pytest.approx(source.GetOrigin(), abs=1e-3)
        assert image.GetDirection() == pytest.approx(source.GetDirection(), abs=1e-4)
        acquired = sitk.GetArrayFromImage(image)[::2]
        assert np.array_equal(acquired, sitk.GetArrayFromImage(source)), "acquired slices must come back unchanged"
    assert with_result.tab.locator("#download-volume-dicom-zip").count() == 0, "what was no DICOM has no patient to derive from"
    provenance = json.loads(with_result.download("#download-provenance", tmp_path).read_text())
    assert provenance["task"] == "interpolate_slices"


def move_in_the_first_view(page) -> None:
    box = page.tab.locator(".layout-grid-item").nth(0).bounding_box()
    for step in range(3):
        page.tab.mouse.move(box["x"] + box["width"] / 2 + 5 * step, box["y"] + box["height"] / 2)
    page.tab.wait_for_selector("#probe")


def test_what_is_typed_while_the_server_is_busy_is_what_it_gets(with_result, tmp_path):
    """Half of such paths reached the server after the key that opens them, and opened nothing."""
    for number in range(8):
        with_result.tab.click("#cursor")
        move_in_the_first_view(with_result)
        with_result.tab.click("#cursor")
        with_result.open_path(tmp_path / f"absent_{number}.nrrd")
        with_result.tab.wait_for_selector(f"#load-message:has-text('absent_{number}')", timeout=30 * SECONDS)
    with_result.tab.fill("#path", "")


def test_the_cursor_says_what_lies_under_it(with_result):
    with_result.tab.click("#cursor")
    move_in_the_first_view(with_result)
    text = with_result.tab.inner_text("#probe")
    assert re.fullmatch(r"original \d+ · result \d+ · expected error [\d.]+", text)
    with_result.tab.click("#cursor")


@pytest.fixture(scope="module")
def small_volume(tmp_path_factory) -> Path:
    """The middle of the sample, 64 × 64 × 9 voxels: every method is quick on it."""
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path_factory.mktemp("small") / "small.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(SAMPLE))[56:120, 56:120, 5:14], str(path))
    return path


def test_the_evaluation_fills_a_table_and_draws_a_box_plot(with_result, small_volume, tmp_path):
    with_result.open_path(small_volume)
    with_result.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 3")
    with_result.tab.click("#evaluate")
    with_result.tab.wait_for_selector("#evaluation-table tbody tr", timeout=2 * PATIENT)  # models load torch first
    methods = with_result.tab.locator("#evaluation-table tbody tr td:first-child").all_inner_texts()
    assert {"linear", "bspline", "flow", "default"} <= set(methods)
    assert with_result.tab.locator("#evaluation-table .medsr-best").count() >= 3
    with_result.tab.wait_for_function("document.querySelector('.medsr-figure')?.naturalWidth > 300")
    table = with_result.download("#download-csv", tmp_path).read_text().splitlines()
    assert "psnr_db" in table[0] and len(table) == 1 + 4 * len(methods)  # 9 slices: 4 are left out
    note = with_result.tab.inner_text("#evaluation-note")
    assert "4 slices were left out" in note and "dB" not in note, "figures of another measurement confuse"
    with_result.tab.click("#evaluation-close")
    with_result.tab.wait_for_selector("#evaluation", state="hidden")


def test_a_reload_does_not_bring_the_evaluation_back(with_result):
    with_result.tab.click("#evaluation-open")
    with_result.tab.wait_for_selector("#evaluation-table")
    with_result.tab.reload()
    with_result.tab.wait_for_selector("#evaluation-open")
    with_result.tab.wait_for_timeout(2 * SECONDS)
    assert not with_result.tab.locator("#evaluation").is_visible()


def test_a_sequence_plays_its_time_points(with_result):
    with_result.open_path(SAMPLE.with_name("pig_cine_4phases.seq.nrrd"))
    with_result.tab.wait_for_selector("#frame", state="attached")
    assert "4 time points" in with_result.rows()[-1]
    first = with_result.wait_for_picture(0, lambda p: p.std() > 15)
    with_result.tab.locator(".medsr-frames [role=slider]").press("ArrowRight")
    moved = with_result.wait_for_picture(0, lambda p: p.shape == first.shape and np.abs(p - first).mean() > 1)
    assert np.abs(moved - first).mean() > 1, "the second time point looks like the first"


def test_one_of_several_dicom_series_is_chosen(with_result, data_dir):
    with_result.open_path(data_dir / "hard" / "px_two_series_one_folder")
    with_result.tab.wait_for_selector("#series-open")
    with_result.tab.get_by_text("ep2d_diff_tra_DYNDISTCALC_BVAL").click()
    with_result.tab.click("#series-open")
    with_result.tab.wait_for_selector(".medsr-row:has-text('DYNDISTCALC_BVAL')")
    assert "84 × 128 × 19" in with_result.rows()[-1]


def test_a_reload_keeps_the_session(with_result):
    """The page hides its secret from the address; the cookie stands for it."""
    assert "secret" not in with_result.tab.url
    with_result.tab.reload()
    with_result.tab.wait_for_selector(".medsr-row")
    assert len(with_result.rows()) >= 2


def test_dropped_files_are_opened(with_result, small_volume):
    """What a browser does on a drop, without the hand: the page reads the files of the event."""
    count = len(with_result.rows())
    with_result.tab.evaluate(
        """async (bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.nrrd"));
            window.dispatchEvent(new DragEvent("dragenter", { dataTransfer: data }));
            window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }""",
        list(small_volume.read_bytes()),
    )
    with_result.tab.wait_for_function(f"document.querySelectorAll('.medsr-row').length === {count + 1}")
    assert "64 × 64 × 9" in with_result.rows()[-1]


def test_nothing_left_the_computer_and_nothing_complained(page, server):
    local = (server.address, server.address.replace("http", "ws"), "data:", "blob:")
    assert [url for url in page.requests if not url.startswith(local)] == []
    assert page.complaints == []
    assert "Traceback" not in server.log() and "ERROR" not in server.log()


def test_ctrl_c_ends_it_and_leaves_nothing_behind(server, page):
    page.tab.close()
    assert server.private_folders()
    assert server.stop() == 0
    assert server.private_folders() == []
