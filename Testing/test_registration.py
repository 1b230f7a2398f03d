"""The place of a slide on an MRI slice, found from the pictures: known places, wrong pairs, frames, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import registration
from MedSRLib.errors import InputError
from MedSRLib.registration_pictures import even, resampled
from MedSRLib.registration_search import orientation
from MedSRLib.registration_stains import maps
from scipy import ndimage

SLIDE_MM, SIDE = 0.2, 300
EOSIN, HAEMATOXYLIN, GLASS = (235, 120, 170), (80, 60, 130), (245, 245, 245)


def a_slide(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(h, w, 3) uint8, (h, w) bool tissue, (h, w) int classes: 0 glass, 1 stroma, 2 nuclei, 3 lumen; an oval of 40 × 32 mm."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), mm / SLIDE_MM, mode="wrap") for mm in (1.0, 1.4)]
    y, x = ((np.arange(SIDE) - (SIDE - 1) / 2) * SLIDE_MM for _ in range(2))
    tissue = (x[None] / 20) ** 2 + (y[:, None] / 16) ** 2 < 1
    classes = np.where(fields[0] > 0.6 * fields[0].std(), 2, np.where(fields[1] > 1.2 * fields[1].std(), 3, 1)) * tissue
    return np.array([GLASS, EOSIN, HAEMATOXYLIN, GLASS], np.uint8)[classes], tissue, classes


def an_mri(classes: np.ndarray, affine: np.ndarray, pixel_mm: tuple[float, float], shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(h, w): T2-like levels, brightest in lumen and between in stroma, at the places that the affine names; other tissue around."""
    rng = np.random.default_rng((9, seed))
    rows, columns = np.indices(shape, float)
    at = np.stack([(columns - (shape[1] - 1) / 2) * pixel_mm[0], (rows - (shape[0] - 1) / 2) * pixel_mm[1]])
    places = np.einsum("ij,jhw->ihw", affine[:, :2], at) + affine[:, 2, None, None]
    index = np.rint(places[::-1] / SLIDE_MM + (SIDE - 1) / 2).astype(int)
    inside = ((index >= 0) & (index < SIDE)).all(0)
    here = np.where(inside, classes[tuple(np.clip(index, 0, SIDE - 1))], 0)
    around = 300 + 80 * ndimage.gaussian_filter(rng.standard_normal(shape), 4) * 8
    return np.where(here == 0, around, np.array([0, 350, 150, 900])[here]) + rng.normal(0, 30, shape)


def placed(turn_degrees: float, mirrored: bool, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([scale * turn @ np.diag([-1 if mirrored else 1, 1]), shift])


def error_mm(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance over a square of 24 mm, all tissue."""
    line = np.linspace(-12, 12, 13)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return float(np.linalg.norm(points @ (found - true)[:, :2].T + (found - true)[:, 2], axis=1).mean())


@pytest.mark.parametrize(
    ("turn", "mirrored", "scale", "name"), [(200, False, 1.15, "r180"), (75, True, 0.87, "f90"), (-80, False, 1.0, "r90")]
)
def test_a_turned_mirrored_and_scaled_slide_is_found_within_2_percent_of_its_width(turn, mirrored, scale, name):
    """Turned by 200° from MRI to slide is 160° from slide to MRI, nearest 180; mirrored, a turn by 75° stays one by 75°."""
    rgb, tissue, classes = a_slide(1)
    true = placed(turn, mirrored, scale, (2.5, -3.0))
    made = registration.match(an_mri(classes, true, (0.5, 0.5), (128, 128)), (0.5, 0.5), rgb, SLIDE_MM, tissue)
    assert error_mm(made.affine, true) < 0.02 * 40
    assert made.orientation == name == max(made.scores, key=made.scores.__getitem__)
    assert len(made.scores) == 8 and made.lead > registration.LEAST_LEAD
    assert made.doubts == () and made.grade == "sure"


def test_a_gland_far_from_the_middle_and_oblong_pixels_are_found_in_the_whole_pictures_frame():
    rgb, tissue, classes = a_slide(2)
    shape, pixel = (150, 260), (0.5, 0.6)
    true = placed(10, False, 1.0, (-32.0, -12.0))
    mri = an_mri(classes, true, pixel, shape)
    rows, columns = np.indices(shape, float)
    # The slide's middle, (0, 0), lies at A⁻¹ (32, 12) of the MRI: the gland is a disc around it.
    middle = np.linalg.solve(true[:, :2], -true[:, 2])
    x, y = (columns - (shape[1] - 1) / 2) * 0.5 - middle[0], (rows - (shape[0] - 1) / 2) * 0.6 - middle[1]
    gland = np.hypot(x, y) < 18
    made = registration.match(mri, pixel, rgb, SLIDE_MM, tissue, gland)
    assert error_mm_at(made.affine, true, middle) < 0.02 * 40
    assert made.doubts == () and made.judged.overlap > 0.85


def error_mm_at(found: np.ndarray, true: np.ndarray, middle: np.ndarray) -> float:
    moved = [np.column_stack([a[:, :2], a[:, 2] + a[:, :2] @ middle]) for a in (found, true)]
    return error_mm(*moved)


def test_another_slide_is_flagged():
    rgb, tissue, _ = a_slide(3)
    _, _, classes = a_slide(4)
    made = registration.match(an_mri(classes, placed(30, True, 1.0, (0, 0)), (0.5, 0.5), (128, 128)), (0.5, 0.5), rgb, SLIDE_MM, tissue)
    assert made.grade != "sure" and any("the slide explains only" in doubt for doubt in made.doubts)


def test_a_slide_of_which_half_is_blank_is_flagged_by_its_straight_side():
    """Halved from top to bottom, the oval's cut is its height: 32 mm, but for the ends that are within 0.3 mm of the line."""
    rgb, tissue, classes = a_slide(5)
    kept = tissue & (np.arange(SIDE) < SIDE // 2)
    rgb = np.where(kept[..., None], rgb, 245).astype(np.uint8)
    assert registration.straight_side_mm(kept, SLIDE_MM) == pytest.approx(32, abs=1)
    made = registration.match(an_mri(classes, placed(0, False, 1.0, (0, 0)), (0.5, 0.5), (128, 128)), (0.5, 0.5), rgb, SLIDE_MM, kept)
    assert any("straight side" in doubt for doubt in made.doubts)


def test_orientations_are_named_as_the_slide_is_turned_to_lie_on_the_mri():
    """A slide turned clockwise by 90° to lie on the MRI: its right, (1, 0), then points down, (0, 1), so the MRI's down is its right."""
    assert orientation(np.array([[0, 1, 5], [-1, 0, 2]], float)) == "r90"
    assert orientation(np.array([[-1.1, 0, 0], [0, 1.1, 0]])) == "f0"
    # Mirrored left to right, then turned clockwise by 90°: its left points down.
    assert orientation(np.array([[0, -1, 0], [-1, 0, 0]], float)) == "f90"


def test_stain_maps_add_up_to_the_tissue_and_know_lumen_and_nuclei():
    rgb, tissue, classes = a_slide(6)
    made = maps(rgb, tissue, SLIDE_MM)
    np.testing.assert_allclose(made.sum(-1), tissue, atol=1e-5)
    inner = [ndimage.binary_erosion(classes == k, iterations=4) for k in range(4)]
    assert made[inner[3]][:, 0].mean() > 0.99 and made[inner[2]][:, 4].mean() > 0.5 > made[inner[1]][:, 4].mean()


def test_resampling_keeps_the_middle_and_evening_out_removes_units_and_a_gradient():
    """A ramp of x in mm is still x in mm, away from the edges, at other pixels; a slope of brightness says nothing."""
    ramp = np.tile((np.arange(200) - 99.5) * 0.3, (100, 1)).astype(np.float32)
    made = resampled(ramp, (0.3, 0.6), 0.9)
    assert made.shape == (67, 67)
    np.testing.assert_allclose(made[33, 5:-5], (np.arange(5, 62) - 33) * 0.9, atol=0.02)
    picture = np.random.default_rng(0).standard_normal((100, 200)).astype(np.float32)
    np.testing.assert_allclose(even(picture * 1000 + 7, 0.5)[30:-30, 30:-30], even(picture, 0.5)[30:-30, 30:-30], atol=0.02)


def test_bad_input_is_refused_in_words():
    rgb, tissue, _ = a_slide(7)
    mri = np.random.default_rng(0).standard_normal((64, 64))
    for bad, said in (
        ((mri, rgb, tissue[:-1], None), "differ in size"), ((mri, rgb, tissue & False, None), "empty"),
        ((mri * 0, rgb, tissue, None), "constant"), ((mri * np.nan, rgb, tissue, None), "not finite"),
        ((mri, rgb, tissue, np.zeros((64, 64), bool)), "empty"), ((mri, rgb | 255, tissue, None), "no stained tissue"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            registration.match(bad[0], (0.5, 0.5), bad[1], SLIDE_MM, bad[2], bad[3])
