"""Clinical CT to micro-CT, training: losses against closed forms worked out by hand, runs that learn and resume."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

sys.path.insert(0, str(Path(__file__).parents[1]))

import lightning as L  # noqa: E402
import yaml  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402
from MedSRLib import networks  # noqa: E402
from MedSRLib.networks import scales  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from training import dsgan, grids, losses, mmsr, paired_ct, publish, unpaired  # noqa: E402

METHODS = ("sr-cyclegan", "sr-unit", "cyclegan", "unit", "ct-super-resolver")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def image():
    """(1, 1, 2, 2) with mean 0.5, population variance 0.05: 0.2, 0.4, 0.6, 0.8."""
    return torch.tensor([[[[0.2, 0.4], [0.6, 0.8]]]])


@pytest.mark.parametrize(("form", "factor"), [("standard", 2), ("printed", 1)])
def test_equation_1_of_an_affine_pair_is_what_it_is_by_hand(image, form, factor):
    """y = 2x + 0.1: means 0.5 and 1.1, variances 0.05 and 0.2, covariance 0.1."""
    luminance = (factor * 0.55 + 0.02) / (0.25 + 1.21 + 0.02)
    contrast = (0.2 + 0.06) / (0.05 + 0.2 + 0.06)
    assert mmsr.structure(image, 2 * image + 0.1, form).item() == pytest.approx(1 - luminance * contrast, abs=1e-6)
    assert mmsr.structure(image, 2 * image + 0.1, form, n=4).item() == pytest.approx((1 - luminance * contrast) / 4, abs=1e-6)


def test_equation_1_takes_each_image_by_itself(image):
    other = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    pairs = [(image, other), (other, 1 - other)]
    together = mmsr.structure(*(torch.cat(images) for images in zip(*pairs, strict=True)))
    alone = [mmsr.structure(*pair).item() for pair in pairs]
    assert together.item() == pytest.approx(np.mean(alone), abs=1e-6) and abs(alone[0] - alone[1]) > 0.1


def test_the_form_as_printed_lacks_the_factor_two(image):
    """Of equal images only the standard form is zero; the other is short by mu^2 / (2 mu^2 + C1)."""
    assert mmsr.structure(image, image).item() == pytest.approx(0, abs=1e-6)
    assert mmsr.structure(image, image, "printed").item() == pytest.approx(0.25 / (0.5 + 0.02), abs=1e-6)
    with pytest.raises(KeyError):
        mmsr.structure(image, image, "other")


def test_the_printed_form_is_lowest_for_a_darker_image(image):
    """Why it is not the default: by hand 1 - 0.26 / 0.5004 of an image darker by 0.02, below 1 - 0.27 / 0.52 of the same."""
    same, darker = (mmsr.structure(image, image - offset, "printed").item() for offset in (0.0, 0.02))
    assert darker == pytest.approx(1 - 0.26 / 0.5004, abs=1e-6) and darker < same
    assert mmsr.structure(image, image - 0.02).item() > mmsr.structure(image, image).item()


def test_equations_2_and_3_scale_once():
    x, y_lr = torch.rand(2, 1, 3, 4), torch.rand(2, 1, 3, 4)
    repeated = torch.from_numpy(np.kron(x.numpy(), np.ones((8, 8), np.float32)))
    assert mmsr.downsampled(x, repeated).item() < 1e-12
    assert mmsr.downsampled(x, repeated + 0.1).item() == pytest.approx(0.01, rel=1e-4)
    stripes = torch.tensor([0.3, -0.3]).repeat(16).expand(2, 1, 24, 32)  # mean 0 over any block of 8
    assert mmsr.downsampled(x, repeated + stripes).item() == pytest.approx(0, abs=1e-12)
    assert mmsr.upsampled(repeated, x).item() == 0
    assert mmsr.upsampled(repeated + stripes, x).item() == pytest.approx(0.09, rel=1e-4)
    assert mmsr.upsampled(repeated, y_lr).item() == pytest.approx(np.mean((x - y_lr).numpy() ** 2), rel=1e-4)


def test_equation_4_weighs_its_terms_by_2_1_1_1():
    x, y_lr = torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    x_sr, y = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    means = x_sr.reshape(2, 1, 2, 8, 2, 8).mean((3, 5))
    repeated = torch.from_numpy(np.kron(y_lr.numpy(), np.ones((8, 8), np.float32)))
    terms = mmsr.multi_modality(x, x_sr, y, y_lr)
    assert terms["structure_x"].item() == pytest.approx(2 * mmsr.structure(x, means).item(), rel=1e-5)
    assert terms["structure_y"].item() == pytest.approx(mmsr.structure(y, repeated).item(), rel=1e-5)
    assert terms["downsampled"].item() == pytest.approx(((x - means) ** 2).mean().item(), rel=1e-4)
    assert terms["upsampled"].item() == pytest.approx(((y - repeated) ** 2).mean().item(), rel=1e-4)


def test_adversarial_and_latent_terms_have_their_closed_forms():
    assert mmsr.adversarial(torch.tensor([1.0, 0.0, 2.0, 1.0])).item() == 0.5
    assert mmsr.discrimination(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])).item() == pytest.approx((0.5 + 2) / 2)
    mean = torch.tensor([0.5, -1.5, 2.0])
    gaussian = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(gaussian(mean, 1.0), gaussian(0.0, 1.0)).mean()
    assert mmsr.divergence(mean).item() == pytest.approx(expected.item(), rel=1e-5)
    assert mmsr.absolute(mean, mean - 0.3).item() == pytest.approx(0.3, rel=1e-5)


def test_charbonnier_is_the_hypotenuse_and_energy_is_that_of_a_ramp():
    true = torch.rand(1, 1, 4, 4)
    assert losses.charbonnier(true + 0.3, true, epsilon=0.4).item() == pytest.approx(0.5, rel=1e-5)
    ramp = 0.2 * torch.arange(4.0).expand(4, 4) + 0.1 * torch.arange(4.0)[:, None]
    assert losses.energy(ramp[None, None]).item() == pytest.approx(0.04 + 0.01, rel=1e-5)


def test_the_pool_shows_half_old_fakes_once_it_is_full():
    pool = unpaired.ImagePool(50)
    first = pool(torch.arange(50.0).view(50, 1, 1, 1))
    assert torch.equal(first.flatten(), torch.arange(50.0))  # while it fills, what goes in comes out
    shown = pool(torch.arange(50.0, 1050.0).view(1000, 1, 1, 1)).flatten()
    new = (shown == torch.arange(50.0, 1050.0)).float().mean().item()
    assert 0.45 < new < 0.55 and len(pool.images) == 50
    assert len(set(shown.tolist())) == 1000  # none is shown twice
    assert torch.equal(unpaired.ImagePool(0)(first), first)


class Tiny(L.LightningDataModule):
    """Two batches an epoch, in memory: smooth blobs as micro-CT; the mean by 8 and noise as clinical CT."""

    def __init__(self, slices: int = 1, paired: bool = False, clinical: int = 16) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        coarse = torch.rand(4, 1, clinical // 2, clinical // 2, generator=generator)
        micro = torch.nn.functional.interpolate(coarse, scale_factor=16, mode="bicubic")
        means = torch.nn.functional.avg_pool2d(micro, 8).expand(-1, slices, -1, -1)
        means = means + 0.02 * torch.randn(means.shape, generator=generator)
        order = range(4) if paired else (2, 0, 3, 1)
        self.rows = [{"clinical": means[i], "micro": micro[j]} for i, j in zip(range(4), order, strict=True)]

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.rows, batch_size=2)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.rows, batch_size=2)  # type: ignore[arg-type]


def fit(name, folder, root, *, slices=1, steps=4, checkpoint=None, **changes):
    """(model, trainer, data) after a run of the committed configuration's model, tiny, on the data above."""
    settings = yaml.safe_load((root / f"training/configs/{name}.yaml").read_text(encoding="utf-8"))["model"]
    given = settings["init_args"] | {"arguments": {"width": 8, "depth": 1, "slices": slices}} | changes
    if "discriminator" in given:
        given["discriminator"] = {"width": 4}
    module, _, kind = settings["class_path"].rpartition(".")
    model = getattr(import_module(module), kind)(**given)
    data = Tiny(slices, paired=name == "ct-super-resolver")
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, logger=CSVLogger(folder), callbacks=[ModelCheckpoint(save_last=True)],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(model, data, ckpt_path=checkpoint)
    return model, trainer, data


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", METHODS)
def test_four_steps_train_every_part_resume_and_are_published(name, root, tmp_path):
    first, trainer, _ = fit(name, tmp_path, root, slices=3)
    assert trainer.global_step == 4 and trainer.current_epoch == 2
    before, checkpoint = weights(first), trainer.checkpoint_callback.last_model_path
    again, trainer, _ = fit(name, tmp_path, root, slices=3, steps=6, checkpoint=checkpoint)
    assert trainer.global_step == 6
    after = weights(again)
    parts = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert parts == {key.split(".")[0] for key in before}
    assert all(value.isfinite().all() for value in after.values())
    stored = torch.load(checkpoint, weights_only=True)
    assert len(stored["optimizer_states"]) == (1 if name == "ct-super-resolver" else 2)
    built, arguments = publish.save_weights(Path(checkpoint), tmp_path / "weights.safetensors", half=False)
    from safetensors.torch import load_file

    module = networks.build(built, **arguments)
    module.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    of_g1 = {key.removeprefix("network."): value for key, value in before.items() if key.startswith("network.")}
    assert of_g1 and all(torch.equal(module.state_dict()[key], value) for key, value in of_g1.items())


@pytest.mark.parametrize("name", METHODS)
def test_each_epoch_leaves_a_picture_of_the_same_patches(name, root, tmp_path):
    from PIL import Image

    _, trainer, data = fit(name, tmp_path, root)
    pictures = sorted((Path(trainer.log_dir) / "grids").iterdir())
    assert [path.name for path in pictures] == ["epoch_0000.png", "epoch_0001.png"]
    pages = [np.asarray(Image.open(path)) for path in pictures]
    side, gap = 128, grids.GAP
    assert pages[0].shape == (2 * side + gap, 5 * side + 4 * gap)
    clinical = np.kron(grids.grey(data.rows[0]["clinical"][0]), np.ones((8, 8)))
    assert all(np.array_equal(page[:side, :side], clinical) for page in pages)
    micro = grids.grey(data.rows[0]["micro"][0])
    assert np.array_equal(pages[1][:side, 3 * (side + gap) :][:, :side], micro)
    assert not np.array_equal(*(page[:, 2 * (side + gap) :][:, :side] for page in pages))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "ct-super-resolver"])
def test_without_the_multi_modality_loss_its_terms_are_gone_and_the_rest_stays(name, root, tmp_path):
    metrics = []
    for weight in (1.0, 0.0):
        _, trainer, _ = fit(name, tmp_path / str(weight), root, steps=2, mm_weight=weight)
        metrics.append({key for key in trainer.callback_metrics if key.startswith("train_")})
    terms = {f"train_{term}" for term in ("structure_x", "structure_y", "downsampled", "upsampled")}
    assert metrics[0] - metrics[1] == terms and metrics[1] and not metrics[1] & terms


def test_generators_do_not_move_discriminators_and_the_other_way_round(monkeypatch):
    """Each optimiser's step changes its own side only."""
    model = unpaired.CycleGAN(arguments={"width": 8, "depth": 1}, discriminator={"width": 4})
    changed, take = [], model._take

    def watched(optimizer, loss):
        before = weights(model)
        take(optimizer, loss)
        changed.append({key.split(".")[0] for key, value in weights(model).items() if not torch.equal(value, before[key])})

    monkeypatch.setattr(model, "_take", watched)
    trainer = L.Trainer(accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                        enable_model_summary=False, limit_val_batches=0)  # fmt: skip
    trainer.fit(model, Tiny())
    assert changed == [{"network", "reverse"}, {"discriminator_x", "discriminator_y"}]


def test_the_rate_is_constant_for_half_the_run_then_falls_to_zero():
    model = unpaired.UNIT(arguments={"width": 8, "depth": 1}, discriminator={"width": 4})
    trainer = L.Trainer(accelerator="cpu", max_steps=8, logger=False)
    model.trainer = trainer
    _, schedules = model.configure_optimizers()
    rates = [schedules[0].lr_lambdas[0](step) for step in range(9)]
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize("method", [unpaired.CycleGAN, unpaired.UNIT])
@pytest.mark.parametrize("network", ["super-resolving", "original"])
def test_the_multi_modality_loss_alone_brings_the_result_to_the_input(method, network):
    """Twelve steps on the loss of eq. 4 bring the mean by 8 of the result nearer to the clinical patch."""
    name = {"CycleGAN": ("sr_cyclegan", "cyclegan"), "UNIT": ("sr_unit", "unit")}[method.__name__][network == "original"]
    model = method(network=name, arguments={"width": 8, "depth": 1}, discriminator={"width": 4})
    batch = next(iter(Tiny().train_dataloader()))
    clinical, y = batch["clinical"], batch["micro"]
    optimizer = torch.optim.Adam(model.network.parameters(), lr=5e-3)
    kept = []
    for _ in range(12):
        terms = model.multi_modality(clinical, model(clinical), y, model.back(y))
        kept.append(terms["downsampled"].item())
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert kept[-1] < 0.7 * kept[0]


def fit_pairs(tmp_path, steps, **weights):
    """The figures of the last validation, of a small network on four pairs."""
    torch.manual_seed(0)
    model = paired_ct.CtSuperResolver(arguments={"width": 16, "depth": 1}, learning_rate=3e-3, warm_up=5, **weights)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    often = {"num_sanity_val_steps": 0, "check_val_every_n_epoch": steps // 2}
    trainer = L.Trainer(accelerator="cpu", max_steps=steps, default_root_dir=tmp_path, **quiet, **often)
    trainer.fit(model, Tiny(paired=True, clinical=8))
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def test_pairs_are_learned(tmp_path):
    figures = fit_pairs(tmp_path, 60)
    assert figures["val_psnr"] > figures["val_psnr_bicubic"] + 2


def test_the_expected_error_comes_to_the_true_one(tmp_path):
    """With no other loss the image stays bicubic, and the error's head learns how far off that is."""
    figures = fit_pairs(tmp_path, 120, pixel_weight=0.0, ssim_weight=0.0, gradient_weight=0.0, error_weight=1.0)
    assert figures["val_psnr"] == pytest.approx(figures["val_psnr_bicubic"], abs=1e-4)
    assert figures["val_error_ratio"] == pytest.approx(1, abs=0.25)


def test_peak_signal_to_noise_is_averaged_over_images():
    true = torch.zeros(2, 1, 4, 4)
    made = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    assert paired_ct.psnr(made, true).item() == pytest.approx((20 + 40) / 2, abs=1e-4)


def test_low_and_high_frequencies_are_the_whole_and_a_ramp_has_no_high_ones():
    image = torch.rand(1, 1, 12, 12)
    assert torch.allclose(dsgan.low(image) + dsgan.high(image), image)
    ramp = torch.arange(12.0).expand(1, 1, 12, 12)
    assert dsgan.high(ramp)[..., 2:-2].abs().max() < 1e-5  # at the edges the repeated value bends it
    assert dsgan.low(image)[0, 0, 5, 6].item() == pytest.approx(image[0, 0, 3:8, 4:9].mean().item(), rel=1e-5)


def test_a_degradation_is_learned_and_makes_the_clinical_patches_of_pairs(root, tmp_path):
    """Untrained it is the mean by 8; trained it is used instead of the clinical patches, whatever they hold."""
    micro = torch.rand(1, 1, 128, 128)
    assert torch.equal(networks.build("degrader", width=8, depth=1)(micro), scales.average(micro))
    model = dsgan.Dsgan(arguments={"width": 8, "depth": 1}, discriminator={"width": 4})
    trainer = L.Trainer(
        accelerator="cpu", max_steps=6, logger=CSVLogger(tmp_path), callbacks=[ModelCheckpoint(save_last=True)],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(model, Tiny())
    assert trainer.global_step == 6 and not torch.equal(model(micro), scales.average(micro))
    checkpoint = trainer.checkpoint_callback.last_model_path
    given = {"arguments": {"width": 8, "depth": 1}, "degradation": checkpoint}
    paired = paired_ct.CtSuperResolver(**given)
    paired.log_dict = lambda *_, **__: None
    losses_of = []
    for clinical in (torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)):
        torch.manual_seed(3)
        losses_of.append(paired.training_step({"clinical": clinical, "micro": micro}, 0).item())
    assert losses_of[0] == losses_of[1]
    assert not any("degrade" in key for key in paired.state_dict())


def test_weights_for_one_slice_begin_a_network_that_reads_three(tmp_path):
    arguments = {"width": 8, "depth": 1}
    first = paired_ct.CtSuperResolver(arguments=arguments)
    torch.nn.init.normal_(first.network.value_head.weight)
    torch.save({"state_dict": first.state_dict()}, tmp_path / "first.ckpt")
    second = paired_ct.CtSuperResolver(arguments=arguments | {"slices": 3}, initial=str(tmp_path / "first.ckpt"))
    clinical = torch.rand(1, 3, 16, 16)
    assert torch.allclose(second(clinical), first(clinical[:, 1:2]), atol=1e-5)
