"""Outlines: areas by closed form, every format, and one sentence for what is odd."""

from __future__ import annotations

import json

import numpy as np
import pytest
from MedSRLib.errors import InputError
from MedSRLib.geometry_plane import Window
from MedSRLib.io import formats
from MedSRLib.io.outline_files import read_outlines
from MedSRLib.io.outline_geojson import write
from MedSRLib.io.outline_trace import polygons_of
from MedSRLib.outlines import Outline, Polygon, joined, of_classes
from MedSRLib.outlines_area import coverage, mask
from MedSRLib.outlines_check import checked, crosses_itself
from MedSRLib.volume import Volume
from MedSRLib.volume_layers import layered


def circle(x: float, y: float, radius: float, points: int = 20000) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])


@pytest.mark.parametrize("shape", [(100, 100), (9, 13), (301, 217)])
def test_the_covered_area_is_the_circles_at_any_grid(shape):
    ring = Outline("gland", (Polygon(circle(50.3, 47.9, 30.7), (circle(45, 44, 8.1)[::-1],)),))
    grid = Window((0.0, 0.0, 100.0, 100.0), shape)
    area = coverage(ring, grid).sum(dtype=float) * grid.step[0] * grid.step[1]
    assert area == pytest.approx(np.pi * (30.7**2 - 8.1**2), rel=1e-6)
    assert ring.area_px == pytest.approx(np.pi * (30.7**2 - 8.1**2), rel=1e-6)
    weights = 30.7**2, -(8.1**2)
    assert ring.centroid == pytest.approx((np.array([50.3, 47.9]) * weights[0] + np.array([45, 44]) * weights[1]) / sum(weights), abs=1e-6)


def test_each_pixel_holds_the_share_of_it_that_is_inside():
    """A triangle by hand: the pixels on its long side are halved, and a grid shifted by half a pixel cuts them otherwise."""
    triangle = Outline("t", (Polygon(np.array([[0, 0], [4, 0], [0, 4]])),))
    whole = coverage(triangle, Window((0.0, 0.0, 4.0, 4.0), (4, 4)))
    assert whole.tolist() == [[1, 1, 1, 0.5], [1, 1, 0.5, 0], [1, 0.5, 0, 0], [0.5, 0, 0, 0]]
    shifted = coverage(triangle, Window((-0.5, 0.0, 3.5, 4.0), (4, 4)))
    assert shifted[0].tolist() == [0.5, 1, 1, pytest.approx(7 / 8)]
    assert coverage(triangle, Window((1.0, 1.0, 2.0, 2.0), (1, 1)))[0, 0] == 1
    assert not coverage(triangle, Window((5.0, 5.0, 9.0, 9.0), (3, 3))).any()


def test_a_part_of_the_grid_equals_that_part_of_the_whole():
    ring = Outline("a", (Polygon(circle(50, 50, 40, 500)),))
    whole = coverage(ring, Window((0.0, 0.0, 100.0, 100.0), (50, 50)))
    assert coverage(ring, Window((20.0, 30.0, 60.0, 100.0), (35, 20))) == pytest.approx(whole[15:50, 10:30], abs=1e-6)
    assert coverage(ring, Window((0.0, 0.0, 100.0, 100.0), (50, 50)).rows(7, 12)) == pytest.approx(whole[7:12], abs=1e-6)


def test_pixel_centres_agree_with_another_library():
    draw = pytest.importorskip("skimage.draw")
    random = np.random.default_rng(3)
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 30 + random.uniform(-9, 9, 60)
    points = np.column_stack([50 + radius * np.cos(turn), 50 + radius * np.sin(turn)])
    fine = coverage(Outline("a", (Polygon(points),)), Window((0.0, 0.0, 100.0, 100.0), (2000, 2000))) >= 0.5
    other = draw.polygon2mask((2000, 2000), points[:, ::-1] * 20 - 0.5)
    assert np.count_nonzero(fine != other) < 0.001 * other.sum()


def test_a_traced_mask_is_the_mask_again_with_its_holes_and_corners():
    random = np.random.default_rng(1)
    for threshold in (0.3, 0.5, 0.8):
        noise = random.random((60, 80)) > threshold
        traced = Outline("noise", polygons_of(noise))
        assert np.array_equal(coverage(traced, Window((0.0, 0.0, 80.0, 60.0), (60, 80))), noise)
        assert traced.area_px == noise.sum()


def test_a_real_cancer_mask_becomes_outlines_of_the_same_area_and_place(data_dir, tmp_path):
    path = data_dir / "pairs/aaa0043/aaa0043_B_annotation_00_R000G255B000.tiff"
    found = read_outlines(path, (995, 893))
    (cancer,) = found.outlines
    assert (cancer.name, found.size, found.warnings) == ("Label 255", (995, 893), ())
    assert cancer.area_px == 22833, "pixels of value 255, counted with tifffile"
    write(tmp_path / "ä cancer.geojson", found.outlines)
    (again,) = read_outlines(tmp_path / "ä cancer.geojson", (995, 893)).outlines
    grid = Window((0.0, 0.0, 995.0, 893.0), (893, 995))
    tifffile = pytest.importorskip("tifffile")
    assert np.array_equal(mask(again, grid), tifffile.imread(path) == 255)
    larger = read_outlines(path, (9950, 8930))
    assert larger.outlines[0].area_px == pytest.approx(2283300) and "10 slide pixels each" in larger.warnings[0]
    with pytest.raises(InputError, match="does not have the shape of the slide"):
        read_outlines(path, (9950, 9950))


@pytest.mark.slow
def test_a_label_volume_of_histology_gives_a_slices_outline_with_its_pixel_size(data_dir):
    import SimpleITK as sitk

    path = data_dir / "pairs/aaa0060/results/aaa0060_input_highres_region00_label.nii.gz"
    found = read_outlines(path, slice_index=1)
    plane = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[1]
    assert found.size == (7237, 6538) and found.mpp_um == pytest.approx((7.2, 7.2), rel=2e-3)
    gland = joined(found.outlines)[0]
    assert gland.area_px == np.count_nonzero(plane)
    y, x = np.nonzero(plane)
    assert gland.centroid == pytest.approx((x.mean() + 0.5, y.mean() + 0.5), abs=1e-3)
    with pytest.raises(InputError, match="3 of its slices hold labels, and a slide is one; choose one of 0, 1, 2"):
        read_outlines(path)


def test_a_slicer_segmentation_keeps_names_colours_and_its_place(tmp_path):
    labels = np.zeros((1, 40, 50), np.uint8)
    labels[0, 10:20, 5:25], labels[0, 30:35, 40:48] = 1, 2
    meta = {"segments": {1: "gland", 2: "Gleason 4"}, "segment_colours": {1: (128, 174, 128), 2: (241, 214, 145)}}
    formats.write(tmp_path / "s.seg.nrrd", Volume(labels, (0.008, 0.008, 1.0), meta=meta))
    found = read_outlines(tmp_path / "s.seg.nrrd")
    assert [(o.name, o.colour, o.area_px) for o in found.outlines] == [("gland", (128, 174, 128), 200), ("Gleason 4", (241, 214, 145), 40)]
    assert found.mpp_um == pytest.approx((8.0, 8.0))
    data = (tmp_path / "s.seg.nrrd").read_bytes().replace(b"ExtentOffset:=0 0 0", b"ExtentOffset:=100 7 0")
    (tmp_path / "cut.seg.nrrd").write_bytes(data)
    cut = read_outlines(tmp_path / "cut.seg.nrrd", (1000, 1000))
    assert cut.outlines[0].box == (105, 17, 125, 27) and "a part of a picture" in cut.warnings[0]


QUPATH = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "1",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]], [[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]],
            },
            "properties": {"objectType": "annotation", "classification": {"name": "Tumor", "color": [200, 0, 0]}},
        },
        {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": [[[[20, 20], [30, 20], [30, 30]]], [[[40, 40], [44, 40], [44, 44]]]]},
            "properties": {"classification": {"name": "Stroma", "colorRGB": -16724992}},
        },
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [3, 0], [0, 4]]]}, "properties": {}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5, 5]}, "properties": {}},
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [5, 5]]}, "properties": {}},
    ],
}


def test_qupaths_geojson_in_its_three_forms(tmp_path):
    for data in (QUPATH, QUPATH["features"]):
        (tmp_path / "a.geojson").write_text(json.dumps(data))
        found = read_outlines(tmp_path / "a.geojson")
        assert [(o.name, o.colour, o.area_px) for o in found.outlines] == [
            ("Tumor", (200, 0, 0), 96.0), ("Stroma", (0, 204, 0), 58.0), ("Unclassified", (255, 0, 0), 6.0),
        ]  # fmt: skip
        assert any("Point, which has no area" in text for text in found.warnings) and any("no class" in text for text in found.warnings)
    (tmp_path / "b.geojson").write_text(json.dumps(QUPATH["features"][0]))
    assert read_outlines(tmp_path / "b.geojson").outlines[0].area_px == 96


def test_imagescopes_xml_with_holes_ellipses_and_blue_first(tmp_path):
    def region(kind: int, points: list[tuple[float, float]], negative: int = 0) -> str:
        vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
        return f'<Region Type="{kind}" NegativeROA="{negative}" Text=""><Vertices>{vertices}</Vertices></Region>'

    text = (
        '<Annotations MicronsPerPixel="0.252"><Annotation Id="1" Name="Tumor" LineColor="65280"><Regions>'
        + region(0, [(0, 0), (100, 0), (100, 100), (0, 100)])
        + region(0, [(10, 10), (20, 10), (20, 20), (10, 20)], 1)
        + region(3, [(0, 0), (9, 9)])
        + '</Regions></Annotation><Annotation Name="" LineColor="16711680"><Regions>'
        + region(2, [(200, 100), (240, 180)])
        + "</Regions></Annotation></Annotations>"
    )
    (tmp_path / "a.xml").write_text(text)
    found = read_outlines(tmp_path / "a.xml")
    tumour, ellipse = found.outlines
    assert (tumour.name, tumour.colour, tumour.area_px) == ("Tumor", (0, 255, 0), 9900.0)
    assert (ellipse.name, ellipse.colour) == ("Unclassified", (0, 0, 255))
    assert ellipse.area_px == pytest.approx(np.pi * 20 * 40, rel=2e-5) and found.mpp_um == (0.252, 0.252)
    assert any("arrow" in said for said in found.warnings)


def test_coloured_and_inverted_and_palette_masks(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    colours = np.zeros((30, 40, 3), np.uint8)
    colours[5:10, 5:15], colours[20:25, 20:24] = (255, 0, 0), (0, 128, 255)
    Image.fromarray(colours).save(tmp_path / "c.png")
    found = read_outlines(tmp_path / "c.png").outlines
    assert sorted((o.name, o.colour, o.area_px) for o in found) == [("#0080ff", (0, 128, 255), 20), ("#ff0000", (255, 0, 0), 50)]
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE, colors=3).save(tmp_path / "p.png")
    assert sorted(o.area_px for o in read_outlines(tmp_path / "p.png").outlines) == [20, 50]
    Image.fromarray(np.where(colours[..., 0] > 0, 7, 200).astype(np.uint8)).save(tmp_path / "i.png")
    inverted = read_outlines(tmp_path / "i.png")
    assert [(o.name, o.area_px) for o in inverted.outlines] == [("Label 7", 50)] and "value 200" in inverted.warnings[0]
    Image.fromarray(colours[..., 0] > 0).save(tmp_path / "b.png")
    assert [(o.name, o.area_px) for o in read_outlines(tmp_path / "b.png").outlines] == [("Label 1", 50)]


def test_what_is_wrong_is_said(tmp_path, data_dir):
    eight = Polygon(np.array([[0, 0], [10, 10], [10, 0], [0, 10]]))
    assert crosses_itself(eight) and not crosses_itself(Polygon(circle(0, 0, 9)))
    usable, said = checked(
        [
            Outline("bow", (eight,)),
            Outline("far", (Polygon(circle(900, 900, 9, 40)),)),
            Outline("over", (Polygon(circle(100, 50, 20, 40)),)),
            Outline("flat", (Polygon(np.array([[1, 1], [5, 5], [9, 9]])),)),
            Outline("none", ()),
        ],
        (100, 100),
    )
    assert [o.name for o in usable] == ["bow", "over"]
    for words in ("'bow' crosses itself", "'far' lies outside of the slide", "'over' reaches beyond", "'flat' has no area"):
        assert sum(words in text for text in said) == 1
    assert coverage(usable[0], Window((0.0, 0.0, 10.0, 10.0), (10, 10))).sum() == pytest.approx(50), "both halves of the bow are inside"
    with pytest.raises(InputError, match="no outline with an area on the slide: an outline of 'far' lies outside"):
        checked([Outline("far", (Polygon(circle(900, 900, 9, 40)),))], (100, 100))
    with pytest.raises(InputError, match="no outline of class 'tumor'; choose of those there: bow, over"):
        of_classes(usable, ["tumor"])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.geojson", b'{"type": "FeatureColl', "cut short or is not JSON"),
        ("b.geojson", b'{"type": "FeatureCollection", "features": [{"type": "Feature"}]}', "is not GeoJSON of outlines"),
        ("c.geojson", b'{"type": "FeatureCollection", "features": []}', "no outline with an area"),
        ("d.geojson", b'{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [3, 3]]]}', "is not GeoJSON of outlines"),
        ("a.xml", b"<Annotations><Annot", "cut short or is not XML"),
        ("b.xml", b"<ASAP_Annotations/>", "not an annotation file of ImageScope"),
        ("c.xml", b'<Annotations><Annotation><Region><Vertex X="a" Y="1"/></Region></Annotation></Annotations>', "a number of the annot"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not a picture that can be read"),
        ("a.docx", b"x", "not the ending of a file of outlines"),
    ],
)
def test_unreadable_files_of_outlines_say_why(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_outlines(tmp_path / name)
    assert name in caught.value.where


def test_a_photograph_is_no_mask(data_dir):
    with pytest.raises(InputError, match="different values, so it is a photograph"):
        read_outlines(data_dir / "pairs/aaa0043/aaa0043_B.tiff")


def test_labels_are_numbered_in_order_and_moved_by_a_matrix():
    first = Outline("a", (Polygon(np.array([[0, 0], [4, 0], [4, 4], [0, 4]])),))
    moved = first.moved(np.array([[0, -2, 20], [2, 0, 10], [0, 0, 1.0]]))
    assert moved.box == (12, 10, 20, 18) and moved.area_px == 64
    grid = Window((0.0, 0.0, 20.0, 20.0), (20, 20))
    labels = layered({number: mask(outline, grid) for number, outline in enumerate([first, moved], 1)})
    assert (np.count_nonzero(labels == 1), np.count_nonzero(labels == 2)) == (16, 64)
    again = layered({1: labels == 1, 2: labels == 2, 3: labels > 0})
    assert again.shape == (20, 20, 2) and np.array_equal(again[..., 1] == 3, labels > 0), "what overlaps lies in a layer of its own"
    assert len(joined([first, moved])) == 1 and joined([first, moved])[0].area_px == 80
