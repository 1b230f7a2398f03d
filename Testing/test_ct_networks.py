"""Clinical CT to micro-CT: sizes as published, the contract of the network in use, shared codes, exact means."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from MedSRLib import networks  # noqa: E402
from MedSRLib.networks import ct_super_resolver, scales  # noqa: E402

SMALL = {name: {"width": 8, "depth": 1} for name in networks.CT_NAMES}
LARGEST_SHIPPED = 3_000_000
"""Parameters: 12 MB of float32."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def count(module):
    return sum(p.numel() for p in module.parameters())


def convolutions(module):
    return [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in module.modules() if isinstance(m, torch.nn.Conv2d)]


@pytest.mark.parametrize("name", networks.CT_NAMES)
def test_the_default_enlarges_a_clinical_patch_to_micro_ct_and_is_small_enough_to_ship(name):
    module = networks.build(name).eval()
    with torch.inference_mode():
        made = module(torch.rand(1, 1, 32, 32))
    assert made.shape == (1, 1, 256, 256) and made.isfinite().all()
    assert (module.factor, module.slices, module.enlarged_input) == (8, 1, name in ("cyclegan", "unit"))
    assert count(module) <= LARGEST_SHIPPED


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 13)])
@pytest.mark.parametrize("name", networks.CT_NAMES)
def test_any_size_and_neighbouring_slices_are_accepted(name, shape):
    module = networks.build(name, slices=3, **SMALL[name]).eval()
    with torch.inference_mode():
        made = module(torch.rand(2, 3, *shape))
    assert made.shape == (2, 1, 8 * shape[0], 8 * shape[1]) and made.isfinite().all()
    assert module.slices == 3


@pytest.mark.parametrize("name", networks.CT_NAMES)
@pytest.mark.parametrize("slices", [0, 2])
def test_slices_without_a_middle_are_refused(name, slices):
    with pytest.raises(ValueError, match="odd"):
        networks.build(name, slices=slices)


def test_unknown_names_and_settings_are_refused():
    for name in ("sr_gan", "ct_super_resolver"):
        with pytest.raises(KeyError):
            networks.generators(name)
    with pytest.raises(KeyError):
        networks.build("sr_gan")
    with pytest.raises(ValueError, match="norm"):
        networks.build("cyclegan", norm="batch")
    with pytest.raises(ValueError, match="multiple of 8"):
        networks.build("sr_unit", width=12)
    with pytest.raises(ValueError, match="skip"):
        networks.build("ct_super_resolver", skip="lanczos")


@pytest.mark.parametrize(("name", "side"), [("sr_cyclegan", 4), ("sr_unit", 4), ("cyclegan", 32), ("unit", 32)])
def test_the_way_back_gives_an_eighth_or_keeps_the_size_where_the_original_does(name, side):
    forward, back = networks.generators(name, slices=3, **SMALL[name])
    step = back.translate if hasattr(back, "translate") else back
    assert step(torch.rand(2, 1, 32, 32)).shape == (2, 3, side, side)
    assert forward.domain(torch.rand(2, 3, 4, 4)).shape == (2, 3, side, side)


def test_cyclegan_has_the_published_layers():
    found = convolutions(networks.build("cyclegan", width=256, depth=9))
    assert found == [(1, 64, 7), (64, 128, 3), (128, 256, 3), *[(256, 256, 3)] * 18, (256, 128, 3), (128, 64, 3), (64, 1, 7)]


def test_the_super_resolving_form_moves_the_scale_and_keeps_the_layers():
    forward, back = networks.generators("sr_cyclegan", width=256, depth=9)
    body = [(256, 256, 3)] * 18
    assert convolutions(forward) == [(1, 256, 7), *body, (256, 128, 3), (128, 64, 3), (64, 32, 3), (32, 1, 7)]
    assert convolutions(back) == [(1, 32, 7), (32, 64, 3), (64, 128, 3), (128, 256, 3), *body, (256, 1, 7)]


@pytest.mark.parametrize(("name", "ends"), [("unit", [(1, 64, 7), (64, 128, 3), (128, 256, 3)]), ("sr_unit", [(1, 256, 7)])])
def test_unit_has_the_published_blocks(name, ends):
    forward, _ = networks.generators(name, width=256, depth=3)
    assert convolutions(forward.encoder) == [*ends, *[(256, 256, 3)] * 6]
    assert convolutions(forward.shared.encoder) == convolutions(forward.shared.decoder) == [(256, 256, 3)] * 2


@pytest.mark.parametrize("name", ["unit", "sr_unit"])
def test_both_paths_hold_the_very_same_latent_layers_and_nothing_else_in_common(name):
    forward, back = networks.generators(name, **SMALL[name])
    common = {id(p) for p in forward.parameters()} & {id(p) for p in back.parameters()}
    assert common == {id(p) for p in forward.shared.parameters()} == {id(p) for p in back.shared.parameters()} != set()
    with torch.no_grad():
        next(back.shared.encoder.parameters()).add_(1)
    assert torch.equal(next(forward.shared.encoder.parameters()), next(back.shared.encoder.parameters()))


@pytest.mark.parametrize("name", ["unit", "sr_unit"])
def test_both_domains_have_codes_of_one_shape(name):
    forward, back = networks.generators(name, **SMALL[name])
    codes = forward.encode(forward.domain(torch.rand(1, 1, 4, 4))), back.encode(torch.rand(1, 1, 32, 32))
    assert codes[0].shape == codes[1].shape


def test_without_instance_normalisation_a_pixel_far_away_changes_nothing():
    image = torch.rand(1, 1, 32, 32)
    other = image.clone()
    other[..., -1, -1] += 5
    for norm, same in (("none", True), ("instance", False)):
        module = networks.build("sr_cyclegan", width=8, depth=1, norm=norm).eval()
        assert torch.allclose(module(image)[..., :64, :64], module(other)[..., :64, :64], atol=1e-7) == same


def test_the_discriminator_judges_the_published_patches():
    """70 pixels with three halvings, 34 with two: the inputs that one answer depends on, found by its gradient."""
    for halvings, patch in ((3, 70), (2, 34)):
        module = networks.build("patch_discriminator", width=4, halvings=halvings)
        layers = [m for m in module.layers if not isinstance(m, torch.nn.InstanceNorm2d)]  # it looks at the whole image
        image = torch.rand(1, 1, 128, 128, requires_grad=True)
        answer = torch.nn.Sequential(*layers)(image)
        answer[0, 0, answer.shape[2] // 2, answer.shape[3] // 2].backward()
        rows = image.grad[0, 0].abs().sum(1).nonzero()
        assert int(rows.max() - rows.min()) + 1 == patch
    assert convolutions(networks.build("patch_discriminator", width=64)) == [
        (1, 64, 4), (64, 128, 4), (128, 256, 4), (256, 512, 4), (512, 1, 4),
    ]  # fmt: skip


def test_averaging_and_enlarging_are_numpys():
    image = torch.rand(2, 3, 4, 5)
    assert np.array_equal(scales.nearest(image).numpy(), np.kron(image.numpy(), np.ones((8, 8), np.float32)))
    fine = torch.rand(1, 1, 16, 24)
    assert np.allclose(scales.average(fine)[0, 0].numpy(), fine[0, 0].numpy().reshape(2, 8, 3, 8).mean((1, 3)), atol=1e-6)
    ramp = torch.arange(12.0).expand(1, 1, 12, 12)
    where = (np.arange(96) + 0.5) / 8 - 0.5  # pixel areas aligned: fine pixel centres in coarse pixels
    assert np.allclose(scales.bicubic(ramp)[0, 0, 50, 24:-24].numpy(), where[24:-24], atol=1e-4)


@pytest.fixture
def a_resolver():
    def made(**arguments):
        module = networks.build("ct_super_resolver", width=16, depth=1, **arguments).eval()
        torch.nn.init.normal_(module.value_head.weight, std=0.1)  # it begins at zero: give it something to say
        return module

    return made


@pytest.mark.parametrize("skip", ["bicubic", "nearest"])
@pytest.mark.parametrize("slices", [1, 3])
def test_the_consistency_layer_gives_back_the_input_when_averaged(a_resolver, skip, slices):
    clinical = torch.rand(2, slices, 9, 7) * 1.4
    middle = clinical[:, slices // 2 : slices // 2 + 1]
    for consistency, atol in ((True, 2e-6), (False, None)):
        made = a_resolver(slices=slices, skip=skip, consistency=consistency)(clinical)
        means = made.reshape(2, 1, 9, 8, 7, 8).mean((3, 5))
        assert torch.allclose(means, middle, atol=atol or 1e-3) == consistency
        assert (made - middle.repeat_interleave(8, 2).repeat_interleave(8, 3)).std() > 0.01  # and it still says something


def test_untrained_it_returns_the_enlarged_middle_slice():
    clinical = torch.rand(1, 3, 6, 6)
    for skip, enlarge in (("bicubic", scales.bicubic), ("nearest", scales.nearest)):
        made = networks.build("ct_super_resolver", slices=3, width=16, depth=1, skip=skip).with_error(clinical)
        assert torch.equal(made.value, enlarge(clinical[:, 1:2]))
        assert made.expected_error.shape == made.value.shape and (made.expected_error > 0).all()


def test_the_expected_error_learns_without_pulling_at_the_result(a_resolver):
    module = a_resolver()
    module.with_error(torch.rand(1, 1, 6, 6)).expected_error.sum().backward()
    moved = {name.split(".")[0] for name, p in module.named_parameters() if p.grad is not None}
    assert moved == {"error_head"}


def test_channel_attention_is_a_choice(a_resolver):
    plain, attending = a_resolver(), a_resolver(attention=True)
    assert count(attending) - count(plain) == (16 * 2 + 2) + (2 * 16 + 16)
    assert attending(torch.rand(1, 1, 5, 4)).shape == (1, 1, 40, 32)


def test_bicubic_enlarging_is_pillows():
    from PIL import Image

    image = torch.rand(6, 7)
    theirs = np.asarray(Image.fromarray(image.numpy()).resize((56, 48), Image.Resampling.BICUBIC))
    assert np.allclose(scales.bicubic(image[None, None])[0, 0].numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("tail", [(12,), (12, 8), (12, 8, 6)])
def test_a_shorter_tail_gives_the_same_size_and_begins_with_the_enlarged_image(tail):
    module = networks.build("ct_super_resolver", width=8, depth=1, tail=tail)
    clinical = torch.rand(1, 1, 9, 12)
    made = module.with_error(clinical)
    assert made.value.shape == made.expected_error.shape == (1, 1, 72, 96)
    assert torch.equal(made.value, scales.bicubic(clinical))
    with pytest.raises(ValueError, match="one to three"):
        networks.build("ct_super_resolver", tail=())


def test_with_a_skip_both_generators_correct_what_needs_no_learning():
    """What the layers make is added to the bicubic enlargement of the middle slice, or to the mean by 8 of every slice."""
    torch.manual_seed(0)
    clinical, micro = torch.rand(1, 3, 16, 16), torch.rand(1, 1, 128, 128)
    enlarge, reduce = networks.generators("sr_cyclegan", width=16, depth=1, slices=3, skip=True)
    plain, mean = scales.bicubic(clinical[:, 1:2]), torch.nn.functional.avg_pool2d(micro, 8)
    made = enlarge(clinical), reduce(micro)
    assert torch.allclose(made[0] - enlarge.layers(clinical), plain, atol=1e-6)
    assert torch.allclose(made[1] - reduce.layers(micro), mean.expand(-1, 3, -1, -1), atol=1e-6)


def test_held_means_come_back_to_the_input_by_their_share_and_low_frequencies_wholly():
    """A flat departure of 0.1 is undone whatever the share; an alternating one by the share of what bicubic keeps."""
    measured = torch.rand(1, 1, 24, 24)
    exact = ct_super_resolver.consistent(scales.bicubic(measured), measured)
    for share in (0.0, 0.7):
        flat = ct_super_resolver.held(exact + 0.1, measured, share)
        assert torch.allclose(flat, exact, atol=1e-5)
    stripes = 0.1 * (-1.0) ** torch.arange(24).expand(1, 1, 24, 24)
    inner = (..., slice(10, 14), slice(10, 14))
    kept = scales.average(scales.bicubic(stripes))[inner].std() / stripes[inner].std()
    for share in (0.0, 0.7):
        made = ct_super_resolver.held(exact + scales.nearest(stripes), measured, share)
        left = (scales.average(made) - measured)[inner].std() / stripes[inner].std()
        assert left.item() == pytest.approx(1 - share * kept.item(), abs=0.01)
    with pytest.raises(ValueError, match="hold"):
        networks.build("ct_super_resolver", width=8, depth=1, hold=1.5)
