"""The simulated clinical CT against what it says of itself, the phantoms against theirs, and samples that come out the same again."""

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

sys.path.insert(0, str(Path(__file__).parents[1]))

from MedSRLib import metrics  # noqa: E402
from MedSRLib.tasks.ct_parts import Enlarger  # noqa: E402
from scipy import ndimage  # noqa: E402

from training import ct_data, degrade, lung_foam, lung_phantom, lung_tree, phantom_set  # noqa: E402

PIXEL_MM = 0.7


@lru_cache(maxsize=4)
def small(seed: int) -> lung_phantom.Slices:
    """A phantom of 48 clinical pixels and three slices, whole HU."""
    made = lung_phantom.Phantom(seed, field=48).render()
    return lung_phantom.Slices(np.rint(made.micro).astype(np.int16), made.labels, made.clinical_mm, made.thickness_mm)


@pytest.fixture
def small_phantoms(monkeypatch):
    monkeypatch.setattr(phantom_set, "phantom", lambda seed, slices=5, cache=None: small(7 + seed % 2))


@pytest.mark.parametrize("name", degrade.KERNELS)
def test_the_mtf_measured_at_an_edge_is_the_tables(name):
    """Edge → its derivative, the line spread function → its spectrum: 0.5 and 0.1 at the stated line pairs a centimetre."""
    kernel, micro_mm, n = degrade.KERNELS[name], PIXEL_MM / 8, 2048
    edge = np.zeros((4, n))
    edge[:, n // 4 : 3 * n // 4] = 1000
    line = np.diff(degrade.blurred(edge, kernel, micro_mm)[0])[: n // 2]
    f = np.array([kernel.f50, kernel.f10]) / 10
    at = (np.arange(n // 2) - n // 4 + 1) * micro_mm
    measured = np.abs((line * np.exp(-2j * np.pi * f[:, None] * at)).sum(1)) / abs(line.sum())
    assert measured == pytest.approx([0.5, 0.1], abs=0.005)


def test_no_test_kernel_trains():
    assert not set(degrade.TRAIN_KERNELS) & set(degrade.TEST_KERNELS)
    assert set(degrade.TRAIN_KERNELS) | set(degrade.TEST_KERNELS) == set(degrade.KERNELS)
    assert tuple(phantom_set.split()["test"]["kernels"]) == degrade.TEST_KERNELS


def test_the_three_uses_of_the_seeds_are_disjoint():
    sets = [set(phantom_set.seeds(which)) for which in ("train", "validation", "test")]
    assert [len(s) for s in sets] == [200, 4, 10] and len(set.union(*sets)) == 214


@pytest.mark.parametrize("name", ["soft", "FC52"])
def test_noise_has_the_standard_deviation_and_spectrum_asked_for(name):
    """Ramp times MTF²: little power at low frequencies; sampling lets some through."""
    kernel = degrade.KERNELS[name]
    made = degrade.noise((300, 64, 64), kernel, PIXEL_MM, 25.0, np.random.default_rng(1))
    assert made.std() == pytest.approx(25, rel=0.02) and abs(made.mean()) < 0.2
    power = (np.abs(np.fft.fft2(made)) ** 2).mean(0) / 64**2
    along = (power[0, 1:32] + power[1:32, 0]) / 2
    f = np.arange(1, 32) / 64 / PIXEL_MM
    expected = f * (degrade.mtf(kernel, f) * np.sinc(f * PIXEL_MM)) ** 2
    below = slice(3, 16)  # where little is folded back
    assert np.corrcoef(along[below], expected[below])[0, 1] > 0.9
    assert np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1] < 0.05


def test_the_mean_is_kept_and_a_ramp_stays_in_place():
    micro = small(7).micro[1].astype(float)
    for name in ("soft", "FC52"):
        assert degrade.projected(micro, degrade.KERNELS[name], PIXEL_MM).mean() == pytest.approx(micro.mean(), abs=0.5)
    ramp = np.tile(np.arange(512.0), (512, 1))
    clinical = degrade.projected(ramp, degrade.KERNELS["standard"], PIXEL_MM)
    assert clinical[30, 10:54] == pytest.approx(np.arange(10, 54) * 8 + 3.5, abs=0.05)


@pytest.mark.parametrize("thickness_mm", [0.6, 1.25])
def test_the_slice_profile_is_as_wide_as_it_says(thickness_mm):
    offsets, weights = degrade.slice_profile(thickness_mm, 0.01)
    wide = offsets[weights >= weights.max() / 2 - 1e-9]
    assert wide[-1] - wide[0] == pytest.approx(thickness_mm, abs=0.021)
    assert weights.sum() == pytest.approx(1) and (weights == weights[::-1]).all()


def test_slices_that_touch_add_up_to_everything():
    """Profiles one thickness apart sum to a constant: nothing between two slices is lost."""
    offsets, weights = degrade.slice_profile(1.0, 0.02)
    total = np.zeros(301)
    for shift in (0, 50, 100, 150, 200):
        total[shift + 50 + np.rint(offsets / 0.02).astype(int)] += weights
    assert np.ptp(total[130:170]) < 0.03 * total[150]


def enlarged(clinical):
    return Enlarger(clinical.shape, degrade.FACTOR).bicubic(clinical)


@pytest.mark.parametrize(("sigma", "gain_db"), [(0.0, 0.4), (25.0, 0.05)])
def test_wiener_deconvolution_beats_bicubic(sigma, gain_db):
    true, kernel = small(7).micro[1].astype(float), degrade.KERNELS["soft"]
    clinical = degrade.acquired(true, kernel, PIXEL_MM, sigma, np.random.default_rng(3))
    plain, restored = enlarged(clinical), enlarged(degrade.wiener(clinical, kernel, PIXEL_MM, sigma))
    assert metrics.psnr(true, restored, 1000) > metrics.psnr(true, plain, 1000) + gain_db
    assert restored.mean() == pytest.approx(plain.mean(), abs=1)


def test_foam_has_the_density_and_cells_asked_for():
    """Of a Voronoi foam of jittered points a line meets some 1.4 septa a cell (Poisson: 1.45); the open ones are missing."""
    foam = lung_foam.Foam(0.0875, np.random.default_rng(0))
    made = foam.render(np.arange(8) * 0.0875, np.full((160, 160), -850.0, np.float32))
    assert made.mean() == pytest.approx(-850, abs=3) and made.min() >= -1000 and made.max() < 200
    fine = lung_foam.septa(64, 6, np.random.default_rng(1)) > 1.5
    met = (fine[:, :, 1:] & ~fine[:, :, :-1]).sum(2).mean()
    assert met / 6 == pytest.approx(1.4 * (1 - lung_foam.OPEN), rel=0.25)


def test_a_tree_reaches_every_end_and_its_radii_follow_murray():
    rng = np.random.default_rng(2)
    ends = rng.uniform(0, 20, (60, 3))
    nodes = lung_tree.grow(np.array([-10.0, 10, 10]), ends, rng)
    leaves = np.setdiff1d(np.arange(len(nodes.parent)), nodes.parent)
    assert len(leaves) == 60 and np.allclose(np.sort(nodes.position[leaves], 0), np.sort(ends, 0))
    for node in np.flatnonzero(nodes.ends > 1):
        children = np.flatnonzero(nodes.parent == node)
        assert nodes.ends[children].sum() == nodes.ends[node]


def test_a_tube_is_drawn_as_large_as_it_is():
    """Area of a cylinder across the slices: π r²; half-filled voxels count half."""
    axes = (np.arange(3) * 0.1, np.arange(64) * 0.1, np.arange(64) * 0.1)
    tube = lung_tree.Tubes(np.array([[-5.0, 3.15, 3.2]]), np.array([[5.0, 3.15, 3.2]]), np.array([[1.2, 1.2]]), np.zeros(1))
    share = np.zeros((3, 64, 64), np.float32)
    lung_phantom.draw(share, axes, tube, tube.radius)
    assert share[1].sum() * 0.01 == pytest.approx(np.pi * 1.2**2, rel=0.01)


def test_a_phantom_has_every_structure_with_its_density():
    made = small(7)
    assert made.micro.shape == made.labels.shape == (3, 384, 384)
    middle, labels = made.micro[1], made.labels[1]
    core = ndimage.binary_erosion(labels == lung_phantom.VESSEL, iterations=2)
    assert np.percentile(middle[core], 90) == pytest.approx(lung_phantom.BLOOD_HU, abs=15)
    assert -960 < np.median(middle[labels == lung_phantom.FOAM]) < -780
    for name in ("lumen", "wall", "vessel"):
        assert 0.001 < (labels == lung_phantom.LABELS.index(name)).mean() < 0.2


def test_the_generator_still_makes_what_was_frozen():
    case = phantom_set.small_case()
    assert phantom_set.differences(case) == ""
    changed = case.micro.copy()
    changed[1] += 3
    assert "differ" in phantom_set.differences(phantom_set.Case(**(vars(case) | {"micro": changed})))


@pytest.fixture
def module(small_phantoms):
    made = ct_data.CtPatches(batch_size=2, slices=3, patch=16, cases=2, patches_per_case=50, steps_per_epoch=3, validation=4)
    made.setup()
    return made


def test_pairs_show_the_same_place(module):
    data = ct_data.Pairs(module.train_sources, 16, 3, 12, (1, 1), (1.0, 1.0))
    pairs = [data[k] for k in range(12)]
    assert pairs[0]["clinical"].shape == (3, 16, 16) and pairs[0]["micro"].shape == (1, 128, 128)
    clinical = np.stack([pair["clinical"][1].numpy() for pair in pairs])
    micro = np.stack([degrade.mean_by_factor(pair["micro"][0].numpy()) for pair in pairs])
    shifted = np.roll(micro, 2, axis=-1)
    assert np.corrcoef(clinical.ravel(), micro.ravel())[0, 1] > 0.85 > np.corrcoef(clinical.ravel(), shifted.ravel())[0, 1]
    assert np.abs(clinical.mean((1, 2)) - micro.mean((1, 2))).max() < 0.03


def test_samples_follow_from_seed_epoch_and_index(module):
    first, again = ([b["clinical"] for b in module.train_dataloader()] for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True)) and len(first) == 3
    data = module.train_dataloader().dataset
    other_epoch = ct_data.Pairs(data.sources, 16, 3, 6, (2020, 1), data.noise_hu)
    assert not np.array_equal(data[0]["micro"], other_epoch[0]["micro"])
    assert np.array_equal(data[4]["micro"], data[4]["micro"])


def test_the_clinical_patch_is_that_of_the_whole_image(module):
    """Cutting a patch out with its margin and degrading it is cutting it out of the degraded image."""
    source = module.train_sources[0]
    place = source.places[0]
    patch = ct_data.clinical_patch(source, place, 16, 3, "soft", 0.0, np.random.default_rng(0))
    made = next(small(s).micro for s in (7, 8) if np.array_equal(degrade.with_margin(small(s).micro), source.wide))
    whole = degrade.projected(made.astype(np.float32), degrade.KERNELS["soft"], source.clinical_mm)
    n, y, x = place
    assert np.abs(patch - whole[n - 1 : n + 2, y : y + 16, x : x + 16]).max() < 1.0


def test_unpaired_patches_come_from_the_real_chest_and_from_other_phantoms(small_phantoms, data_dir):
    made = ct_data.CtPatches(str(data_dir), False, batch_size=1, patch=16, cases=2, patches_per_case=40, steps_per_epoch=8, validation=2)
    made.setup()
    batches = list(made.train_dataloader())
    assert all(b["clinical"].shape == (1, 1, 16, 16) and b["micro"].shape == (1, 1, 128, 128) for b in batches)
    whole_hu = [bool((abs(c * 1000 - (c * 1000).round()) < 1e-3).all()) for c in (b["clinical"] for b in batches)]
    assert 0 < sum(whole_hu) < 8  # the real CT is stored in whole HU


def test_what_cannot_be_is_refused(small_phantoms):
    with pytest.raises(ValueError, match="at least 16"):
        ct_data.CtPatches(patch=8)
    with pytest.raises(FileNotFoundError, match="real false"):
        ct_data.CtPatches("nowhere", False, cases=2, patch=16).setup()


def test_the_pseudo_inverse_of_an_acquisition_gives_back_what_was_acquired():
    """A A⁺ y = y, and of all images that A makes y of, A⁺ y has the least energy: adding anything of A's null space adds energy."""
    kernel, mm = degrade.KERNELS["lung"], 0.7
    y = ndimage.gaussian_filter(np.random.default_rng(5).normal(0, 100, (24, 20)), 0.8)
    x = degrade.pseudo_inverse(y, kernel, mm)
    again = degrade.projected(x, kernel, mm)
    assert np.sqrt(np.square(again - y).mean()) < 0.02 * y.std()
    other = np.random.default_rng(6).normal(0, 10, x.shape)
    invisible = other - degrade.pseudo_inverse(degrade.projected(other, kernel, mm), kernel, mm)
    cosine = (x * invisible).sum() / np.linalg.norm(x) / np.linalg.norm(invisible)
    assert abs(cosine) < 0.01
    assert np.linalg.norm(degrade.projected(invisible, kernel, mm)) < 0.05 * np.linalg.norm(degrade.projected(other, kernel, mm))
