"""Training of the networks that match a slide with MRI: losses, pairs whose truth the pictures themselves show, a short run."""

from __future__ import annotations

from importlib import import_module

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from MedSRLib import networks
from MedSRLib.networks import matching
from slide_textures import NoiseTextures, a_piece
from torch.utils.data import DataLoader

from training import affine_warps, matching_losses, publish, schedule, slide_data, slide_matching, slide_pieces
from training.slide_sources import FIELD_MM

STILL = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def test_grid_distance_of_a_shift_is_its_square():
    places = matching_losses.grid_places(20)
    shifted = matching_losses.carried(STILL + torch.tensor([[0, 0, 0.3], [0, 0, -0.4]]), places)
    assert matching_losses.grid_distance(shifted, matching_losses.carried(STILL, places)).item() == pytest.approx(0.25, rel=1e-5)


def test_grid_distance_of_a_doubling_is_the_mean_square_of_the_grid():
    """|2p − p|² = x² + y²; of 20 even places from −1 to 1 the mean of x² is (n + 1) / (3 (n − 1)) = 21 / 57."""
    places = matching_losses.grid_places(20)
    doubled = matching_losses.carried(STILL * 2, places)
    assert matching_losses.grid_distance(doubled, places[None]).item() == pytest.approx(2 * 21 / 57, rel=1e-5)


def test_squared_differences_are_summed_over_pixels_and_averaged_over_the_batch():
    fixed, moving = torch.zeros(2, 1, 4, 5), torch.full((2, 1, 4, 5), 0.5)
    moving[1] = 0
    assert matching_losses.squared_differences(fixed, moving, STILL.expand(2, 2, 3)).item() == pytest.approx(20 * 0.25 / 2)
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    by_one = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]])  # one pixel of four: the step is read one column earlier
    assert matching_losses.squared_differences(step, step, by_one).item() == pytest.approx(4, abs=1e-4)
    colour = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert matching_losses.squared_differences(torch.zeros(1, 1, 4, 4), colour, STILL).item() == pytest.approx(16 * 0.16, rel=1e-5)


def test_errors_are_shares_of_the_width_inside_the_tissue():
    true, inside = torch.zeros(1, 4, 2), torch.tensor([[True, True, False, False]])
    made = torch.tensor([[[0.03, 0.04], [0.0, 0.05], [9.0, 9.0], [9.0, 9.0]]])
    assert matching_losses.errors(made, true, inside, torch.tensor([1.25])).item() == pytest.approx(0.04)
    assert matching_losses.mirrored(torch.cat([STILL, STILL * torch.tensor([[-1.0], [1.0]])])).tolist() == [False, True]


def pairs(kind, warp_mm=0.0, side=192, length=6):
    image = np.random.default_rng(1).random((400, 420)).astype(np.float32)
    from scipy.ndimage import gaussian_filter

    slices = [gaussian_filter(image, 3) * 8 - 3.5]
    return slide_data.Pairs([a_piece(0), a_piece(1)], slices, {kind: 1.0}, 2, length, (4, 0), side, affine_warps.Ranges(), warp_mm)


@pytest.mark.parametrize("kind", ["cross", "slide", "mri"])
def test_the_stated_map_lays_the_moving_picture_on_the_fixed_one(kind):
    """Warped by θ it is far more like the fixed picture than as it lies; colour is judged by its brightness, MRI by its outline."""
    for index in range(3):
        item = pairs(kind)[index]
        moved = matching.warped(item["moving"][None], matching.affine_positions(item["theta"][None], (192, 192)))[0].mean(0)
        fixed, still = item["fixed"].mean(0), item["moving"].mean(0)
        if kind == "cross":  # contrasts differ: what the slide's tissue covers, against what the truth says is tissue
            inside = item["inside"].view(20, 20).float()
            at = matching_losses.grid_places(20).view(1, 20, 20, 2)
            moved, still = (1 - matching.warped(p[None, None], at)[0, 0] for p in (moved, still))
            fixed = inside
        same, before = (torch.corrcoef(torch.stack([p.flatten(), fixed.flatten()]))[0, 1].item() for p in (moved, still))
        assert same > 0.6 and same > before + 0.1


@pytest.mark.parametrize("kind", ["cross", "slide", "mri"])
def test_without_a_warp_theta_is_the_whole_map_and_with_one_it_is_near(kind):
    places = matching_losses.grid_places(20)
    # Beyond the outermost pixel centres the nearest one counts, half a pixel off.
    inner = (places.abs() < 0.95).all(1)
    for warp_mm, low, high in ((0.0, 0, 1e-3), (1.0, 0.05, 4.0)):
        item = pairs(kind, warp_mm)[1]
        left = (matching_losses.carried(item["theta"][None], places)[0] - item["positions"]).norm(dim=-1)[inner & item["inside"]]
        assert low <= left.mean().item() * FIELD_MM / 2 <= high


def test_a_batch_is_of_one_kind_and_names_its_extractors():
    data = slide_data.Pairs([a_piece()], [], {"cross": 0.5, "slide": 0.5}, 2, 20, (4, 0), 64, affine_warps.Ranges(), 0.0)
    kinds = [batch["kinds"] for batch in DataLoader(data, batch_size=2, collate_fn=slide_data.collated)]
    assert set(kinds) == {("mri", "slide"), ("slide", "slide")}
    with pytest.raises(ValueError, match="unpack"):
        slide_data.collated([data[0], {"kinds": "other"}])


class Tiny(L.LightningDataModule):
    """One batch an epoch of two pairs across modalities."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def train_dataloader(self):
        epoch = schedule.epoch_of(self.trainer, 1)
        data = slide_data.Pairs([a_piece()], [], {"cross": 1.0}, 2, 2, (4, epoch), self.side, affine_warps.Ranges(), 0.5)
        return DataLoader(data, batch_size=2, collate_fn=slide_data.collated)

    val_dataloader = train_dataloader


TINY = {"slide-matching": ({"size": "compact", "side": 64, "grid": 12}, 64), "prosregnet": ({"width": 4, "grid": 11}, 176)}


def fit(name, root, folder, checkpoint=None, steps=5, **changes):
    settings = yaml.safe_load((root / f"training/configs/{name}.yaml").read_text(encoding="utf-8"))["model"]
    arguments, side = TINY[name]
    torch.manual_seed(1)
    module, _, kind = settings["class_path"].rpartition(".")
    model = getattr(import_module(module), kind)(**(settings["init_args"] | {"arguments": arguments, "warm_up": 2} | changes))
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, callbacks=[keep], enable_progress_bar=False, num_sanity_val_steps=0,
        enable_model_summary=False, reload_dataloaders_every_n_epochs=1, check_val_every_n_epoch=5,
    )  # fmt: skip
    trainer.fit(model, Tiny(side), ckpt_path=checkpoint)
    return model, trainer


@pytest.mark.parametrize("name", list(TINY))
def test_five_steps_train_every_part_resume_to_the_same_and_are_published(name, root, tmp_path):
    from safetensors.torch import load_file

    whole, trainer = fit(name, root, tmp_path / "whole")
    figures = trainer.callback_metrics
    assert trainer.global_step == 5 and {"train_grid", "val_error", "val_success", "val_flip"} <= set(figures)
    assert ("train_spline" in figures) == (name == "prosregnet")
    resumed, _ = fit(name, root, tmp_path / "resumed", checkpoint=str(tmp_path / "whole/epoch=2.ckpt"))
    for key, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[key], atol=1e-4), key
    torch.manual_seed(1)
    start = networks.build(whole.hparams.network, **whole.hparams.arguments).state_dict()
    moved = {key.rpartition(".")[0] for key, value in whole.network.state_dict().items() if not torch.equal(value, start[key])}
    assert {"extractors.mri", "extractors.slide"} <= {".".join(part.split(".")[:2]) for part in moved}
    named, arguments = publish.save_weights(tmp_path / "whole/epoch=4.ckpt", tmp_path / "weights.safetensors", half=False)
    module = networks.build(named, **arguments)
    module.load_state_dict(load_file(tmp_path / "weights.safetensors"))


def test_pretrained_extractors_are_loaded_and_stay_where_they_are_frozen(root, tmp_path):
    from safetensors.torch import save_file

    given = networks.build("dino_vit", side=64)
    save_file(given.state_dict(), tmp_path / "mri.safetensors")
    model, _ = fit("slide-matching", root, tmp_path, steps=1, extractors={"mri": str(tmp_path / "mri.safetensors")}, frozen=True)
    loaded = model.network.extractors["mri"].state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in given.state_dict().items())


def test_the_published_loss_stands_behind_its_flag(root, tmp_path):
    _, trainer = fit("slide-matching", root, tmp_path, steps=1, loss="ssd")
    assert trainer.callback_metrics["train_ssd"] > 1 and "train_grid" not in trainer.callback_metrics
    with pytest.raises(ValueError, match='"grid" or "ssd"'):
        slide_matching.SlideMatching(loss="mse")


def test_pairs_are_learned():
    """Thirty steps on the same four pairs bring the grid distance down to a third."""
    torch.manual_seed(0)
    data = pairs("slide", side=64, length=4)
    batch = slide_data.collated([data[k] for k in range(4)])
    model = slide_matching.SlideMatching(arguments={"side": 64})
    optimizer, kept = torch.optim.Adam(model.parameters(), lr=1e-3), []
    for _ in range(30):
        loss = model.judged(model.network(batch["fixed"], batch["moving"], batch["kinds"]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept.append(loss.item())
    assert kept[-1] < kept[0] / 3


def test_pieces_are_made_once_and_validation_has_others(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_pieces, "Textures", lambda root: NoiseTextures())
    data = slide_data.MatchingPairs(root="nowhere", pieces=2, validation=2, side=64, cache=str(tmp_path))
    data.setup()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"slide_piece_1_{seed}.npz" for seed in (0, 1, 900000, 900001)]
    monkeypatch.setattr(slide_pieces, "Textures", None)
    data.setup()
    assert next(iter(data.val_dataloader()))["kinds"] == ("mri", "slide")
    with pytest.raises(ValueError, match="not xray"):
        slide_data.MatchingPairs(root="nowhere", shares={"xray": 1.0}).setup()


def test_real_slides_become_pieces(data_dir, tmp_path):
    pytest.importorskip("openslide")
    (made,) = slide_data.pieces(1, 0, data_dir, tmp_path)
    stained = made.rgb[made.tissue].astype(float).mean(0)
    assert stained[1] < stained[0] and stained[1] < stained[2]  # haematoxylin and eosin both let red and blue through, green least


def test_real_mri_is_pairs(data_dir):
    slices = slide_data.mri_slices("mri_validation", data_dir)
    assert len(slices) == 20 and slices[0].shape == (500, 500)  # ProstateX-0218: 20 slices, 320 × 0.625 mm = 200 mm of 0.4 mm
