"""Tissue on real slides: the same area at any resolution, pieces counted, pens and bare glass left out."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import tissue
from MedSRLib.errors import InputError
from MedSRLib.io.slide_mpp import plausible_mpp
from MedSRLib.io.slides import open_slide

pytest.importorskip("openslide")
pytest.importorskip("imagecodecs")


@pytest.fixture(scope="module")
def whole_mount(data_dir):
    """(picture at 40 µm, its tissue): the prostate of aaa0043 at the size that its MRI says."""
    with open_slide(data_dir / "pairs/aaa0043/aaa0043_B.tiff", mpp_um=40.0) as slide:
        picture = slide.read(slide.window(40.0))
    return picture, tissue.find(picture, 40.0)


def test_a_disc_of_stain_with_a_lumen_has_the_discs_area():
    y, x = np.mgrid[:400, :500]
    picture = np.full((400, 500, 3), (243, 240, 246), np.uint8)
    distance = np.hypot(x - 240.5, y - 200.5)
    picture[(distance < 150) & (distance > 30)] = (214, 160, 190)
    found = tissue.find(picture, 20.0)
    assert found.mask.sum() == pytest.approx(np.pi * 150**2, rel=0.01) and len(found.pieces) == 1
    assert found.pieces[0].area_mm2 == pytest.approx(np.pi * 3**2, rel=0.01)


def test_a_real_whole_mount_has_the_same_area_at_every_resolution(data_dir, whole_mount):
    areas = []
    with open_slide(data_dir / "pairs/aaa0043/aaa0043_B.tiff", mpp_um=40.0) as slide:
        for mpp in (60.0, 120.0):
            areas.append(sum(p.area_mm2 for p in tissue.find(slide.read(slide.window(mpp)), mpp).pieces))
    assert areas == pytest.approx([whole_mount[1].mask.sum() * 0.04**2] * 2, rel=0.02)
    assert len(whole_mount[1].pieces) == 1 and whole_mount[1].warnings == ()


def test_the_gland_in_the_mri_tells_the_pixel_size_of_its_slide(data_dir, whole_mount):
    """35 to 46 µm a pixel by area and by width, against 7.2 in the tag; the gland's size on each slice from SimpleITK."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(data_dir / "pairs/aaa0043/aaa0043_prostate_label.nii.gz"))
    gland = sitk.GetArrayFromImage(image) > 0
    plane = gland[int(gland.sum((1, 2)).argmax())]
    ys, xs = np.nonzero(plane)
    known = (np.ptp(xs) + 1) * image.GetSpacing()[0], (np.ptp(ys) + 1) * image.GetSpacing()[1]
    x0, y0, x1, y1 = whole_mount[1].box
    check = plausible_mpp((7.2057, 7.2057), (x1 - x0, y1 - y0), known)
    assert not check.plausible and 35 <= check.best_um <= 46 and check.low_um < 40 < check.high_um


def test_bare_glass_has_no_tissue():
    noise = np.random.default_rng(0).normal(0, 4, (300, 300, 3))
    glass = (np.array([236, 240, 238]) + noise).clip(0, 255).astype(np.uint8)
    for blank in (glass, np.full((300, 300, 3), 255, np.uint8), np.zeros((300, 300, 3), np.uint8)):
        with pytest.raises(InputError, match="no tissue was found: the slide is blank"):
            tissue.find(blank, 20.0)


def test_pens_of_four_colours_beside_and_on_the_tissue_change_nothing(whole_mount):
    from scipy import ndimage

    picture, plain = whole_mount
    for colour in ((30, 140, 60), (25, 40, 150), (15, 15, 18), (225, 25, 30)):
        drawn = picture.copy()
        ring = np.abs(ndimage.distance_transform_edt(~plain.mask) - 25) < 4  # a stroke of 0.3 mm around the tissue
        stroke = np.zeros(ring.shape, bool)
        stroke[420:432, 100:860] = True
        drawn[ring | stroke] = colour
        found = tissue.find(drawn, 40.0)
        assert np.count_nonzero(found.mask != plain.mask) < 0.015 * plain.mask.sum(), colour
        assert any("pen marks" in text for text in found.warnings), colour


def test_the_pen_of_a_real_slide_is_found_and_nuclei_are_not(data_dir):
    with open_slide(data_dir / "wsi/pathml_small_dicom_wsi.dcm", mpp_um=2.0) as slide:
        picture = slide.read(slide.window(12.0))
    pen = tissue.pen_marks(picture, 12.0)
    assert 0.03 < pen.mean() < 0.1 and pen[:110, :40].any(), "the loop, and the stroke at the left border"
    assert not tissue.find(picture, 12.0).mask[40:110, :40].any()
    for name, mpp in (("OS-2-ndpi_Ki67.ome.tif", 0.9), ("OS-1-detail_HE.ome.tif", 0.9), ("CMU-1-Small-Region.svs", 2.0)):
        with open_slide(data_dir / "wsi" / name) as slide:
            assert tissue.pen_marks(slide.read(slide.window(mpp)), mpp).mean() < 0.002, name


def test_two_pieces_are_counted_and_said(whole_mount):
    picture, plain = whole_mount
    cut = picture.copy()
    cut[:, 480:500] = (245, 245, 245)
    found = tissue.find(cut, 40.0)
    assert len(found.pieces) >= 2 and found.pieces[0].area_mm2 >= found.pieces[1].area_mm2
    assert "holds 2 pieces of tissue" in found.warnings[0]
    assert (found.labels == 1).sum() * 0.04**2 == pytest.approx(found.pieces[0].area_mm2)
    assert plain.pieces[0].area_mm2 > 1.7 * found.pieces[0].area_mm2


def test_otsus_threshold_lies_where_another_library_puts_it(whole_mount):
    filters = pytest.importorskip("skimage.filters")
    values = whole_mount[0].max(-1).astype(float) - whole_mount[0].min(-1)
    assert tissue.otsu(values) == pytest.approx(filters.threshold_otsu(values), abs=1.5)
