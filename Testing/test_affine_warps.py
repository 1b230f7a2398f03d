"""Affine and thin-plate warps of pictures against geometry worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training import affine_warps as warps


def test_pixel_centres_lie_around_the_middle():
    places = warps.positions_mm((2, 3), 0.5)
    assert np.allclose(places[0], [[-0.5, -0.25], [0, -0.25], [0.5, -0.25]]) and np.allclose(places[1, 0], [-0.5, 0.25])
    assert np.allclose(warps.to_pixels(places, (2, 3), 0.5)[1, 2], [2, 1])


@pytest.mark.parametrize(
    ("changes", "point", "expected"),
    [
        ({"flip": True}, (3, 2), (-3, 2)),
        ({"rotation_degrees": 90}, (3, 0), (0, 3)),
        ({"rotation_degrees": 30}, (2, 0), (math.sqrt(3), 1)),
        ({"shift_mm": (1, -2)}, (3, 2), (4, 0)),
        ({"shear": 0.1}, (3, 2), (3.2, 2)),
        ({"scale": 1.2}, (3, 2), (3.6, 2.4)),
        ({"flip": True, "rotation_degrees": 90}, (3, 0), (0, -3)),
        ({"scale": 2, "shear": 0.5, "rotation_degrees": 180, "shift_mm": (1, 1)}, (1, 1), (-2, -1)),
    ],
)
def test_each_parameter_moves_points_as_by_hand(changes, point, expected):
    none = {"flip": False, "rotation_degrees": 0, "shift_mm": (0, 0), "shear": 0, "scale": 1}
    affine = warps.Parameters(**(none | changes)).affine()
    assert np.allclose(warps.applied(affine, np.array(point, float)), expected)
    assert warps.mirrored(affine) == changes.get("flip", False)


def test_draws_stay_in_their_ranges_and_reach_their_ends():
    rng = np.random.default_rng(0)
    made = [warps.drawn(rng) for _ in range(2000)]
    assert 0.45 < np.mean([p.flip for p in made]) < 0.55
    for values, low, high in (
        ([p.rotation_degrees for p in made], -180, 180), ([p.shift_mm for p in made], -4, 4),
        ([p.shear for p in made], -0.1, 0.1), ([p.scale for p in made], 0.8, 1.2),
    ):  # fmt: skip
        width = high - low
        assert low <= np.min(values) < low + 0.01 * width and high >= np.max(values) > high - 0.01 * width


def test_the_determinant_is_the_square_of_the_scale():
    parameters = warps.Parameters(True, 77, (1, 2), 0.07, 1.13)
    assert np.linalg.det(parameters.affine()[:, :2]) == pytest.approx(-1.2769)


def test_inverse_composed_and_fitted_agree():
    rng = np.random.default_rng(1)
    first, second = (warps.drawn(rng).affine() for _ in range(2))
    points = rng.normal(size=(20, 2))
    assert np.allclose(warps.applied(warps.inverse(first), warps.applied(first, points)), points)
    both = warps.applied(second, warps.applied(first, points))
    assert np.allclose(warps.applied(warps.composed(second, first), points), both)
    assert np.allclose(warps.fitted(points, both), warps.composed(second, first))


def test_theta_counts_in_halves_of_each_picture():
    """A shift of 5 mm in a moving picture 40 mm wide is a quarter of its half; the fixed picture's right edge is 1."""
    affine = np.array([[1.0, 0, 5], [0, 1, 0]])
    theta = warps.to_theta(affine, (80, 60), (40, 30))
    assert np.allclose(theta, [[2, 0, 0.25], [0, 2, 0]])
    assert np.allclose(warps.from_theta(theta, (80, 60), (40, 30)), affine)


def test_theta_reads_the_pixels_that_the_affine_names():
    """PyTorch's own sampling with θ and the positions in mm meet in the same pixel: column 5, row 2 of 8 × 8."""
    import torch
    from MedSRLib.networks import matching

    affine = np.array([[0.0, -1, 1.0], [1, 0, -0.5]])
    fixed = warps.positions_mm((8, 8), 0.5)[3, 1]
    column, row = warps.to_pixels(warps.applied(affine, fixed), (8, 8), 0.5)
    assert (column, row) == (6, 0)  # (−1.25, −0.25) → (0.25 + 1, −1.25 − 0.5) mm → column 1.25 / 0.5 + 3.5, row −1.75 / 0.5 + 3.5
    picture = torch.zeros(1, 1, 8, 8)
    picture[0, 0, 0, 6] = 1
    theta = torch.from_numpy(warps.to_theta(affine, (4, 4), (4, 4))).float()[None]
    read = matching.warped(picture, matching.affine_positions(theta, (8, 8)))
    assert read[0, 0, 3, 1].item() == pytest.approx(1, abs=1e-4)


def test_a_thin_plate_warp_is_scipys_through_the_same_points():
    from scipy.interpolate import RBFInterpolator

    warp = warps.random_thin_plate(np.random.default_rng(3), 40.0, 1.0)
    line = np.linspace(-20, 20, 6)
    points = np.array([(x, y) for y in line for x in line])
    theirs = RBFInterpolator(points, warp.moved_mm, kernel="thin_plate_spline")
    places = warps.positions_mm((32, 32), 40 / 32)
    assert np.abs(warp.on_grid(32) - theirs(places.reshape(-1, 2)).reshape(32, 32, 2)).max() < 1e-3
    assert 0.7 < (warp.moved_mm - points).std() < 1.3
    still = warps.random_thin_plate(np.random.default_rng(3), 40.0, 0.0)
    assert np.abs(still.on_grid(32) - places).max() < 1e-3
