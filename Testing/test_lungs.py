"""Lung mask against volumes known beforehand, and against an independent segmentation of a real chest CT; HU there and back."""

import numpy as np
import pytest
from MedSRLib import lungs
from MedSRLib.errors import InputError
from MedSRLib.intensity import HOUNSFIELD

SPACING = (1.5, 1.5, 3.0)


def ball(shape, centre, radii_mm):
    """Boolean ellipsoid; centre in voxels (z, y, x), radii in mm (z, y, x)."""
    z, y, x = np.ogrid[tuple(map(slice, shape))]
    spacing = SPACING[::-1]
    return sum(((a - c) * s / r) ** 2 for a, c, s, r in zip((z, y, x), centre, spacing, radii_mm, strict=True)) <= 1


@pytest.fixture
def chest():
    """A body in air with two lungs of 4/3·π·90·60·40 mm³, a vessel of 9 mm, padding in the corners, a foam mat under the body."""
    shape = 72, 160, 220
    hu = np.full(shape, -1000, np.int16)
    hu[:, 130:] = -940  # foam mat, nearly air, that touches the border
    hu[ball(shape, (36, 76, 110), (1e6, 75, 130))] = 40
    both = ball(shape, (36, 76, 72), (90, 60, 40)) | ball(shape, (36, 76, 148), (90, 60, 40))
    hu[both] = -850
    hu[:, 74:80, 60:130][both[:, 74:80, 60:130]] = 45
    hu[:, :12, :12] = -3024
    hu[:, -12:, -12:] = -2000
    return hu, both


def test_the_volume_is_that_of_the_ellipsoids_with_their_vessels(chest):
    hu, both = chest
    before = hu.copy()
    mask = lungs.mask(hu, SPACING)
    physical_ml = 2 * 4 / 3 * np.pi * 90 * 60 * 40 / 1000
    assert mask.sum() * np.prod(SPACING) / 1000 == pytest.approx(physical_ml, rel=0.03)
    assert (mask & both).sum() > 0.98 * both.sum()
    assert np.array_equal(hu, before)


def test_padding_is_no_lung(chest):
    hu, _ = chest
    mask = lungs.mask(hu, SPACING)
    assert not mask[hu < -1500].any() and not mask[:, 140:].any()


def test_without_lung_it_says_so():
    with pytest.raises(InputError, match="no lung was found"):
        lungs.mask(np.full((8, 64, 64), 40, np.int16), (0.7, 0.7, 1.0))
    outside_alone = np.full((8, 64, 64), -1000, np.int16)
    outside_alone[:, 20:40, 20:40] = 40
    with pytest.raises(InputError, match="give a mask"):
        lungs.mask(outside_alone, (0.7, 0.7, 1.0))


def test_gas_in_bowel_is_no_lung(chest):
    hu, both = chest
    gas = np.where(both & (hu < -500), np.random.default_rng(0).normal(-990, 15, hu.shape), hu)
    with pytest.raises(InputError, match="gas alone"):
        lungs.mask(gas, SPACING)


def test_the_part_of_the_body_that_is_lung(chest):
    hu, both = chest
    share = lungs.share_of_body(hu, both)
    assert share[36] == pytest.approx(both[36].sum() / (both[36] | (hu[36] >= -500)).sum()) and 0.2 < share[36] < 0.5
    assert lungs.share_of_body(np.full((1, 4, 4), -1000), np.zeros((1, 4, 4), bool)) == 0


def test_a_crop_inside_a_lung_is_all_lung():
    crop = np.random.default_rng(0).normal(-850, 40, (6, 80, 80))
    assert lungs.mask(crop, (0.7, 0.7, 1.0)).mean() > 0.95


def test_hounsfield_units_come_back_unclamped():
    hu = np.array([-3024.0, -1000.0, 0.0, 3071.0])
    assert np.allclose(HOUNSFIELD.read(hu), [-2.024, 0, 1, 4.071])
    assert np.allclose(HOUNSFIELD.written(HOUNSFIELD.read(hu)), hu, atol=1e-3)


def test_the_real_chest_agrees_with_an_independent_segmentation(data_dir):
    """Grown from a seed in each lung by SimpleITK: our mask holds it, and is larger by vessels alone."""
    import SimpleITK as sitk

    folder = str(data_dir / "ct" / "lidc0314_mid")
    image = sitk.ReadImage(sorted(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder))[20:32])
    grown = sitk.GetArrayFromImage(sitk.ConnectedThreshold(image, seedList=[(150, 340, 6), (340, 340, 6)], lower=-1024, upper=-500)) > 0
    mask = lungs.mask(sitk.GetArrayFromImage(image), image.GetSpacing())
    assert (mask & grown).sum() > 0.97 * grown.sum()
    assert 1.0 < mask.sum() / grown.sum() < 1.12
