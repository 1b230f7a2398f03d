"""Networks that match a slide with MRI: sizes and shapes as published, equations against loops and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from MedSRLib import networks
from MedSRLib.networks import dino_vit, matching, prosregnet


def vit_parameters(width: int, depth: int, places: int) -> int:
    """Counted by hand: patches 16 × 16 × 3, class token and positions, 12 width² + 13 width a block, the last norm."""
    return (16 * 16 * 3 + 1) * width + (places**2 + 2) * width + depth * (12 * width**2 + 13 * width) + 2 * width


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "published"), [("small", 21_665_664), ("tiny", 5_524_416), ("compact", vit_parameters(192, 6, 14))]
)  # the first two: DINO's S/16 ("21 M") and DeiT's Ti/16, without heads
def test_vision_transformers_have_the_published_number_of_parameters(size, published):
    assert count(networks.build("dino_vit", size=size)) == published == vit_parameters(*dino_vit.SIZES[size][:2], 14)


def test_small_is_384_numbers_12_blocks_6_heads_and_compact_fits_12_mb():
    small = networks.build("dino_vit", size="small")
    assert (small.width, len(small.blocks), small.blocks[0].attn.heads) == (384, 12, 6)
    assert 4 * count(networks.build("dino_vit")) <= 12_000_000


def test_dense_features_lie_where_their_patches_lie():
    """With nothing but the patch embedding, the token at row 2, column 1 is that of the pixels of that patch, standardised."""
    network = networks.build("dino_vit").eval()
    network.blocks, network.norm = torch.nn.ModuleList(), torch.nn.Identity()
    torch.nn.init.zeros_(network.pos_embed)
    image = torch.rand(2, 3, 64, 48)
    dense = network.dense(image)
    assert dense.shape == (2, 192, 4, 3)
    patch = (image[1, :, 32:48, 16:32] - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    by_hand = (network.patch_embed.proj.weight * patch).sum((1, 2, 3)) + network.patch_embed.proj.bias
    assert torch.allclose(dense[1, :, 2, 1], by_hand, atol=1e-4)


def test_attention_is_the_softmax_of_scaled_products():
    attention = dino_vit.Attention(8, 2)
    x = torch.randn(1, 5, 8)
    q, k, v = (part.view(5, 2, 4) for part in (x[0] @ attention.qkv.weight.T + attention.qkv.bias).split(8, 1))
    out = torch.empty(5, 2, 4)
    for head in range(2):
        weights = (q[:, head] @ k[:, head].T / math.sqrt(4)).softmax(1)
        out[:, head] = weights @ v[:, head]
    by_hand = out.reshape(5, 8) @ attention.proj.weight.T + attention.proj.bias
    assert torch.allclose(attention(x)[0], by_hand, atol=1e-5)


def test_positions_are_interpolated_to_other_sizes_and_kept_at_their_own():
    network = networks.build("dino_vit", side=64)
    with torch.no_grad():  # a ramp from the left to the right
        network.pos_embed[:, 1:] = torch.arange(4.0).repeat(4)[None, :, None]
    assert network.positions(4, 4) is network.pos_embed
    wider = network.positions(4, 8)[0, 1:, 0].view(4, 8)
    assert torch.allclose(wider[:, 2] + wider[:, 5], torch.full((4,), 3.0), atol=1e-5)
    assert torch.allclose(wider[:, 5] - wider[:, 2], torch.full((4,), 1.5), atol=0.2)


def test_one_channel_is_the_same_as_three_equal_ones_and_other_pictures_are_refused():
    network = networks.build("dino_vit").eval()
    grey = torch.rand(1, 1, 32, 32)
    assert torch.equal(network(grey), network(grey.repeat(1, 3, 1, 1)))
    for shape in ((1, 3, 40, 32), (1, 2, 32, 32)):
        with pytest.raises(ValueError, match="multiples of 16"):
            network(torch.rand(shape))
    with pytest.raises(ValueError, match="size must be one of"):
        networks.build("dino_vit", size="huge")


def test_the_names_of_the_parameters_are_those_of_the_published_weights():
    names = set(networks.build("dino_vit", size="small").state_dict())
    block = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    expected = {f"blocks.{k}.{part}.{kind}" for k in range(12) for part in block for kind in ("weight", "bias")}
    expected |= {"cls_token", "pos_embed", "norm.weight", "norm.bias", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert names == expected


def test_the_head_gives_cosines_with_its_rows():
    head = dino_vit.DinoHead(6, outputs=9, hidden=8, bottleneck=4)
    x = torch.randn(3, 6)
    inner = head.mlp(x)
    cosines = torch.tensor([[(a @ b / a.norm() / b.norm()).item() for b in head.last] for a in inner])
    assert torch.allclose(head(x), cosines, atol=1e-5)


def test_the_correlation_is_eq_1():
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 5, 3, 4).unbind(0)
    made, h, w = matching.correlation(a, b), 3, 4
    for i in range(h):
        for j in range(w):
            for i_k in range(1, h + 1):
                for j_k in range(1, w + 1):
                    k = h * (j_k - 1) + i_k
                    assert made[0, k - 1, i, j].item() == pytest.approx(float(b[0, :, i, j] @ a[0, :, i_k - 1, j_k - 1]), abs=1e-5)


def test_correlations_are_positive_with_length_one_over_their_candidates():
    made = matching.normalised(torch.tensor([3.0, -7.0, 4.0]).view(1, 3, 1, 1))
    assert torch.allclose(made.flatten(), torch.tensor([0.6, 0.0, 0.8]))


@pytest.mark.parametrize(("name", "side"), [("slide_matcher", 256), ("prosregnet", 240)])
def test_matchers_begin_at_the_identity_for_any_pictures(name, side):
    network = networks.build(name).eval()
    fixed, moving = torch.rand(2, 1, side, side), torch.rand(2, 3, side, side)
    assert torch.equal(network(fixed, moving), torch.tensor(matching.IDENTITY).view(1, 2, 3).expand(2, 2, 3))
    grid = network.grid
    correlations = network.correlations(fixed, moving)
    assert correlations.shape == (2, grid**2, grid, grid)
    assert torch.allclose(correlations.square().sum(1), torch.ones(2, grid, grid), atol=1e-4)


def test_each_modality_has_its_own_extractor_and_pairs_of_one_share_it():
    network = networks.build("slide_matcher").eval()
    picture = torch.rand(1, 3, 64, 64)
    assert not torch.allclose(network.dense(picture, "mri"), network.dense(picture, "slide"), atol=1e-3)
    same = network.correlations(picture, picture, ("slide", "slide"))
    own = same[0].view(12, 12, 12, 12).permute(1, 0, 2, 3)  # k runs column after column: [i_k, j_k, i, j]
    diagonal = torch.einsum("ijij->ij", own)
    assert (diagonal >= own.amax((0, 1)) - 1e-5).all()


def test_published_sizes_of_the_regression():
    """Convolution 7 × 7 from 225 to 128 channels, 5 × 5 to 64, then 64 · 5 · 5 → 6, as ProsRegNet's 15 × 15 grid gives."""
    regression = networks.build("prosregnet").affine
    shapes = [tuple(p.shape) for p in regression.parameters() if p.dim() > 1]
    assert shapes == [(128, 225, 7, 7), (64, 128, 5, 5), (6, 64 * 25)]
    with pytest.raises(ValueError, match="at least 11"):
        matching.Regression(10, torch.zeros(6))


def test_prosregnets_spline_has_36_points_and_begins_where_they_are():
    network = networks.build("prosregnet", width=4).eval()
    theta, moved = network.both(torch.rand(1, 1, 240, 240), torch.rand(1, 3, 240, 240))
    assert moved.shape == (1, 36, 2) and torch.equal(moved[0], matching.control_points())
    theta = torch.tensor([[[0.0, -2.0, 0.5], [1.0, 0.0, 0.25]]])
    places = torch.tensor([[0.5, 0.25]])
    assert torch.allclose(network.positions(theta, moved, places), torch.tensor([[[0.0, 0.75]]]), atol=1e-4)
    with pytest.raises(ValueError, match="240 × 240"):
        network(torch.rand(1, 1, 256, 256), torch.rand(1, 3, 256, 256))
    assert prosregnet.CONTROL**2 * 2 == network.spline.linear.out_features == 72


def test_a_thin_plate_spline_goes_through_its_points_and_keeps_affine_maps():
    torch.manual_seed(1)
    points = matching.control_points()
    moved = points + 0.1 * torch.randn(1, 36, 2)
    assert torch.allclose(matching.thin_plate(points, moved, points), moved, atol=1e-4)
    affine = torch.tensor([[0.9, 0.2], [-0.3, 1.1]])
    places = torch.rand(50, 2) * 2 - 1
    by_affine = matching.thin_plate(points, (points @ affine.T + 0.1)[None], places)
    assert torch.allclose(by_affine[0], places @ affine.T + 0.1, atol=1e-4)


def test_the_spline_is_that_of_scipy():
    """SciPy's own thin-plate spline, on points that nothing here chose."""
    from scipy.interpolate import RBFInterpolator

    torch.manual_seed(2)
    points, places = torch.rand(20, 2, dtype=torch.float64), torch.rand(40, 2, dtype=torch.float64)
    moved = torch.rand(20, 2, dtype=torch.float64)
    theirs = RBFInterpolator(points.numpy(), moved.numpy(), kernel="thin_plate_spline")(places.numpy())
    assert torch.allclose(matching.thin_plate(points, moved[None], places)[0], torch.from_numpy(theirs), atol=1e-6)


def test_warping_reads_pixel_centres():
    """A picture whose value is its own column, shifted by one pixel of 8: 2 / 8 of the width from −1 to 1."""
    picture = torch.arange(8.0).expand(1, 1, 8, 8)
    theta = torch.tensor([[[1.0, 0.0, 2 / 8], [0.0, 1.0, 0.0]]])
    made = matching.warped(picture, matching.affine_positions(theta, (8, 8)))
    assert torch.allclose(made[0, 0, 3, :7], torch.arange(1.0, 8.0), atol=1e-5)
