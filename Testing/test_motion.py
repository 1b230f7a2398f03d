"""Optical flow between slices: its sign, its sizes, its ends."""

import numpy as np
import pytest
from MedSRLib import motion
from scipy.ndimage import gaussian_filter, shift


def texture(h=96, w=120, seed=0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=(h, w)), 3).astype(np.float32)


def test_the_flow_says_where_the_first_slice_is_found_in_the_second():
    a = texture()
    b = shift(a, (2, -3), order=1, mode="nearest")  # what was at (y, x) is now at (y + 2, x - 3)
    inner = motion.flow_between(a, b)[20:-20, 20:-20].reshape(-1, 2)
    assert np.abs(np.median(inner, axis=0) - (-3, 2)).max() < 0.2
    error = np.abs(motion.warp(b, motion.flow_between(a, b)) - a)[20:-20, 20:-20].mean()
    assert error < 0.15 * np.abs(b - a)[20:-20, 20:-20].mean()


def test_the_middle_of_a_moved_slice_lies_half_way():
    a = texture()
    b, quarter = shift(a, (4, 0), order=1, mode="nearest"), shift(a, (1, 0), order=1, mode="nearest")
    made = motion.between(a, b, 0.25)[20:-20, 20:-20]
    mixed = (0.75 * a + 0.25 * b)[20:-20, 20:-20]
    assert np.abs(made - quarter[20:-20, 20:-20]).mean() < 0.3 * np.abs(mixed - quarter[20:-20, 20:-20]).mean()


@pytest.mark.parametrize("alpha, index", [(0.0, 0), (1.0, 1)])
def test_the_ends_are_the_slices_themselves(alpha, index):
    slices = texture(seed=1), texture(seed=2)
    assert np.array_equal(motion.between(*slices, alpha), slices[index])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3), (33, 200), (65, 64)])
def test_any_size_is_accepted(shape):
    a, b = texture(*shape, seed=3), texture(*shape, seed=4)
    assert motion.flow_between(a, b).shape == (*shape, 2)
    made = motion.between(a, b, 0.5)
    assert made.shape == shape and np.isfinite(made).all()


def test_a_linear_change_of_units_changes_only_the_units():
    a, b = texture(seed=1), shift(texture(seed=1), (1, 2), order=1, mode="nearest")
    assert np.abs(motion.flow_between(a, b) - motion.flow_between(a * 1000 - 500, b * 1000 - 500)).mean() < 0.02
    constant = np.full((80, 80), 7.0, np.float32)
    assert not motion.flow_between(constant, constant).any()
