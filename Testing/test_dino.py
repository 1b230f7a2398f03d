"""DINO: its losses against closed forms, its teacher, crops, and a short run that resumes and is published."""

from __future__ import annotations

import math
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from MedSRLib import networks
from torch.utils.data import DataLoader

from training import augment, dino, dino_data, publish, schedule


def test_the_loss_is_the_cross_entropy_of_centred_sharpened_answers():
    """Teacher 3 : 1 at τ 0.05 after the centre is taken away, student 1 : 4 at τ 0.1."""
    centre = torch.tensor([0.5, -0.2])
    taught = 0.05 * torch.tensor([[math.log(3), 0.0]]) + centre
    learned = 0.1 * torch.tensor([[0.0, math.log(4)]])
    expected = -(0.75 * math.log(0.2) + 0.25 * math.log(0.8))
    assert dino.cross_entropy(taught, learned, centre, 0.05, 0.1).item() == pytest.approx(expected, rel=1e-5)


def test_no_crop_is_compared_with_itself_and_all_others_count_alike():
    """Two large crops and one small: 2 · 2 pairs. Teachers sure of answer 0 make each term −log Q of it."""
    sure = torch.tensor([[[10.0, 0.0]]]).repeat(2, 1, 1)
    shares = [0.5, 0.25, 0.125]
    learned = torch.stack([torch.tensor([[math.log(q / (1 - q)), 0.0]]) for q in shares]).float()
    terms = [-math.log(q) for q in shares]
    expected = (terms[1] + terms[2] + terms[0] + terms[2]) / 4
    assert dino.distillation(sure, learned, torch.zeros(2), 0.1, 1.0).item() == pytest.approx(expected, rel=1e-4)


def test_the_centre_and_the_teacher_are_moving_averages():
    taught = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
    assert torch.allclose(dino.moved_centre(torch.tensor([10.0, 0.0]), taught, 0.9), torch.tensor([9.2, 0.4]))
    teacher, student = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    for module, value in ((teacher, 1.0), (student, 5.0)):
        torch.nn.init.constant_(module.weight, value)
    dino.follow(teacher, student, 0.996)
    assert teacher.weight.item() == pytest.approx(1.016)


def test_cosines_begin_end_and_are_half_way_in_the_middle():
    assert [dino.cosine(0.996, 1.0, s) for s in (0, 0.5, 1, 2)] == pytest.approx([0.996, 0.998, 1, 1])


def test_spread_tells_different_features_from_equal_ones():
    assert dino.spread(torch.ones(3, 4)).item() == pytest.approx(0, abs=1e-6)
    assert dino.spread(torch.eye(3)).item() == pytest.approx(1)


class Crops(L.LightningDataModule):
    """One batch an epoch, other for each epoch."""

    def train_dataloader(self):
        generator = torch.Generator().manual_seed(schedule.epoch_of(self.trainer, 1))
        rows = [{"large": torch.rand(2, 1, 32, 32, generator=generator), "small": torch.rand(2, 1, 16, 16, generator=generator)}]
        return DataLoader(rows * 2, batch_size=2)  # type: ignore[arg-type]


def fit(root, folder, checkpoint=None, name="dino-mri", steps=5):
    settings = yaml.safe_load((root / f"training/configs/{name}.yaml").read_text(encoding="utf-8"))["model"]["init_args"]
    torch.manual_seed(3)
    model = dino.Dino(**(settings | {"head": {"outputs": 12, "hidden": 8, "bottleneck": 4}, "warm_up": 2, "frozen": 2}))
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, callbacks=[keep], gradient_clip_val=3.0,
        enable_progress_bar=False, enable_model_summary=False, reload_dataloaders_every_n_epochs=1,
    )  # fmt: skip
    trainer.fit(model, Crops(), ckpt_path=checkpoint)
    return model, trainer


def test_five_steps_train_resume_to_the_same_and_publish_the_teacher(root, tmp_path):
    whole, trainer = fit(root, tmp_path / "whole")
    assert trainer.global_step == 5 and whole.centre.abs().sum() > 0
    resumed, _ = fit(root, tmp_path / "resumed", checkpoint=str(tmp_path / "whole/epoch=2.ckpt"))
    for key, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[key], atol=1e-5), key
    named, arguments = publish.save_weights(tmp_path / "whole/epoch=4.ckpt", tmp_path / "weights.safetensors", half=True)
    assert (tmp_path / "weights.safetensors").stat().st_size <= 12_000_000
    from safetensors.torch import load_file

    module = networks.build(named, **arguments)
    module.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.allclose(module.blocks[0].attn.qkv.weight, whole.network.blocks[0].attn.qkv.weight, atol=1e-3)
    assert not torch.equal(whole.network.norm.weight, whole.student.norm.weight)


def test_the_student_learns_the_teacher_follows_and_the_last_layer_waits(root, tmp_path):
    torch.manual_seed(3)
    before, _ = fit(root, tmp_path / "none", steps=1)
    after, _ = fit(root, tmp_path / "more", steps=3)
    assert torch.equal(before.student_head.last, before.teacher_head.last)
    assert not torch.equal(after.student_head.last, after.teacher_head.last)
    assert not any(p.requires_grad for p in after.network.parameters())
    moved = [(a - b).abs().max().item() for a, b in zip(after.network.parameters(), before.network.parameters(), strict=True)]
    ahead = [(a - b).abs().max().item() for a, b in zip(after.student.parameters(), before.student.parameters(), strict=True)]
    assert 0 < max(moved) < max(ahead)


def test_published_checkpoints_load_teacher_first(tmp_path):
    network = networks.build("dino_vit")
    state = {f"module.backbone.{k}": v for k, v in network.state_dict().items()} | {"module.head.mlp.0.weight": torch.zeros(1)}
    torch.save({"teacher": state, "student": {}}, tmp_path / "theirs.pth")
    begun = dino.Dino(head={"outputs": 4, "hidden": 4, "bottleneck": 4}, initial=str(tmp_path / "theirs.pth"))
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in begun.network.state_dict().items())


def test_a_window_shows_the_square_that_it_names():
    """Columns count from 0: a square of 8 pixels around column 19.5, at 8 pixels out, begins at column 16."""
    ramp = np.tile(np.arange(40, dtype=np.float32), (40, 1))
    made = augment.window(ramp, np.array([19.5, 19.5]), 8, 8, 0)
    assert np.allclose(made[0], np.arange(16, 24))
    assert np.allclose(augment.window(ramp, np.array([19.5, 19.5]), 8, 8, 4)[0], np.arange(23, 15, -1))
    half = augment.window(ramp, np.array([19.5, 19.5]), 16, 8, 0)
    assert np.allclose(half[0], np.arange(12.5, 28, 2), atol=1e-3)


def test_crops_have_their_sizes_follow_from_their_seed_and_stay_inside_the_patch():
    image = np.random.default_rng(0).random((300, 280)).astype(np.float32)
    data = dino_data.Crops([image], "mri", 4, (1, 0), (64, 32), 3)
    first, again = data[2], dino_data.Crops([image], "mri", 4, (1, 0), (64, 32), 3)[2]
    assert first["large"].shape == (2, 1, 64, 64) and first["small"].shape == (3, 1, 32, 32)
    assert torch.equal(first["large"], again["large"]) and not torch.equal(first["large"], data[3]["large"])
    assert not torch.equal(first["large"], dino_data.Crops([image], "mri", 4, (1, 1), (64, 32), 3)[2]["large"])


def test_real_mri_becomes_crops(data_dir, tmp_path):
    data = dino_data.DinoCrops("mri", root=str(data_dir), batch_size=2, large=64, small=32, count=2, steps_per_epoch=1, validation=2)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["large"].shape == (2, 2, 1, 64, 64) and batch["small"].shape == (2, 2, 1, 32, 32)
    assert batch["large"].isfinite().all() and batch["large"].std() > 0.05
    assert Path(data_dir).is_dir() and len(data.pictures) > 60
