"""A real whole mount cut in four, each quarter shifted and turned by known amounts, and put together again."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib.errors import InputError
from MedSRLib.io.slide_quadrants import assemble
from MedSRLib.io.slide_write import write_pyramid
from MedSRLib.io.slides import open_slide

tifffile = pytest.importorskip("tifffile")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("openslide")
CUT = 520, 470
"""(x, y) where both cuts cross, pixels of the whole."""
ANGLES = 5.3, -7.1, -2.2, 6.4
SHIFTS = (12.3, -30.4), (-21.7, 8.8), (33.1, 15.6), (-5.2, -26.9)
TURNS = 0, 1, 0, 3
"""Quarter turns clockwise that bring each quarter upright again."""


@pytest.fixture(scope="module")
def whole(data_dir):
    return tifffile.imread(data_dir / "pairs/aaa0043/aaa0043_B.tiff")


@pytest.fixture(scope="module")
def quarters(whole, tmp_path_factory):
    """(paths of the four slides, 3x3 each from the whole's pixels to the upright quarter's)."""
    from scipy.ndimage import affine_transform

    folder, paths, truth = tmp_path_factory.mktemp("quarters"), [], []
    for number in range(4):
        right, low = number % 2, number // 2
        rows = slice(CUT[1], None) if low else slice(0, CUT[1])
        columns = slice(CUT[0], None) if right else slice(0, CUT[0])
        piece = np.full_like(whole, 245)
        piece[rows, columns] = whole[rows, columns]
        angle = np.radians(ANGLES[number])
        matrix = np.eye(3)
        matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        middle = np.array([(CUT[0] + (995 if right else 0)) / 2, (CUT[1] + (893 if low else 0)) / 2])
        matrix[:2, 2] = np.array([360, 350]) + SHIFTS[number] - matrix[:2, :2] @ middle
        back = np.linalg.inv(matrix)
        offset = (back[:2, :2] @ [0.5, 0.5] + back[:2, 2] - 0.5)[::-1]
        turned = [
            affine_transform(piece[..., i].astype(float), back[:2, :2][::-1, ::-1], offset, (700, 720), order=1, cval=245) for i in range(3)
        ]
        paths.append(folder / f"C{number + 1}.png")
        Image.fromarray(np.rot90(np.rint(np.stack(turned, -1)).astype(np.uint8), TURNS[number])).save(paths[-1])
        truth.append(matrix)
    return paths, truth


@pytest.fixture(scope="module")
def assembly(quarters):
    return assemble([open_slide(path, mpp_um=40.0) for path in quarters[0]], TURNS)


def stored(number: int) -> np.ndarray:
    """3x3: pixels of an upright quarter (720 x 700) to those of its file."""
    return {
        0: np.eye(3),
        1: np.array([[0, 1, 0], [-1, 0, 720], [0, 0, 1.0]]),
        3: np.array([[0, -1, 700], [1, 0, 0], [0, 0, 1.0]]),
    }[TURNS[number]]


def test_every_point_of_the_tissue_comes_back_within_a_pixel(assembly, quarters):
    """One rigid motion takes the whole onto its assembly; what is left is the error of each quarter's own placement."""
    before, after = [], []
    for number, (found, made) in enumerate(zip(assembly.matrices, quarters[1], strict=True)):
        xs = np.linspace(*((CUT[0], 900) if number % 2 else (100, CUT[0])), 9)
        ys = np.linspace(*((CUT[1], 820) if number // 2 else (80, CUT[1])), 9)
        points = np.array([(x, y, 1) for x in xs for y in ys])
        before.append(points[:, :2])
        after.append((points @ (found @ stored(number) @ made).T)[:, :2])
    a, b = np.concatenate(before), np.concatenate(after)
    left, _, right = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    error = np.linalg.norm((a - a.mean(0)) @ (left @ right) - (b - b.mean(0)), axis=1)
    assert error.mean() < 0.6 and error.max() < 1.2


def test_the_whole_looks_like_the_whole(assembly, whole):
    slide = assembly.slide
    picture = slide.read(slide.window(40.0)).astype(float)
    assert slide.mpp_um == (40.0, 40.0) and slide.vendor == "quadrants"
    cut = slide.source.cut
    y, x = cut[1] - 400, cut[0] - 450
    ours, theirs = picture[y : y + 800, x : x + 850], whole[CUT[1] - 400 : CUT[1] + 400, CUT[0] - 450 : CUT[0] + 400].astype(float)
    correlation = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    assert correlation > 0.9
    assert min(assembly.seams) > 0.25 and not any("nothing is seen to continue" in text for text in assembly.warnings)


def test_the_assembly_is_written_as_one_pyramid(assembly, tmp_path):
    slide = assembly.slide
    grid = slide.window(40.0)
    write_pyramid(tmp_path / "whole.ome.tif", (band for _, band in slide.bands(grid)), slide.size, slide.require_mpp())
    with open_slide(tmp_path / "whole.ome.tif") as again:
        assert again.size == slide.size and again.mpp_um == (40.0, 40.0)
        assert np.array_equal(again.read(grid), slide.read(grid))


def test_by_layout_alone_the_quarters_lie_box_to_box(quarters):
    made = assemble([open_slide(path, mpp_um=40.0) for path in quarters[0]], TURNS, refine=False)
    assert made.seams == ()
    for matrix, turn in zip(made.matrices, TURNS, strict=True):
        angle = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        assert (angle - 90 * turn + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


def test_quarters_that_do_not_belong_together_are_refused(quarters, tmp_path):
    slides = [open_slide(path, mpp_um=40.0) for path in quarters[0]]
    with pytest.raises(InputError, match=r"differ in their pixel sizes \(40, 40, 40, 20 µm\)"):
        assemble([*slides[:3], slides[3].with_mpp(20.0)])
    with pytest.raises(InputError, match="does not say how large"):
        assemble([open_slide(path) for path in quarters[0]])
    Image.new("RGB", (700, 700), (245, 245, 245)).save(tmp_path / "blank.png")
    with pytest.raises(InputError, match="no tissue was found"):
        assemble([*slides[:3], open_slide(tmp_path / "blank.png", mpp_um=40.0)])
