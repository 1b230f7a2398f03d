"""The fused pyramid: the slide's own pixels where it is opaque, in the MRI's place, in bounded memory, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from MedSRLib.errors import Cancelled, OptionError
from MedSRLib.geometry_slice import slice_plane
from MedSRLib.geometry_warp import Placement, Warp
from MedSRLib.io import formats
from MedSRLib.jobs import Specification, run_here
from MedSRLib.outlines import Outline, Polygon
from MedSRLib.run import Progress
from MedSRLib.tasks.register_slide import ORIENTATIONS
from MedSRLib.tasks.slide_fit import orientation_matrix
from MedSRLib.tasks.slide_input import MriSide
from MedSRLib.tasks.slide_outputs import carried
from MedSRLib.tasks.slide_pyramid import PUBLISHED_PIXELS, FusedSlide, fused_grid
from MedSRLib.volume import Volume
from scipy.spatial.transform import Rotation

openslide = pytest.importorskip("openslide")
tifffile = pytest.importorskip("tifffile")
UM = 40.0
"""Of a pixel of the slide, about what its tissue's size says."""


@pytest.fixture(scope="module")
def slide(data_dir) -> tuple[Path, np.ndarray]:
    """(a real slide's file, its pixels)."""
    path = data_dir / "pairs/aaa0043/aaa0043_B.tiff"
    return path, tifffile.imread(path)[..., :3]


def an_mri(rows: int = 150, columns: int = 190) -> MriSide:
    """An oblique slice of 0.5 x 0.6 mm pixels, brighter to the right."""
    direction = Rotation.from_euler("xyz", (18, -9, 5), degrees=True).as_matrix()
    array = np.broadcast_to(np.arange(columns, dtype=np.float32), (3, rows, columns)).copy()
    volume = Volume(array, (0.5, 0.6, 3.0), (-40.0, -30.0, 12.0), direction)
    return MriSide(volume, np.ones(array.shape, bool), True)


def a_fusion(path: Path, size: tuple[int, int], in_plane: np.ndarray, *, pixel_um: float, opacity: float = 1.0, warp=None) -> FusedSlide:
    """All of the slide is the gland."""
    mri = an_mri()
    placement = Placement(slice_plane(mri.volume, 1), in_plane, warp)
    (w, h), mpp = size, (UM, UM)
    gland = carried(Outline("all", (Polygon([(0, 0), (w, 0), (w, h), (0, h)]),)), placement, mpp)
    return FusedSlide(path, mpp, gland, placement, mri, opacity, fused_grid(placement.plane, gland, pixel_um))


def turned(orientation: str, size: tuple[int, int], shift: tuple[float, float]) -> np.ndarray:
    """3x3: the slide, turned about its corner, with the least corner of its box at `shift` mm of the plane."""
    matrix = np.eye(3)
    matrix[:2, :2] = np.rint(orientation_matrix(orientation))
    corners = np.array([(x, y) for x in (0, size[0]) for y in (0, size[1])]) * UM / 1000 @ matrix[:2, :2].T
    matrix[:2, 2] = np.array(shift) - corners.min(0)
    return matrix


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_where_opaque_its_pixels_are_the_slides_own_bit_by_bit(orientation, slide, tmp_path):
    """At the slide's pixel size; shifted by a part of a pixel, which must not blur it."""
    path, pixels = slide
    size = pixels.shape[1], pixels.shape[0]
    fusion = a_fusion(path, size, turned(orientation, size, (9.013, 12.171)), pixel_um=UM)
    fusion.write(tmp_path / "f.ome.tif")
    with openslide.OpenSlide(tmp_path / "f.ome.tif") as made:
        assert float(made.properties["openslide.mpp-x"]) == pytest.approx(UM, rel=1e-6)
        found = np.asarray(made.read_region((0, 0), 0, made.dimensions))[..., :3]
    shown = pixels[:, ::-1] if orientation[0] == "f" else pixels
    expected = np.rot90(shown, -int(orientation[1:]) // 90)
    box = np.array(fusion.grid.box[:2])
    corner = np.rint(((np.array((9.013, 12.171)) / (0.5, 0.6) + 0.5) - box) * (0.5, 0.6) * 1000 / UM).astype(int)
    inner = found[corner[1] + 1 : corner[1] + expected.shape[0] - 1, corner[0] + 1 : corner[0] + expected.shape[1] - 1]
    assert np.array_equal(inner, expected[1:-1, 1:-1])


def test_the_published_size_covers_the_mri_slice_and_shows_it_outside_of_the_gland(slide, tmp_path):
    path, pixels = slide
    fusion = a_fusion(path, (pixels.shape[1], pixels.shape[0]), turned("r90", pixels.shape[1::-1], (9.0, 12.0)), pixel_um=0.0)
    assert max(fusion.grid.shape) == PUBLISHED_PIXELS and fusion.facts["pixel_um"] == pytest.approx([190 * 0.5 / 2] * 2, rel=1e-3)
    fusion.write(tmp_path / "f.ome.tif")
    found = tifffile.imread(tmp_path / "f.ome.tif")
    row = found[5, 200:1900, 0].astype(float)
    assert np.ptp(found[5], axis=-1).max() == 0, "grey outside of the gland"
    at = (np.arange(200, 1900) + 0.5) * 190 / 2000 - 0.5
    low, high = np.percentile(np.repeat(np.arange(190.0), 150), (1.0, 99.5))
    assert row == pytest.approx(np.clip((at - low) / (high - low), 0, 1) * 255, abs=0.51), "the MRI, bilinear, in its place"


def test_coarser_pixels_are_means_of_the_slide_and_opacity_0_has_the_mris_brightness(slide, tmp_path):
    path, pixels = slide
    size = pixels.shape[1], pixels.shape[0]
    for opacity in (1.0, 0.0):
        a_fusion(path, size, turned("r0", size, (9.0, 12.0)), pixel_um=4 * UM, opacity=opacity).write(tmp_path / f"{opacity}.ome.tif")
    opaque, clear = (tifffile.imread(tmp_path / f"{opacity}.ome.tif") for opacity in (1.0, 0.0))
    h, w = (n // 4 for n in pixels.shape[:2])
    mean = pixels[: 4 * h, : 4 * w].reshape(h, 4, w, 4, 3).mean((1, 3))
    corner = np.array((9.0, 12.0)) - (np.array((9.0, 12.0)) - 2.0)
    start = np.round(corner / (4 * UM / 1000)).astype(int)
    part = opaque[start[1] : start[1] + h, start[0] : start[0] + w].astype(float)
    moves = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    shifts = [np.abs(part[1 : h - 2, 1 : w - 2] - mean[1 + dy : h - 2 + dy, 1 + dx : w - 2 + dx]).mean() for dy, dx in moves]
    assert min(shifts) < 0.5 and sorted(shifts)[1] > 2, "one shift by whole pixels gives the block means, no other does"
    bright = clear[start[1] + 5 : start[1] + h - 5, start[0] + 5 : start[0] + w - 5].astype(float)
    usual = (bright.min(-1) > 0) & (bright.max(-1) < 255)
    x = np.broadcast_to(start[0] + 5 + np.arange(bright.shape[1]), usual.shape)
    low, high = np.percentile(np.repeat(np.arange(190.0), 150), (1.0, 99.5))
    plane = ((x + 0.5) * 4 * UM / 1000 + 9.0 - 2.0) / 0.5
    grey = np.clip((plane - low) / (high - low), 0, 1) * 255
    assert usual.mean() > 0.2 and (bright @ (0.299, 0.587, 0.114))[usual] == pytest.approx(grey[usual], abs=1.5)


def test_a_warp_bends_it(slide, tmp_path):
    """A constant displacement is a shift of the slide: by 3 fused pixels here."""
    path, pixels = slide
    size, plane = pixels.shape[1::-1], slice_plane(an_mri().volume, 1)
    straight = a_fusion(path, size, turned("r0", size, (12.0, 12.0)), pixel_um=0.0)
    field = np.zeros((*plane.shape, 2))
    field[..., 0] = 3 * straight.pixel_um[0] / 1000
    bent = replace(straight, placement=replace(straight.placement, warp=Warp(field, plane.spacing_mm)))
    for name, fusion in (("straight", straight), ("bent", bent)):
        fusion.write(tmp_path / f"{name}.ome.tif")
    a, b = (tifffile.imread(tmp_path / f"{name}.ome.tif").astype(int) for name in ("straight", "bent"))
    middle = np.s_[500:700, 500:900]
    assert np.abs(np.roll(a, -3, axis=1)[middle] - b[middle]).mean() < 0.5 < np.abs(a[middle] - b[middle]).mean()


def test_its_facts_say_where_it_lies_in_the_patient(slide):
    """A fused pixel's centre, by the stated 4x4, lies where the MRI's own affine has that place of its slice."""
    path, pixels = slide
    fusion = a_fusion(path, pixels.shape[1::-1], turned("f0", pixels.shape[1::-1], (9.0, 12.0)), pixel_um=50.0)
    volume, facts = fusion.mri.volume, fusion.facts
    at = np.array([100.5, 30.5]) * facts["pixel_um"] / 1000
    place = np.array(facts["to_patient"]) @ [*at, 0, 1]
    index = np.array(facts["box_px"][:2]) + np.array([100.5, 30.5]) * 50 / 1000 / (0.5, 0.6) - 0.5
    assert place == pytest.approx(volume.affine @ [*index, 1, 1], abs=1e-9)


def test_a_row_that_memory_cannot_hold_is_refused():
    gland = Outline("all", (Polygon([(0, 0), (190, 0), (190, 150), (0, 150)]),))
    with pytest.raises(OptionError, match="fused picture would be 1900000 x 1800000 pixels"):
        fused_grid(slice_plane(an_mri().volume, 1), gland, 0.05)


def test_cancel_leaves_nothing(slide, tmp_path):
    path, pixels = slide
    asked = []
    fusion = a_fusion(path, pixels.shape[1::-1], turned("r0", pixels.shape[1::-1], (9.0, 12.0)), pixel_um=UM)
    progress = Progress(lambda fraction, message: asked.append(fraction), lambda: len(asked) >= 1)
    with pytest.raises(Cancelled):
        fusion.write(tmp_path / "f.ome.tif", progress)
    assert asked == [0.0] and list(tmp_path.iterdir()) == []


def test_a_job_writes_it_beside_its_facts(data_dir, tmp_path):
    folder = data_dir / "pairs/aaa0043"
    inputs = {"mri": str(folder / "aaa0043_prostate_label.nii.gz"), "slide": str(folder / "aaa0043_B.tiff")}
    outputs = {"registration": str(tmp_path / "r.json"), "fused_slide": str(tmp_path / "ü.ome.tif"), "transform": str(tmp_path / "t.h5")}
    outcome = run_here(Specification("register_slide", inputs, outputs, {"slice": 12, "orientation": "r0", "fused_um": 60.0}))
    said = outcome.report["fused_slide"]
    with openslide.OpenSlide(tmp_path / "ü.ome.tif") as made:
        assert list(made.dimensions) == said["size"] and float(made.properties["openslide.mpp-y"]) == pytest.approx(60.0, rel=1e-6)
        thumbnail = np.asarray(made.get_thumbnail((300, 300)))[..., :3].astype(int)
    mask = formats.read(folder / "aaa0043_prostate_label.nii.gz")[0]
    area = mask.array[12].astype(bool).sum() * np.prod(mask.spacing_mm[:2])
    shown = (thumbnail.max(-1) > 0).mean() * np.prod(said["size"]) * 0.06**2
    assert shown == pytest.approx(area, rel=0.15), "the gland's area; all else is black beside a mask alone"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path, root):
    """A slide of 1 GB, read on its diagonal, fused to 900 MB, in a process of less with its libraries."""
    pytest.importorskip("resource")
    code = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from MedSRLib.geometry_slice import slice_plane\n"
        "from MedSRLib.geometry_warp import Placement\n"
        "from MedSRLib.io.slide_write import write_pyramid\n"
        "from MedSRLib.outlines import Outline, Polygon\n"
        "from MedSRLib.tasks.slide_fit import turn\n"
        "from MedSRLib.tasks.slide_input import MriSide\n"
        "from MedSRLib.tasks.slide_outputs import carried\n"
        "from MedSRLib.tasks.slide_pyramid import FusedSlide, fused_grid\n"
        "from MedSRLib.volume import Volume\n"
        "n, mpp, place = int(sys.argv[2]), (2.0, 2.0), Path(sys.argv[1])\n"
        "band = np.tile(np.arange(n, dtype=np.uint16)[None, :, None] // 100 % 200, (500, 1, 3)).astype(np.uint8)\n"
        "write_pyramid(place, (band for _ in range(n // 500)), (n, n), mpp)\n"
        "volume = Volume(np.ones((1, 120, 120), np.float32), (0.5, 0.5, 3.0))\n"
        "matrix = np.eye(3)\n"
        "matrix[:2, :2] = turn(10.0)\n"
        "matrix[:2, 2] = (12.0, 6.0)\n"
        "placement = Placement(slice_plane(volume, 0), matrix)\n"
        "gland = carried(Outline('g', (Polygon([(0, 0), (600, 0), (n, n - 600), (n, n), (n - 600, n), (0, 600)]),)), placement, mpp)\n"
        "mri = MriSide(volume, volume.array > 0, True)\n"
        "FusedSlide(place, mpp, gland, placement, mri, 1.0, fused_grid(placement.plane, gland, 2.0)).write(place.with_name('f.ome.tif'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(root / "MedSR")}
    words = [sys.executable, "-c", code, str(tmp_path / "s.ome.tif"), "18000"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 800e6
    with openslide.OpenSlide(tmp_path / "f.ome.tif") as made:
        assert 3 * np.prod(made.dimensions, dtype=float) > 850e6
