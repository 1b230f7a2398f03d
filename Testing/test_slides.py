"""Slides read as they are: geometry to a fraction of a pixel, colours, sizes, and one sentence for what cannot be read."""

from __future__ import annotations

import shutil
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.errors import DependencyError, InputError, OptionError, ResourceError
from MedSRLib.geometry_plane import Window, window
from MedSRLib.io import slide_source
from MedSRLib.io.slide_dicom import DicomSource
from MedSRLib.io.slide_mpp import plausible_mpp
from MedSRLib.io.slide_tiff import TiffSource
from MedSRLib.io.slides import Slide, open_slide

openslide = pytest.importorskip("openslide")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")


class Ramp:
    """A slide whose red is its x and whose green is its y, in quarters of a level-0 pixel from the slide's outer corner."""

    def __init__(self, width: int, height: int, steps: tuple[int, ...] = (1,)) -> None:
        self.levels = slide_source.levels_of([(width // s, height // s) for s in steps])
        self.facts = slide_source.Facts()
        self.steps = steps
        self.largest = 0

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        step = self.steps[level]
        self.largest = max(self.largest, width * height)
        xs, ys = (step * (start + np.arange(count) + 0.5) * 4 for start, count in ((x, width), (y, height)))
        return np.dstack([*np.meshgrid(xs, ys), np.zeros((height, width))]).astype(np.uint8)

    def close(self) -> None:
        pass


def ramp(*size: int, steps: tuple[int, ...] = (1,)) -> Slide:
    return Slide(Path("ramp"), Ramp(*size, steps=steps), (0.5, 0.5), "given")


def test_a_pixels_value_is_the_mean_over_its_own_area_at_any_size_and_offset():
    """On a ramp that mean is the value at the centre; the centre follows from the box alone."""
    slide = ramp(50, 40)
    grid = window((3.3, 2.7, 47.1, 38.2), (2.9, 3.4))
    picture = slide.read(grid)
    assert grid.shape == (10, 15)
    xs = 3.3 + (np.arange(15) + 0.5) * (47.1 - 3.3) / 15
    ys = 2.7 + (np.arange(10) + 0.5) * (38.2 - 2.7) / 10
    # Half a step of rounding, and what a source pixel, constant over its area, differs from the ramp.
    assert np.abs(picture[5, :, 0] - 4 * xs).max() < 0.85
    assert np.abs(picture[:, 7, 1] - 4 * ys).max() < 0.85


def test_every_level_shows_the_same_place():
    slide = ramp(51, 43, steps=(1, 2, 4))
    grid = window((4.0, 4.0, 44.0, 40.0), (4.0, 4.0))
    from_each = [slide.read(grid, level).astype(int) for level in range(3)]
    assert slide.level_for(grid) == 2
    assert slide.levels[1].step == (2.0, 2.0), "51 pixels halved and cut to 25 are still two wide"
    for picture in from_each[1:]:
        assert np.abs(picture - from_each[0]).max() <= 1


def test_what_a_level_drops_at_the_edge_is_shown_by_its_last_pixel():
    """51 pixels halved are 25 of two: the 51st shows what the 49th and 50th do, whatever part of it is asked for."""
    slide = ramp(51, 43, steps=(1, 2))
    last = 4 * 49
    assert slide.read(Window((48.0, 0.0, 51.0, 3.0), (1, 3)), level=1)[0, :, 0].tolist() == [last, last, last]
    assert slide.read(Window((50.25, 0.0, 50.75, 3.0), (1, 1)), level=1)[0, 0, 0] == last
    assert slide.read(Window((50.0, 0.0, 52.0, 2.0), (1, 1)), level=1)[0, 0, 0] == round((last + 255) / 2)


def test_the_box_is_kept_exactly_and_the_pixel_size_gives_way():
    slide = ramp(50, 40)
    grid = slide.window(1.7, (1.0, 2.0, 34.0, 27.0))
    assert grid.box == (1.0, 2.0, 34.0, 27.0) and grid.shape == (7, 10)
    assert slide.mpp_of(grid) == pytest.approx((33 * 0.5 / 10, 25 * 0.5 / 7))
    points = np.array([[1.0, 2.0], [34.0, 27.0], [17.5, 14.5]])
    assert grid.to_picture(points) == pytest.approx(np.array([[0, 0], [10, 7], [5, 3.5]]))
    assert grid.to_slide(grid.to_picture(points)) == pytest.approx(points)
    assert (grid.matrix @ [10, 7, 1]).tolist() == pytest.approx([34.0, 27.0, 1])


def test_beyond_the_edge_is_background_in_proportion_and_wholly_outside_is_refused():
    slide = ramp(50, 40)
    picture = slide.read(Window((-2.5, 0.0, 2.5, 5.0), (1, 2)))
    expected = (2 * 1 + 6 * 1 + 10 * 0.5) / 2.5
    assert tuple(picture[0, 0]) == (255, 255, 255) and abs(int(picture[0, 1, 0]) - expected) <= 1
    half = slide.read(Window((-2.5, 0.0, 2.5, 5.0), (1, 1)))
    assert abs(int(half[0, 0, 0]) - (255 + expected) / 2) <= 1
    with pytest.raises(InputError, match="outside of the slide"):
        slide.read(Window((50.0, 0.0, 60.0, 10.0), (2, 2)))
    with pytest.raises(OptionError, match="is empty"):
        Window((5.0, 5.0, 5.0, 9.0), (2, 2))


def test_bands_join_without_a_seam_and_stay_small(monkeypatch):
    slide = ramp(300, 200)
    grid = window((0.5, 0.5, 299.5, 199.5), (1.7, 1.3))
    whole = slide.read(grid)
    monkeypatch.setattr("MedSRLib.io.slides.BLOCK_PIXELS", 900)
    small = ramp(300, 200)
    bands = list(small.bands(grid))
    assert len(bands) > 10 and small.source.largest <= 2 * 900 + 300 * 4
    assert np.array_equal(np.concatenate([band for _, band in bands]), whole)
    assert [rows.start for rows, _ in bands[1:]] == [rows.stop for rows, _ in bands[:-1]]


@pytest.mark.parametrize(
    ("name", "size", "mpp_um", "source"),
    [
        ("CMU-1-Small-Region.svs", (2220, 2967), 0.499, "openslide.mpp-x"),
        ("TCGA-CR-7395-01A-01-TS1.svs", (4443, 3567), None, ""),
        ("OS-1-detail_HE.ome.tif", (1101, 1101), 0.2271, "OME PhysicalSizeX"),
        ("wsi2dcm_jpeg.dicom.dcm", (957, 715), 16.783, "openslide.mpp-x"),
        ("pathml_small_dicom_wsi.dcm", (3236, 2638), None, ""),
    ],
)
def test_real_slides_say_their_size_and_their_pixel_size_or_that_they_do_not(data_dir, name, size, mpp_um, source):
    with open_slide(data_dir / "wsi" / name) as slide:
        assert (slide.size, slide.mpp_source) == (size, source)
        assert slide.mpp_um == (pytest.approx((mpp_um, mpp_um), rel=1e-3) if mpp_um else None)


def test_a_slide_without_pixel_size_asks_for_it_and_takes_it(data_dir):
    path = data_dir / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    with (
        open_slide(path) as slide,
        pytest.raises(InputError, match="does not say how large its pixels are; give Mpp in micrometres per pixel"),
    ):
        slide.window(8.0)
    with open_slide(path, mpp_um=0.5) as slide:
        assert slide.window(8.0).shape == (223, 278) and slide.mpp_source == "given"
    with pytest.raises(OptionError, match="not positive"):
        open_slide(path, mpp_um=0.0)


def test_level_one_of_a_real_slide_lies_where_level_zero_does(data_dir):
    """Of the placements a third of a level-0 pixel apart, the one that levels_of states fits best."""
    with open_slide(data_dir / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        box = (3600.0, 1600.0, 4240.0, 2240.0)
        coarse = slide.read(Window(box, (320, 320)), level=1).astype(float)
        errors = {}
        for shift in (-1, -0.5, 0, 0.5, 1):
            moved = (box[0] + shift, box[1] + shift, box[2] + shift, box[3] + shift)
            errors[shift] = np.abs(slide.read(Window(moved, (320, 320)), level=0).astype(float) - coarse).mean()
    assert min(errors, key=errors.__getitem__) == 0


def test_a_region_equals_the_block_mean_of_the_file_read_by_another_library(data_dir):
    path = data_dir / "wsi" / "CMU-1-Small-Region.svs"
    with openslide.OpenSlide(path) as other:
        pixels = np.asarray(other.read_region((400, 800), 0, (600, 400)))[..., :3].astype(float)
    expected = pixels.reshape(50, 8, 75, 8, 3).mean((1, 3))
    with open_slide(path) as slide:
        assert np.abs(slide.read(Window((400.0, 800.0, 1000.0, 1200.0), (50, 75))) - expected).max() <= 0.51


def test_tiles_and_strips_of_tiff_are_put_together_as_tifffile_does(data_dir):
    for name in ("wsi/OS-2-ndpi_Ki67.ome.tif", "pairs/aaa0043/aaa0043_B.tiff", "wsi/CMU-1-Small-Region.svs"):
        source = TiffSource(data_dir / name)
        whole = tifffile.imread(data_dir / name)
        assert np.array_equal(source.read(0, 301, 411, 560, 470), whole[411:881, 301:861]), name
        source.close()


@pytest.mark.parametrize("name", ["wsi2dcm_jpeg.dicom.dcm", "wsi2dcm_jpeg2000.dicom.dcm"])
def test_pydicom_and_openslide_show_the_same_dicom_slide(data_dir, name):
    source = DicomSource(data_dir / "wsi" / name)
    with openslide.OpenSlide(data_dir / "wsi" / name) as other:
        theirs = np.asarray(other.read_region((0, 0), 0, (957, 715)))[..., :3].astype(int)
    ours = source.read(0, 0, 0, 957, 715).astype(int)
    assert np.abs(ours - theirs).mean() < 1.5 and np.abs(ours - theirs).max() < 60  # chroma is upsampled in two ways
    assert source.facts.mpp_um == pytest.approx((16.783, 16.783))


def test_a_dicom_slide_that_openslide_refuses_shows_pink_tissue_on_white(data_dir):
    with open_slide(data_dir / "wsi" / "pathml_small_dicom_wsi.dcm", mpp_um=0.5) as slide:
        assert any("not square" in text for text in slide.warnings)
        assert any("fit best column by column" in text for text in slide.warnings), "row by row its pen strokes are in pieces"
        picture = slide.read(slide.window(16.0)).astype(int)
    stained = picture.max(-1) - picture.min(-1) > 40
    assert 0.1 < stained.mean() < 0.7
    red, green, blue = picture[stained].mean(0)
    assert red > green + 20 and blue > green + 10


def test_plain_pictures_have_no_size_but_what_a_microscope_states(tmp_path, data_dir):
    from PIL import Image

    pixels = tifffile.imread(data_dir / "pairs/aaa0043/aaa0043_B.tiff")
    for name, dpi in (("a.png", None), ("b.png", 72), ("c.jpg", 300), ("d.png", 25400 / 40)):
        Image.fromarray(pixels).save(tmp_path / name, **({"dpi": (dpi, dpi)} if dpi else {}))
        with open_slide(tmp_path / name) as slide:
            if name == "d.png":
                assert slide.mpp_um == pytest.approx((40, 40), rel=1e-3) and slide.warnings == ()
            else:
                assert slide.mpp_um is None and (("printing default" in slide.warnings[0]) if dpi else slide.warnings == ())
            if name.endswith("png"):
                assert np.array_equal(slide.read(window((0.0, 0.0, 995.0, 893.0), (1.0, 1.0))), pixels)


def test_aaa0043s_tag_is_not_believed_and_the_gland_says_what_is():
    """The H&E's tissue is about 970 x 890 pixels, the gland in the MRI 44.5 mm wide: 35 to 46 µm a pixel by hand."""
    check = plausible_mpp((7.2057, 7.2057), (970, 890), (44.5, 37.0))
    assert check.plausible is False and 35 < check.best_um < 46
    assert "7.21 µm" in check.warning and "6.99 mm long" in check.warning
    assert plausible_mpp(40.0, (970, 890), (37.0, 44.5)).plausible
    assert not plausible_mpp(7.2057, (970, 890)).plausible, "a whole-mount prostate of 7 mm"
    assert not plausible_mpp(4000.0, (970, 890)).plausible, "one of 4 m"
    assert plausible_mpp(0.5, (90000, 80000)).plausible
    assert "does not say" in plausible_mpp(None, (970, 890)).warning


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CMU-1-Small-Region.svs", "cut short, damaged"),
        ("aaa0043_B.tiff", r"pixel \(0, 0\): truncated or damaged \(the file ends before\)"),
        ("pathml_small_dicom_wsi.dcm", r"pixel \(1500, 1500\): truncated or damaged"),
        ("OS-2-ndpi_Ki67.ome.tif", r"pixel \(1536, 1024\): truncated or damaged"),
        ("wsi2dcm_jpeg.dicom.dcm", "truncated or damaged"),
    ],
)
def test_a_slide_cut_short_says_so(data_dir, tmp_path, name, says):
    data = next(data_dir.rglob(name)).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(InputError, match=says) as caught, open_slide(tmp_path / name, mpp_um=1.0) as slide:
        slide.read(slide.window(2.0))
    assert name in str(caught.value)


def test_a_tile_overwritten_by_zeros_says_where(data_dir, tmp_path):
    data = bytearray((data_dir / "wsi" / "CMU-1-Small-Region.svs").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 100_000] = bytes(100_000)
    (tmp_path / "a.svs").write_bytes(data)
    with open_slide(tmp_path / "a.svs") as slide, pytest.raises(InputError, match="cannot be read at pixel .*copy it again"):
        slide.read(slide.window(2.0))


def test_what_is_no_slide_is_refused_in_one_sentence(tmp_path, data_dir):
    (tmp_path / "text.svs").write_text("no slide")
    (tmp_path / "text.dat").write_text("no slide")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.tif").write_text("no tiff")
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((64, 64), np.uint16))
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 64, 64), np.uint8), photometric="minisblack")
    shutil.copy(next((data_dir / "ct").rglob("*.dcm")), tmp_path / "ct.dcm")
    for name, words in (
        ("gone.svs", "no such file"), ("text.svs", "not what its name says"), ("text.dat", "is not a slide"),
        ("text.png", "is not a picture"), ("text.tif", "TIFF cannot be read"),
        ("deep.tif", "uint16, not 8-bit"), ("stack.tif", "5 pages"), ("ct.dcm", "not a tiled whole-slide"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            open_slide(tmp_path / name)


def test_a_huge_single_strip_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((400, 300, 3), np.uint8), rowsperstrip=400, compression="zlib")
    monkeypatch.setattr(slide_source, "LARGEST_PIECE", 300_000)
    with pytest.raises(ResourceError, match="cannot be read in part; save it as a tiled TIFF"):
        open_slide(tmp_path / "one.tif")


def test_the_finest_picture_within_a_limit_of_memory(data_dir):
    with open_slide(data_dir / "wsi" / "CMU-1-Small-Region.svs") as slide:
        grid = slide.window_within(1_000_000)
        assert 0.97e6 < grid.shape[0] * grid.shape[1] * 3 <= 1_000_000 and grid.box == (0, 0, 2220, 2967)
        assert slide.window_within(10**9).shape == (2967, 2220), "never finer than the slide itself"


def test_reading_a_whole_slide_in_bands_takes_the_memory_of_a_band(tmp_path):
    tifffile.imwrite(tmp_path / "big.tif", np.full((5000, 5000, 3), 77, np.uint8), tile=(256, 256), compression="zlib")
    with open_slide(tmp_path / "big.tif", mpp_um=1.0) as slide:
        tracemalloc.start()
        rows = sum(band.shape[0] for _, band in slide.bands(slide.window(4.0)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert rows == 1250 and peak < 250e6


def test_a_missing_library_is_named(data_dir, monkeypatch):
    for library, name in (("openslide", "wsi/CMU-1-Small-Region.svs"), ("tifffile", "pairs/aaa0043/aaa0043_B.tiff"), ("PIL", None)):
        path = data_dir / name if name else next((data_dir / "pairs/histo_landmarks").rglob("*.jpg"))
        with monkeypatch.context() as without, pytest.raises(DependencyError, match="is missing, which reads .*; install"):
            without.setitem(sys.modules, library, None)
            open_slide(path)
