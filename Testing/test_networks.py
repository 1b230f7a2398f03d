"""Architectures: shapes and sizes as published, exact ends, any size, and slices made through the task's own function."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

torch = pytest.importorskip("torch")

from MedSRLib import networks  # noqa: E402
from MedSRLib.tasks import slices_learned  # noqa: E402


@pytest.fixture(autouse=True)
def two_threads():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def a_refiner():
    module = networks.build("slice_refiner", features=8, width=8, compare=True).eval()
    for layer in (module.heads, module.flow_head):  # they begin at zero: give them something to say
        torch.nn.init.normal_(layer.weight, std=0.05)
    return module


def blobs(count, h=40, w=56):
    noise = np.random.default_rng(5).normal(size=(h, w))
    first = gaussian_filter(noise, 3)
    first = (first / first.std()).astype(np.float32)
    return np.stack([shift(first, (k, -0.5 * k), order=1, mode="nearest") for k in range(count)])


def test_the_published_autoencoder_has_the_published_layers():
    module = networks.build("slice_autoencoder")
    widths = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 16)]
    back = [(16, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64), (64, 32), (32, 32), (32, 32), (32, 1)]
    found = [(m.in_channels, m.out_channels) for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    assert found == widths + back
    expected = sum(9 * i * o + o for i, o in widths + back) + 2 * 2 * (32 + 64 + 128 + 256)
    assert sum(p.numel() for p in module.parameters()) == expected
    assert module.encode(torch.zeros(1, 1, 128, 128)).shape == (1, 16, 8, 8)  # 1,024 numbers for 16,384 pixels


def test_the_authors_later_form_pools_twice():
    module = networks.build("slice_autoencoder", poolings=2, latent=128).eval()
    assert module.encode(torch.zeros(1, 1, 128, 128)).shape == (1, 128, 32, 32)


def test_the_autoencoder_decodes_the_convex_combination_of_two_codes():
    module = networks.build("slice_autoencoder", kernels=4).eval()
    a, b, flow = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32), torch.zeros(1, 2, 32, 32)
    made = module(a, b, flow, flow, torch.tensor([0.3])).value
    assert torch.allclose(made, module.decoder(0.7 * module.encode(a) + 0.3 * module.encode(b)), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (33, 47), (64, 64)])
@pytest.mark.parametrize("name", networks.NAMES)
def test_any_in_plane_size_is_accepted(name, shape):
    module = networks.build(name, **({"kernels": 4} if name == "slice_autoencoder" else {"features": 8, "width": 8})).eval()
    slices = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    made = slices_learned.synthesise(slices, np.array([0.0, 4.0]), np.array([1.0, 2.0]), module)
    assert made.values.shape == made.expected_error.shape == (2, *shape)
    assert np.isfinite(made.values).all() and (made.expected_error >= 0).all()


def test_the_refiner_returns_the_acquired_slices_themselves_at_the_ends(a_refiner):
    a, b, flow = torch.rand(1, 1, 33, 47), torch.rand(1, 1, 33, 47), torch.randn(1, 2, 33, 47)
    features = a_refiner.encode(torch.cat([a, b])).chunk(2)
    made = a_refiner.at(a_refiner.pair(a, b, *features, flow, flow), torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(made.value[0], a[0]) and torch.equal(made.value[2], b[0])
    assert not made.expected_error[[0, 2]].any() and (made.expected_error[1] > 0).all()
    assert not torch.allclose(made.value[1], (a[0] + b[0]) / 2, atol=1e-3)


def test_one_pair_for_many_alphas_is_the_same_as_one_by_one(a_refiner):
    a, b, flow = torch.rand(1, 1, 32, 40), torch.rand(1, 1, 32, 40), torch.randn(1, 2, 32, 40)
    alphas = torch.tensor([0.2, 0.7])
    features = a_refiner.encode(torch.cat([a, b])).chunk(2)
    together = a_refiner.at(a_refiner.pair(a, b, *features, flow, flow), alphas).value
    for k, alpha in enumerate(alphas):
        assert torch.allclose(together[k], a_refiner(a, b, flow, flow, alpha[None]).value[0], atol=1e-5)


def test_other_units_give_the_same_slices_in_those_units_and_nothing_is_clamped(a_refiner):
    slices, positions, targets = blobs(4), np.arange(4) * 5.0, np.array([2.5, 6.0, 14.0])
    slices[1, 10, 10] = 50.0  # far outside the percentiles
    made = slices_learned.synthesise(slices, positions, targets, a_refiner)
    other = slices_learned.synthesise(slices * 1000 - 500, positions, targets, a_refiner)
    assert np.abs((other.values + 500) / 1000 - made.values).mean() < 2e-3 * made.values.std()
    assert np.allclose(other.expected_error.mean() / 1000, made.expected_error.mean(), rtol=0.01)
    assert made.values.max() > 5


def test_turns_carry_images_and_flows_together():
    from MedSRLib import motion

    a, b = blobs(2)
    flow = motion.flow_between(a, b)
    aligned = motion.warp(b, flow)
    for turn in slices_learned.TURNS:
        turned = slices_learned._turned_flow(flow, turn).transpose(1, 2, 0)
        again = motion.warp(np.ascontiguousarray(slices_learned._turned(b, turn)), turned)
        assert np.abs(slices_learned._turned_back(again, turn) - aligned)[8:-8, 8:-8].max() < 0.05 * aligned.std()


def test_self_ensemble_is_the_same_for_a_mirrored_volume(a_refiner):
    slices, positions = blobs(2, 48, 48), np.array([0.0, 10.0])
    made = slices_learned.synthesise(slices, positions, np.array([5.0]), a_refiner, self_ensemble=True).values
    mirrored = slices_learned.synthesise(slices[:, :, ::-1].copy(), positions, np.array([5.0]), a_refiner, self_ensemble=True).values
    assert np.abs(mirrored[:, :, ::-1] - made).mean() < 0.02 * made.std()


def test_running_the_network_at_anchors_changes_next_to_nothing_for_a_shipped_model():
    from MedSRLib import models

    module = models.build("slice-refiner")
    slices, at = blobs(5, 64, 64)[::4], np.array([1.0, 2.0, 3.0])
    quick = slices_learned.synthesise(slices, np.array([0.0, 4.0]), at, module).values
    module.training = True  # in training the network runs at each alpha
    full = slices_learned.synthesise(slices, np.array([0.0, 4.0]), at, module).values
    assert np.array_equal(quick[1], full[1])
    assert np.abs(quick - full).mean() < 0.01 * slices.std()


def test_pairs_made_side_by_side_are_the_same_to_the_bit(a_refiner):
    """Whatever the number of threads that torch may use; and it may use as many afterwards."""
    slices = np.stack([*blobs(2), *blobs(2)[::-1], *blobs(2)]).astype(np.float32)
    positions, targets = np.arange(6.0) * 4, np.arange(1.0, 20.0)
    alone = slices_learned.synthesise(slices, positions, targets, a_refiner)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        with slices_learned._lanes("cpu", 99) as (lanes, _):
            assert lanes == threads
        beside = slices_learned.synthesise(slices, positions, targets, a_refiner)
        assert np.array_equal(alone.values, beside.values) and np.array_equal(alone.expected_error, beside.expected_error)
        assert torch.get_num_threads() == threads
    with slices_learned._lanes("cuda", 99) as (lanes, _):
        assert lanes == 1
