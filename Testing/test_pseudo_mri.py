"""Pseudo-MRI of slides: where things lie, what becomes of stains, how much goes missing, how much noise there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from slide_textures import a_piece

from training import affine_warps, pseudo_mri, slide_pieces, slide_sources, stains

PLAIN = pseudo_mri.Recipe(level_jitter=0, warp_mm=0, missing=(0, 0), bias=0, noise=(0, 0))
"""Nothing but the classes and the affine."""


def with_a_hole(x_mm: float, y_mm: float) -> slide_sources.Picture:
    """Evenly stained tissue 40 mm wide, with a lumen of 2 mm radius at a place."""
    places = affine_warps.positions_mm((768, 768), 0.1)
    tissue = np.hypot(*np.moveaxis(places, -1, 0)) < 20
    density = np.random.default_rng(0).uniform(0.2, 0.8, (768, 768, 2)) @ stains.STAINS[:2]
    density[np.hypot(*np.moveaxis(places - (x_mm, y_mm), -1, 0)) < 2] = 0
    return slide_sources.Picture(stains.coloured(np.where(tissue[..., None], density, 0)), tissue, 0.1)


@pytest.mark.parametrize(
    ("affine", "expected"),
    [
        ([[1, 0, 0], [0, 1, 0]], (10, 4)),
        ([[0, -1, 0], [1, 0, 0]], (4, -10)),  # (x, y) → (−y, x): what lies at (10, 4) is seen at (4, −10)
        ([[-1, 0, 2], [0, 1, 0]], (-8, 4)),
        ([[1.25, 0, 0], [0, 1.25, 0]], (8, 3.2)),
    ],
)
def test_a_lumen_lies_where_the_affine_says_and_is_bright(affine, expected):
    made = pseudo_mri.pseudo_mri(with_a_hole(10, 4), np.array(affine, float), np.random.default_rng(0), PLAIN)
    bright = made.tissue & (made.image > 0.8)
    centre = affine_warps.positions_mm(made.image.shape, 0.4)[bright].mean(0)
    assert np.allclose(centre, expected, atol=0.1)
    scale = np.sqrt(abs(np.linalg.det(np.array(affine)[:, :2])))
    assert bright.sum() * 0.16 == pytest.approx(np.pi * 4 / scale**2, rel=0.2)
    assert made.tissue.sum() * 0.16 == pytest.approx(np.pi * 400 / scale**2, rel=0.02)
    assert np.allclose(made.affine, affine, atol=1e-4) and made.warp_mm < 1e-3


def test_stains_are_told_apart_and_values_do_not_follow_brightness():
    """From the lightest to the darkest of eosin, both, haematoxylin: dark, bright, dark; what lets light through: brightest."""
    eosin, haematoxylin = stains.STAINS[1], stains.STAINS[0]
    density = np.stack([0.6 * eosin, 0.5 * eosin + 0.5 * haematoxylin, 1.2 * haematoxylin, 0 * eosin]).repeat(25, 0).reshape(10, 10, 3)
    rank = stains.haematoxylin_rank(stains.coloured(density), np.ones((10, 10), bool))
    grouped = rank.reshape(4, 25)
    assert (grouped.max(1)[:2] < grouped.min(1)[1:3]).all() and (grouped[3] == 2).all()
    levels = pseudo_mri.values(np.array([0.05, 0.5, 0.95, 2, -1], np.float32), PLAIN, np.random.default_rng(0))
    assert np.allclose(levels, [PLAIN.stroma, PLAIN.glandular, PLAIN.nuclei, PLAIN.lumen, 0])


def test_ranks_do_not_depend_on_the_strength_of_the_stain():
    """Where nothing is so light that it counts as lumen."""
    density = np.random.default_rng(0).uniform(0.2, 0.45, (50, 50, 2)) @ stains.STAINS[:2]
    two = [stains.haematoxylin_rank(stains.coloured(density * s), np.ones((50, 50), bool)) for s in (1, 1.5)]
    assert np.abs(two[0] - two[1]).max() < 0.1 and np.abs(two[0] - two[1]).mean() < 0.02
    with pytest.raises(ValueError, match="no stained tissue"):
        stains.haematoxylin_rank(np.full((5, 5, 3), 250, np.uint8), np.ones((5, 5), bool))


def test_a_tenth_to_a_fifth_goes_missing_in_one_piece():
    for seed in range(5):
        made = pseudo_mri.pseudo_mri(a_piece(), affine_warps.IDENTITY, np.random.default_rng(seed))
        gone = made.tissue & ~made.present
        assert 0.095 < gone.sum() / made.tissue.sum() < 0.205
        labels, _ = ndimage.label(gone)
        assert np.bincount(labels.ravel())[1:].max() > 0.8 * gone.sum()


def test_the_affine_is_the_best_one_through_the_whole_map():
    """Found again by SciPy's least squares from the positions; what is left is the warp, of about its own size."""
    from scipy.optimize import least_squares

    given = affine_warps.drawn(np.random.default_rng(5)).affine()
    made = pseudo_mri.pseudo_mri(a_piece(), given, np.random.default_rng(5), replace(PLAIN, warp_mm=0.6))
    points = affine_warps.positions_mm(made.tissue.shape, 0.4)[made.tissue][::50]
    moved = made.positions[made.tissue][::50]
    found = least_squares(lambda a: (points @ a.reshape(2, 3)[:, :2].T + a.reshape(2, 3)[:, 2] - moved).ravel(), given.ravel())
    assert np.allclose(found.x.reshape(2, 3)[:, :2], made.affine[:, :2], atol=0.01)
    assert 0.2 < made.warp_mm < 1.2 and not np.allclose(made.affine, given, atol=0.01)


def test_noise_is_rician():
    """Far from zero it is normal; of nothing but noise the mean is that of a Rayleigh distribution, σ √(π / 2)."""
    rng = np.random.default_rng(0)
    assert pseudo_mri.rician(np.zeros((300, 300)), 0.05, rng).mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.01)
    assert pseudo_mri.rician(np.ones((300, 300)), 0.05, rng).std() == pytest.approx(0.05, rel=0.02)


def test_the_coils_field_reaches_its_range_and_is_quadratic():
    field = pseudo_mri.bias_field((40, 50), 0.25, np.random.default_rng(0))
    assert (field.min(), field.max()) == (pytest.approx(0.75), pytest.approx(1.25))
    assert np.abs(np.diff(field, 3, axis=0)).max() < 1e-9 and np.abs(np.diff(field, 2, axis=0)).max() > 1e-6


def test_the_same_seed_makes_the_same_and_another_another():
    one, two, three = (
        pseudo_mri.pseudo_mri(a_piece(s), affine_warps.IDENTITY, np.random.default_rng(t)) for s, t in ((0, 0), (0, 0), (1, 1))
    )
    assert np.array_equal(one.image, two.image) and not np.array_equal(one.image, three.image)


def test_pieces_have_the_size_of_a_gland_and_come_back_from_the_cache(tmp_path):
    for seed in range(4):
        made = a_piece(seed)
        assert made.rgb.shape == (384, 384, 3) and 20 < made.width_mm < 70
        far = ndimage.binary_dilation(made.tissue, iterations=4)
        assert made.rgb[~far].min() >= 244 and made.rgb[made.tissue].mean() < 235
    slide_pieces.save(made, tmp_path / "a.npz")
    again = slide_pieces.load(tmp_path / "a.npz")
    assert np.array_equal(again.rgb, made.rgb) and np.array_equal(again.tissue, made.tissue)


def test_the_real_prostate_fills_the_field_as_wide_as_the_split_says(data_dir):
    source = slide_sources.sources("test")[0]
    picture = slide_sources.picture(source, data_dir, 0.1)
    assert picture.rgb.shape == (768, 768, 3) and picture.width_mm == pytest.approx(40, abs=0.3)
    columns, rows = np.flatnonzero(picture.tissue.any(0)), np.flatnonzero(picture.tissue.any(1))
    assert abs(columns[0] + columns[-1] - 767) <= 3 and abs(rows[0] + rows[-1] - 767) <= 3
    # its own pixels: 995 wide, nearly all tissue; 40 mm of them are 0.041 mm each, and the area must agree
    rgb = slide_sources.read(source, data_dir)
    dark = (rgb.min(-1) < 220).sum() * (40 / 985) ** 2
    assert picture.tissue.sum() * 0.01 == pytest.approx(dark, rel=0.35) and picture.tissue.sum() * 0.01 > dark * 0.95


def test_a_file_that_is_not_the_splits_is_refused(tmp_path):
    source = slide_sources.sources("test")[0]
    (tmp_path / source.path).parent.mkdir(parents=True)
    (tmp_path / source.path).write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the file"):
        slide_sources.read(source, tmp_path)


def test_what_trains_is_not_what_tests_and_has_a_licence():
    split = slide_sources.split()
    training = [row["path"] for part in ("textures", "mri_train", "mri_validation") for row in split[part]]
    testing = [row["path"] for row in split["test"]] + [split["mri_test"]["path"]]
    assert all(any(path.startswith(held) for held in split["held_out"]) for path in testing)
    assert not any(path.startswith(held) for path in training for held in split["held_out"])
    assert all(row["licence"] and "testing" not in row["licence"] for part in ("textures", "mri_train") for row in split[part])
