"""A slide laid on a picture by mutual nearest neighbours of features, where the features are the pictures' own brightness."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import registration_features
from slide_textures import a_piece
from torch.nn import functional as F

from training import affine_warps, matching_dense, matching_methods, slide_data
from training.registration_test_set import Case


class Brightness:
    """Of each patch of 16 pixels the means of its 4 × 4 parts: what a network that has learned nothing could still compare."""

    def dense(self, picture, kind):
        means = F.avg_pool2d(picture.mean(1, keepdim=True), 4)
        return F.pixel_unshuffle(means, 4)


def a_case(parameters, kind="right"):
    """The "MRI" is the slide's own brightness, read where the affine takes it."""
    slide, affine = a_piece(0), parameters.affine()
    places = affine_warps.applied(affine, affine_warps.positions_mm((192, 192), 0.4))
    grey = slide_data.read(slide.rgb.mean(-1), places, slide.pixel_mm, 245.0)
    tissue = slide_data.read(slide.tissue.astype(np.float32), places, slide.pixel_mm) > 0.5
    return Case(0, kind, np.rint(grey * 100).astype(np.uint16), 0.4, slide, tissue, affine)


@pytest.mark.parametrize("flip", [False, True])
def test_turned_mirrored_and_shifted_slides_are_found(flip):
    """To 0.2 of a patch of 4.8 mm: the tissue is some 40 mm wide, and a wrong turn or flip is off by a third of that."""
    case = a_case(affine_warps.Parameters(flip, 92.0, (5.2, -9.2), 0.01, 1.02))
    found = matching_dense.by_neighbours(matching_dense.Places(Brightness()))(case)
    assert matching_methods.error(found.affine, case) < 0.03 and not found.flagged
    assert affine_warps.mirrored(found.affine) == flip


def test_a_blank_picture_has_no_neighbours_and_is_flagged():
    case = a_case(affine_warps.Parameters(False, 0.0, (0.0, 0.0), 0.0, 1.0))
    blank = Case(0, "half", np.full_like(case.fixed, 7), 0.4, case.slide, case.tissue)
    assert matching_dense.by_neighbours(matching_dense.Places(Brightness()))(blank).flagged


def test_neighbours_are_mutual():
    """The second of a and of b both like the first of the other side best, which like each other more."""
    a, b = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.9, -0.4359], [0.0, 1.0]])
    assert [found.tolist() for found in registration_features.neighbours(a, b)] == [[0, 2], [0, 2]]


def test_a_robust_affine_leaves_wrong_neighbours_out_and_does_not_believe_collapse():
    rng = np.random.default_rng(0)
    points = rng.uniform(-30, 30, (60, 2))
    true = affine_warps.Parameters(True, 40.0, (3.0, 1.0), 0.05, 1.1).affine()
    moved = affine_warps.applied(true, points)
    moved[:20] = rng.uniform(-30, 30, (20, 2))
    affine, count = registration_features.robust(points, moved, 4.8)
    assert np.abs(affine - true).max() < 0.2 and 40 <= count <= 44
    assert registration_features.robust(points, moved * 0.2, 4.8)[1] == 0
    assert registration_features.robust(points[:3], moved[:3], 4.8)[1] == 0
