"""Networks that match: the loss that makes features alike, and an affine of a network taken from the view that it fits best."""

from __future__ import annotations

import lightning as L
import numpy as np
import pytest
import torch
from slide_textures import a_piece
from test_matching_dense import Brightness, a_case
from torch.utils.data import DataLoader

from training import affine_warps, feature_matching, matching_losses, matching_methods, matching_regression, slide_data


class Phase(Brightness):
    """Knows shifts alone, by phase correlation of scikit-image."""

    def __call__(self, fixed, moving):
        from skimage.registration import phase_cross_correlation

        down, right = phase_cross_correlation(moving[0].mean(0).numpy(), fixed[0].mean(0).numpy())[0] * 2 / fixed.shape[-1]
        return torch.tensor([[[1.0, 0, right], [0, 1, down]]])


@pytest.mark.parametrize("flip", [False, True])
def test_the_view_that_the_affine_fits_best_says_turn_and_flip(flip):
    """A turn by 90 degrees is one of the views; the network adds the shift, to a pixel of 0.4 mm."""
    case = a_case(affine_warps.Parameters(flip, 90.0, (5.2, -9.2), 0.0, 1.0))
    found = matching_regression.by_regression(Phase(), 192)(case)
    assert affine_warps.mirrored(found.affine) == flip
    assert matching_methods.error(found.affine, case) * case.slide.width_mm < 0.6


def test_info_nce_of_what_is_known():
    """All alike: log of the number of candidates. One fixed patch inside that likes its own by ln 3 more than the other: ln(4/3)."""
    inside = torch.tensor([[True, False]])
    assert feature_matching.info_nce(torch.zeros(1, 2, 2), inside).item() == pytest.approx(np.log(2))
    own = torch.tensor([[[np.log(3.0), 0.0], [0.0, 50.0]]])
    assert feature_matching.info_nce(own, inside).item() == pytest.approx(np.log(4 / 3))
    assert feature_matching.info_nce(own, ~inside).item() == pytest.approx(0, abs=1e-6)


def test_patches_lie_at_their_centres_and_are_read_there():
    places = feature_matching.patch_places(4)
    assert places[0].tolist() == [-0.75, -0.75] and places[1].tolist() == [-0.25, -0.75] and places[-1].tolist() == [0.75, 0.75]
    picture = torch.arange(32.0).view(1, 2, 4, 4)
    assert torch.allclose(feature_matching.at_places(picture, places[None])[0].T, picture.flatten(2)[0])


def test_tissue_of_the_grid_covers_the_patches_within_it():
    """Left half of the grid of the loss: the left patches, whose centres lie at least a patch's half from the border."""
    grid = matching_losses.grid_places(20)
    batch = {"inside": (grid[:, 0] < 0)[None]}
    places = feature_matching.patch_places(8)
    assert torch.equal(feature_matching.covered(batch, places)[0], places[:, 0] < 0)


VIT = {"network": "slide_matcher", "arguments": {"size": "compact", "side": 64, "grid": 12}}
CNN = {"network": "place_features", "arguments": {"width": 8}}


def pairs(**ranges):
    """One batch of two pictures of tissue and what the ranges make of them."""
    drawn = affine_warps.Ranges(flip=0.0, **ranges)
    made = slide_data.Pairs([a_piece()], [], {"slide": 1.0}, 2, 2, (4, 0), 192, drawn, 0.0)
    return next(iter(DataLoader(made, batch_size=2, collate_fn=slide_data.collated)))


def test_unlearned_features_are_alike_where_the_truth_says_and_not_beside_it():
    """Shifts of whole patches (6.4 mm) would be found by all; those drawn are of any size, with nothing turned or stretched."""
    module = feature_matching.FeatureMatching(**CNN)
    module.network.dense = Brightness().dense
    alike, inside = module.alike(pairs(rotation_degrees=0.0, shear=0.0, scale=0.0))
    own, beside = (alike.diagonal(shift, 1, 2)[inside[:, : 144 - shift]].mean().item() for shift in (0, 5))
    assert inside.sum() > 20 and own > beside + 0.3


@pytest.mark.parametrize("given", [VIT, CNN])
def test_a_short_run_learns_and_leaves_all_but_the_features_alone(tmp_path, given):
    torch.manual_seed(1)
    module, batch = feature_matching.FeatureMatching(**given, learning_rate=3e-4, warm_up=1), pairs(rotation_degrees=10.0)
    others = {k: p.clone() for k, p in module.network.named_parameters() if not k.startswith("extractors.")}

    def loss():
        with torch.no_grad():
            alike, inside = module.alike(batch)
        return feature_matching.info_nce(alike / 0.07, inside).item()

    before, quiet = loss(), {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    L.Trainer(max_steps=8, accelerator="cpu", default_root_dir=tmp_path, **quiet).fit(module, DataLoader([batch], batch_size=None))
    assert loss() < before - 0.1
    assert all(torch.equal(p, others[k]) for k, p in module.network.named_parameters() if k in others)
