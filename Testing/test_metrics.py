"""Figures of merit against closed forms, scikit-image, and loops written out."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import metrics


@pytest.fixture
def a_slice() -> np.ndarray:
    """Smooth shapes with an edge and some noise, 0 to about 1."""
    y, x = np.mgrid[:72, :80] / 40.0
    rng = np.random.default_rng(3)
    return np.sin(3 * x) * np.cos(2 * y) * 0.3 + 0.5 + 0.2 * (x > 1) + 0.03 * rng.normal(size=x.shape)


@pytest.fixture
def a_worse_slice(a_slice) -> np.ndarray:
    return a_slice + 0.1 * np.random.default_rng(4).normal(size=a_slice.shape)


def test_psnr_of_a_known_error():
    assert metrics.psnr(np.zeros((4, 4)), np.full((4, 4), 0.1), 1.0) == pytest.approx(20.0)
    assert metrics.psnr(np.zeros((4, 4)), np.full((4, 4), 0.1), 10.0) == pytest.approx(40.0)
    assert metrics.psnr(np.ones((4, 4)), np.ones((4, 4)), 1.0) == float("inf")


def test_psnr_inside_a_mask_counts_nothing_else():
    image, mask = np.zeros((4, 4)), np.zeros((4, 4), bool)
    image[0], mask[1:] = 100.0, True
    image[1:] = 0.1
    assert metrics.psnr(np.zeros((4, 4)), image, 1.0, mask) == pytest.approx(20.0)


@pytest.mark.parametrize("data_range", [1.0, 0.7])
def test_ssim_is_that_of_scikit_image(a_slice, a_worse_slice, data_range):
    theirs = pytest.importorskip("skimage.metrics").structural_similarity
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": data_range, "full": True}
    expected, whole = theirs(a_slice, a_worse_slice, **settings)
    assert metrics.ssim(a_slice, a_worse_slice, data_range) == pytest.approx(expected, abs=1e-9)
    mask = a_slice > 0.5
    assert metrics.ssim(a_slice, a_worse_slice, data_range, mask) == pytest.approx(whole[mask].mean(), abs=1e-9)


def test_ssim_of_a_slice_smaller_than_its_window_is_still_a_number():
    image = np.random.default_rng(0).normal(size=(5, 40))
    assert metrics.ssim(image, image, 1.0) == pytest.approx(1.0)


def vif_by_loops(reference: np.ndarray, image: np.ndarray) -> float:
    """Sheikh and Bovik's pixel-domain VIF as their paper sums it, window by window; grey values 0 to 255."""
    kept = total = 0.0
    for scale in range(1, 5):
        width = 2 ** (5 - scale) + 1
        at = np.arange(width) - (width - 1) / 2
        window = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * (width / 5.0) ** 2))
        window /= window.sum()

        def filtered(a, window=window, width=width):
            places = range(a.shape[0] - width + 1), range(a.shape[1] - width + 1)
            return np.array([[(a[i : i + width, j : j + width] * window).sum() for j in places[1]] for i in places[0]])

        if scale > 1:
            reference, image = filtered(reference)[::2, ::2], filtered(image)[::2, ::2]
        m1, m2 = filtered(reference), filtered(image)
        v1 = filtered(reference**2) - m1**2
        v2 = filtered(image**2) - m2**2
        v12 = filtered(reference * image) - m1 * m2
        for s1, s2, s12 in zip(v1.ravel(), v2.ravel(), v12.ravel(), strict=True):
            s1, s2 = max(s1, 0.0), max(s2, 0.0)
            gain = s12 / (s1 + 1e-10)
            noise = s2 - gain * s12
            if gain < 0:
                gain, noise = 0.0, s2
            noise = max(noise, 1e-10)
            kept += np.log10(1 + gain**2 * s1 / (noise + 2.0))
            total += np.log10(1 + s1 / 2.0)
    return kept / total


def test_vif_is_the_sum_written_out(a_slice, a_worse_slice):
    small, worse = 255 * a_slice[:48, :44], 255 * a_worse_slice[:48, :44]
    assert metrics.vif(small, worse, 255.0) == pytest.approx(vif_by_loops(small, worse), rel=1e-9)


def test_vif_knows_equal_blurred_and_sharpened_apart(a_slice):
    from scipy.ndimage import gaussian_filter

    mean = a_slice.mean()
    assert metrics.vif(a_slice, a_slice, 1.0) == pytest.approx(1.0, abs=1e-9)
    assert metrics.vif(a_slice, gaussian_filter(a_slice, 1.5), 1.0) < 0.6
    assert metrics.vif(a_slice, mean + 1.3 * (a_slice - mean), 1.0) > 1.0


def test_vif_does_not_depend_on_the_units(a_slice, a_worse_slice):
    assert metrics.vif(a_slice, a_worse_slice, 1.0) == pytest.approx(metrics.vif(1000 * a_slice, 1000 * a_worse_slice, 1000.0))


def test_vif_of_slices_too_small_for_any_window_is_not_a_number():
    assert np.isnan(metrics.vif(np.ones((8, 8)), np.ones((8, 8)), 1.0))


@pytest.mark.parametrize("sigma", [0.5, 4.0])
def test_the_noise_level_of_white_noise_on_a_plane_is_its_standard_deviation(sigma):
    y, x = np.mgrid[:256, :256]
    noisy = 3.0 * x - 2.0 * y + sigma * np.random.default_rng(0).normal(size=x.shape)
    assert metrics.noise_level(noisy) == pytest.approx(sigma, rel=0.03)


def test_snli_is_the_relative_lack_of_noise():
    rng = np.random.default_rng(0)
    before, after, generated = (s * rng.normal(size=(200, 200)) for s in (1.0, 3.0, 0.5))
    assert metrics.snli(generated, before, after) == pytest.approx(0.75, abs=0.02)
    assert metrics.snli(before, before, before) == 0
    assert np.isnan(metrics.snli(before, np.zeros((9, 9)), np.zeros((9, 9))))


def test_sharpness_is_the_ratio_of_gradient_energies():
    wave = np.sin(np.arange(200) * 0.2)[None, :] * np.ones((50, 1))
    assert metrics.sharpness(0.5 * wave, wave) == pytest.approx(0.25)
    ramp = 2.0 * np.arange(10)[None, :] + 3.0 * np.arange(8)[:, None]
    assert metrics.gradient_energy(ramp) == pytest.approx(4 + 9)
    assert np.isnan(metrics.sharpness(wave, np.ones((4, 4))))


def test_dice_of_known_overlaps():
    a, b = np.zeros(10, bool), np.zeros(10, bool)
    a[:4], b[2:8] = True, True
    assert metrics.dice(a, b) == pytest.approx(2 * 2 / 10)
    assert metrics.dice(a & False, b & False) == 1.0
    assert metrics.dice(a, a) == 1.0


def test_hausdorff_of_shifted_boxes_is_the_shift_in_mm():
    a = np.zeros((20, 20, 20), bool)
    a[5:10, 5:12, 5:12] = True
    assert metrics.hausdorff95(a, np.roll(a, 2, axis=0), (3.0, 1.0, 1.0)) == pytest.approx(6.0)
    assert metrics.hausdorff95(a, a, (1, 1, 1)) == 0.0
    assert metrics.hausdorff95(a, a & False, (1, 1, 1)) == float("inf")


def test_wilcoxon_of_six_pairs_that_all_grow_is_one_in_64():
    a = np.arange(6.0)
    assert metrics.wilcoxon_greater(a + np.linspace(0.1, 0.6, 6), a) == pytest.approx(1 / 64)
    assert np.isnan(metrics.wilcoxon_greater(a, a))
