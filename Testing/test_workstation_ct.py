"""Super-resolving a region of a real chest CT in the browser: the region, the plan, the result, and what is refused.

A small model with seeded weights stands in for a trained one: bicubic with a pattern on top, made consistent with the scan.
"""

from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np
import pytest
from ct_models import make_model
from workstation_driver import PATIENT, SAMPLE, SECONDS, Page, a_browser, a_server

pytestmark = pytest.mark.browser
sitk = pytest.importorskip("SimpleITK")
pydicom = pytest.importorskip("pydicom")
CT = "super_resolve_ct"
PIXEL_MM, SLICE_MM, FIRST_MM = 0.78125, 1.0, (-201.0, -59.0, -569.800049)
"""Pixel Spacing of the scan, distance of its slices, and Image Position (Patient) of the lowest, as its headers have them."""
COLUMNS, ROWS, SLICES = (150, 182), (280, 312), (20, 26)
"""A region of the right lung: first voxel, and one behind the last."""
FIELDS = ("x", "y", "z", "width", "depth", "height")
SHOWN_MM = "parseFloat(document.querySelector('.medsr-position').innerText)"
ESTIMATE = "document.querySelector('#estimate')?.innerText"


def box_mm() -> list[float]:
    """Centre and size of that region in LPS mm, from the headers: the scan's axes are those of the patient."""
    steps = (PIXEL_MM, PIXEL_MM, SLICE_MM)
    ends = (COLUMNS, ROWS, SLICES)
    centre = [first + step * (a + b - 1) / 2 for first, step, (a, b) in zip(FIRST_MM, steps, ends, strict=True)]
    return centre + [step * (b - a) for step, (a, b) in zip(steps, ends, strict=True)]


@pytest.fixture(scope="module")
def scan(data_dir):
    """(slices, rows, columns) HU of the series, read by pydicom alone."""
    slices = [pydicom.dcmread(path) for path in (data_dir / "ct" / "lidc0314_mid").glob("*.dcm")]
    slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    return np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])


@pytest.fixture(scope="module")
def page(tmp_path_factory, data_dir):
    pytest.importorskip("torch")
    models = tmp_path_factory.mktemp("models")
    make_model(models, "tiny", width=8, depth=1, tail=[8, 8, 8])
    make_model(models, "micro", width=8, depth=1, tail=[8, 8, 8], valid_range={"text": "bone", "pixel_mm": [0.01, 0.1]})
    with a_server(tmp_path_factory.mktemp("workstation"), MEDSR_MODELS=str(models)) as server, a_browser() as browser:
        page = Page(browser, server.link)
        page.server = server
        page.open_path(data_dir / "ct" / "lidc0314_mid")
        page.tab.wait_for_selector(".medsr-row")
        yield page
        page.tab.close()


def numbers(page) -> list[float]:
    return [float(page.tab.input_value(f"#region-{field}")) for field in FIELDS]


def place_region(page) -> None:
    """Type the region, and wait for the plan of its 32 × 32 × 6 voxels."""
    for field, number in zip(FIELDS, box_mm(), strict=True):
        page.tab.fill(f"#region-{field}", repr(number))
    page.tab.wait_for_function(f"{ESTIMATE}?.startsWith('256 × 256 × 6 voxels')")


def test_a_ct_is_routed_to_super_resolution_with_the_model_that_fits_it(page):
    page.tab.wait_for_selector(f"#task-{CT}.v-btn--active")
    assert "CT in HU" in page.tab.inner_text("#why-task")
    page.tab.locator(f"#option_{CT}_model").click(force=True)
    page.tab.wait_for_selector(".v-overlay .v-list-item")
    offered = page.tab.locator(".v-overlay .v-list-item").all_inner_texts()
    assert offered == ["Default: tiny", "tiny", "CT super-resolver", "SR-CycleGAN with multi-modality loss"], (
        "one of other pixels is not offered"
    )
    page.tab.keyboard.press("Escape")
    assert "Licence: none" in page.tab.inner_text("#card")


def test_the_first_region_lies_in_the_lung(page, scan):
    x, y, z, width, depth, height = numbers(page)
    ends = [(np.array([c - s / 2, c + s / 2]) - first) / step for c, s, first, step in zip(
        (x, y, z), (width, depth, height), FIRST_MM, (PIXEL_MM, PIXEL_MM, SLICE_MM), strict=True
    )]  # fmt: skip
    (i, i_end), (j, j_end), (k, k_end) = (np.rint(pair + 0.5).astype(int) for pair in ends)
    inside = scan[k:k_end, j:j_end, i:i_end]
    assert inside.size and np.mean((inside > -1000) & (inside < -500)) > 0.7, "most of it is no lung"


def test_the_box_is_dragged_with_the_mouse(page):
    """The scan fills the axial view from side to side: 400 mm. Left of the patient is right on the screen, back is down."""
    before = numbers(page)
    view = page.tab.locator(".layout-grid-item").nth(0).bounding_box()
    page.wait_for_picture(0, lambda p: p.std() > 15)
    page.tab.wait_for_timeout(3 * SECONDS)
    middle = [first + PIXEL_MM * 511 / 2 for first in FIRST_MM[:2]]
    scale = view["width"] / (512 * PIXEL_MM)
    at = [view[a] + view[s] / 2 + (b - m) * scale for a, s, b, m in zip(("x", "y"), ("width", "height"), before, middle, strict=False)]
    page.tab.mouse.move(*at)
    page.tab.wait_for_timeout(SECONDS)
    page.tab.mouse.down()
    for step in range(1, 11):
        page.tab.mouse.move(at[0] + 4 * step, at[1] - 2 * step)
        page.tab.wait_for_timeout(50)
    page.tab.mouse.up()
    page.tab.wait_for_function(f"Math.abs(document.querySelector('#region-x').value - {before[0] + 40 / scale}) < 1.5")
    after = numbers(page)
    assert after[1] == pytest.approx(before[1] - 20 / scale, abs=1.5)
    assert after[2:] == before[2:], "dragged in the plane, it keeps its height and its size"


def test_region_here_takes_the_slice_that_is_looked_at(page):
    before = numbers(page)[2]
    page.tab.locator(".layout-grid-item").nth(0).hover(position={"x": 60, "y": 300})
    for _ in range(6):
        page.tab.mouse.wheel(0, -100)
        page.tab.wait_for_timeout(300)
    page.tab.wait_for_function(f"Math.abs({SHOWN_MM} - {before}) > 2")
    page.tab.wait_for_timeout(3 * SECONDS)  # wheels that are still on their way
    page.tab.click("#region-here")
    page.tab.wait_for_function(f"Math.abs({SHOWN_MM} - document.querySelector('#region-z').value) < 0.11")
    assert abs(numbers(page)[2] - before) > 2


def test_a_region_outside_is_refused_before_the_click(page):
    page.tab.fill("#region-x", "900")
    page.tab.wait_for_function(f"{ESTIMATE}?.includes('outside the volume')")
    assert "medsr-refused" in page.tab.get_attribute("#estimate", "class")
    page.tab.click("#region-whole", force=True)
    page.tab.wait_for_function(f"{ESTIMATE}?.includes('4096 × 4096 × 52 voxels')")  # its size, or that it is too large to be shown
    page.tab.click("#region-whole", force=True)
    place_region(page)
    assert "medsr-refused" not in page.tab.get_attribute("#estimate", "class")
    assert page.tab.inner_text("#region-size") == "32 × 32 × 6 voxels"


@pytest.fixture(scope="module")
def with_result(page):
    """The region, eight times finer, by the model, made consistent with the scan."""
    place_region(page)
    page.tab.click(f"#option_{CT}_consistent", force=True)
    page.run_to_result()
    return page


def test_the_written_region_lies_where_the_box_was_and_keeps_its_hu(with_result, scan, tmp_path):
    """Each pixel is divided into 8 × 8: its first part's centre lies 3.5 of the new pixels before its own."""
    image = sitk.ReadImage(str(with_result.download("#download-volume-nrrd", tmp_path)))
    fine = PIXEL_MM / 8
    first = [f + s * a for f, s, (a, _) in zip(FIRST_MM, (PIXEL_MM, PIXEL_MM, SLICE_MM), (COLUMNS, ROWS, SLICES), strict=True)]
    assert image.GetSize() == (256, 256, 6)
    assert image.GetSpacing() == pytest.approx((fine, fine, SLICE_MM), abs=1e-5)
    assert image.GetOrigin() == pytest.approx((first[0] - 3.5 * fine, first[1] - 3.5 * fine, first[2]), abs=1e-3)
    made = sitk.GetArrayFromImage(image).astype(float)
    box = scan[slice(*SLICES), slice(*ROWS), slice(*COLUMNS)]
    assert made.mean() == pytest.approx(box.mean(), abs=2)
    back = made.reshape(6, 32, 8, 32, 8).mean(axis=(2, 4))
    assert np.abs(back - box).max() <= 0.5, "made consistent, it averages back to the scan but for rounding"
    assert made.std() > box.std(), "nothing was added to the scan"
    provenance = json.loads(with_result.download("#download-provenance", tmp_path).read_text())
    assert provenance["task"] == CT


def test_progress_was_told_and_the_next_plan_says_the_time(with_result):
    assert any(re.search(r"[1-9]\d* %", text) for text in with_result.progress)
    plan = with_result.tab.inner_text("#estimate")
    assert re.fullmatch(r"256 × 256 × 6 voxels, 2 MB, about \d+ s, \d\.\d GB of memory\.", plan)


def test_the_card_says_what_was_invented_and_how_it_compares_with_the_scan(with_result):
    text = with_result.tab.inner_text("#result")
    assert "model · tiny" in text and re.search(r"Mean shift\s+[+-]\d\.\d\d HU", text)
    assert re.search(r"Averages back\s+within 0\.\d+ HU \(RMS, noise of the scan \d+\.\d\)", text)
    assert "invented by the model" in with_result.tab.inner_text("#invented")
    assert "invented by the model" in with_result.tab.locator(".medsr-warning").first.inner_text()
    assert with_result.tab.is_visible("#research")


def test_the_result_fills_its_view_beside_the_same_place_of_the_scan(with_result):
    """Both pictures, averaged to a coarse grid, look alike: same place, scale and window."""
    with_result.tab.wait_for_function("document.querySelectorAll('.layout-grid-item').length === 2")

    def likeness() -> float:
        pictures = [coarse(with_result.picture(view)) for view in (0, 1)]
        return float(np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1])

    best = -1.0
    for _ in range(60):
        best = max(best, likeness())
        if best > 0.9:
            break
        with_result.tab.wait_for_timeout(500)
    assert best > 0.9
    shown = with_result.picture(1)
    assert np.mean(shown.max(axis=0) > 20) > 0.9, "the region does not fill the view from side to side"


def coarse(picture: np.ndarray) -> np.ndarray:
    """The middle of a view in squares of 12 pixels, without captions and the outline of the region."""
    middle = picture[160:-160, 40:-40]
    height, width = (n // 12 for n in middle.shape)
    return middle[: 12 * height, : 12 * width].reshape(height, 12, width, 12).mean(axis=(1, 3))


def test_the_trust_map_has_its_legend_in_hu(with_result):
    from PIL import Image

    def colourfulness(view: int) -> float:
        shot = with_result.tab.locator(".layout-grid-item").nth(view).screenshot()
        rgb = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), float)[160:-160, 60:-60]
        return float((rgb.max(axis=2) - rgb.min(axis=2)).mean())

    with_result.tab.click("#overlay", force=True)
    with_result.tab.wait_for_selector(".medsr-legend")
    for _ in range(60):
        if colourfulness(1) > 8:
            break
        with_result.tab.wait_for_timeout(250)
    assert colourfulness(1) > 8 > colourfulness(0)
    assert re.search(r"expected error\s+0\s+[\d.]+ HU", with_result.tab.inner_text(".medsr-legend"))
    with_result.tab.click("#overlay", force=True)


def test_the_derived_dicom_says_that_detail_was_computed(with_result, tmp_path):
    path = with_result.download("#download-volume-dicom-zip", tmp_path)
    archive = zipfile.ZipFile(path)
    first = pydicom.dcmread(io.BytesIO(archive.read(sorted(archive.namelist())[0])))
    assert len(archive.namelist()) == 6 and (first.Rows, first.Columns) == (256, 256)
    assert [float(v) for v in first.PixelSpacing] == pytest.approx([PIXEL_MM / 8] * 2, abs=1e-6)
    assert "Super-resolved by MedSR" in first.DerivationDescription


def test_the_result_is_compared_with_its_scan(with_result):
    with_result.tab.click("#evaluate")
    with_result.tab.wait_for_selector("#evaluation-table tbody tr", timeout=2 * PATIENT)
    rows = with_result.tab.locator("#evaluation-table tbody tr").all_inner_texts()
    departures = {row.split("\t")[0]: float(row.split("\t")[1]) for row in rows}
    assert departures["result"] < 0.5 < departures["bicubic"], "consistent was asked for; bicubic smooths the noise away"
    assert "cannot be judged" in with_result.tab.inner_text("#evaluation-note")
    with_result.tab.click("#evaluation-close")
    with_result.tab.wait_for_selector("#evaluation", state="hidden")


def test_detail_goes_into_the_mask_that_is_chosen(with_result, data_dir, tmp_path):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(data_dir / "ct" / "lidc0314_mid"))
    grid = sitk.ReadImage(names)
    labels = np.zeros(grid.GetSize()[::-1], np.uint8)
    labels[:, :, 158:] = 1
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(grid)
    sitk.WriteImage(mask, str(tmp_path / "half.nrrd"))
    page = with_result
    page.open_path(tmp_path / "half.nrrd")
    page.tab.wait_for_function("document.querySelectorAll('.medsr-row').length === 3")
    page.tab.locator(".medsr-row").first.click()
    page.tab.wait_for_selector(f"#task-{CT}.v-btn--active")
    page.tab.locator("#segmentation").click(force=True)
    page.tab.get_by_role("option", name="half", exact=True).click()
    page.tab.click("#run")
    page.tab.wait_for_function("document.querySelector('#result')?.innerText.includes('super-resolved 2')", timeout=2 * PATIENT)
    assert "added within the mask" in page.tab.inner_text("#result")


def test_cancel_leaves_no_result(with_result):
    page = with_result
    rows = page.rows()
    page.tab.fill("#region-width", "150")
    page.tab.fill("#region-depth", "150")
    page.tab.fill("#region-height", "30")
    page.tab.wait_for_function(f"{ESTIMATE}?.startsWith('1536 × 1536 × 30 voxels')")
    page.tab.click("#run")
    told = "document.querySelector('#progress')?.innerText"
    page.tab.wait_for_function(f"{told}?.includes('1536 × 1536 × 30 voxels') && / left/.test({told})", timeout=2 * PATIENT)
    page.tab.click("#cancel")
    page.tab.wait_for_function("document.querySelector('#notes')?.innerText.includes('Cancelled')")
    assert page.rows() == rows and page.tab.locator("#run").is_enabled()
    place_region(page)


def test_an_mri_is_interpolated_and_refused_by_the_ct_task(with_result):
    page = with_result
    page.open_path(SAMPLE)
    page.tab.wait_for_selector(".medsr-row:has-text('pig_cine_ed')")
    page.tab.wait_for_selector("#task-interpolate_slices.v-btn--active")
    assert "5.00 mm" in page.tab.inner_text("#why-task")
    assert page.tab.locator("#region").count() == 0, "slices are interpolated without a region"
    rows = page.rows()
    page.tab.click(f"#task-{CT}")
    page.tab.wait_for_function(f"{ESTIMATE}?.includes('may not be HU')")
    page.tab.click("#run")
    page.tab.wait_for_function("document.querySelector('#notes')?.innerText.includes('may not be HU')", timeout=2 * PATIENT)
    assert page.rows() == rows


def test_each_image_keeps_the_task_that_was_chosen_for_it(with_result):
    page = with_result
    page.tab.locator(".medsr-row").first.click()
    page.tab.wait_for_selector("#region")
    page.tab.click("#task-interpolate_slices")
    page.tab.wait_for_function(f"{ESTIMATE}?.startsWith('52 slices every 1 mm')")
    page.tab.locator(".medsr-row:has-text('pig_cine_ed')").click()
    page.tab.wait_for_selector(f"#task-{CT}.v-btn--active")  # chosen above, however wrong
    page.tab.locator(".medsr-row").first.click()
    page.tab.wait_for_selector("#task-interpolate_slices.v-btn--active")


def test_the_samples_are_a_ct_and_an_mri(with_result):
    with_result.tab.click("#open-sample")
    with_result.tab.get_by_text("CT sample").click()
    with_result.tab.wait_for_selector(".medsr-row:has-text('144 × 144 × 16')")
    with_result.tab.wait_for_selector(f"#task-{CT}.v-btn--active")
    with_result.tab.click("#open-sample")
    assert with_result.tab.get_by_text("MR sample").is_visible()
    with_result.tab.keyboard.press("Escape")


def test_nothing_complained(with_result):
    assert with_result.complaints == []
    assert "Traceback" not in with_result.server.log() and "ERROR" not in with_result.server.log()
