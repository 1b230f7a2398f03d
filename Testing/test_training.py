"""Training: losses against closed forms, samples against geometry, and a run of five steps that resumes and is published."""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

from MedSRLib import models, motion  # noqa: E402

from training import data, evaluate, losses, protocol, publish, refiner, synthetic_lesions, train, volumes  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_losses_have_their_closed_forms():
    true = torch.rand(2, 1, 32, 32)
    assert losses.mse(true + 0.1, true).item() == pytest.approx(0.01, rel=1e-4)
    assert losses.gradient(true + 5, true).item() == pytest.approx(0, abs=1e-6)
    ramp = torch.arange(32.0).expand(2, 1, 32, 32)
    assert losses.gradient(true + 0.2 * ramp, true).item() == pytest.approx(0.1, rel=1e-4)  # 0.2 along x, 0 along y
    assert losses.ssim(true, true).item() == pytest.approx(0, abs=1e-6)
    scales = torch.linspace(0.05, 0.5, 10)
    likelihood = [losses.laplace(torch.full_like(true, s), true + 0.2, true).item() for s in scales]
    assert scales[int(np.argmin(likelihood))].item() == pytest.approx(0.2)
    assert likelihood[3] == pytest.approx(1 + math.log(0.2), abs=1e-4)


def test_lost_contrast_counts_what_is_missing_and_nothing_else():
    true = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert losses.lost_contrast(true, true).abs().max() == pytest.approx(0, abs=1e-12)
    assert losses.lost_contrast(1.5 * true + 3, true).abs().max() == pytest.approx(0, abs=1e-6)  # exaggerated: not punished
    half, none = losses.lost_contrast(true / 2, true), losses.lost_contrast(torch.zeros_like(true), true)
    assert half.numpy() == pytest.approx(none.numpy() / 2, rel=1e-4)
    from scipy.ndimage import gaussian_filter

    away = [x - gaussian_filter(x, 4, mode="nearest", truncate=2) for x in true[:, 0].numpy()]
    assert none.numpy() == pytest.approx([np.square(x).mean() for x in away], rel=1e-3)


def test_a_synthetic_lesion_is_an_ellipsoid_in_tissue(monkeypatch):
    """One lesion: its volume is an ellipsoid's, its height that of its contrast, and air stays air."""
    tissue = np.zeros((9, 80, 80), np.float32)
    tissue[:, 20:60, 20:60] = 0.5
    for name, value in {"RADII_PX": (6, 6), "RADIUS_SLICES": (1.5, 1.5), "CONTRAST": (0.4, 0.4), "BRIGHT": 1.0, "EDGE": 1e-3}.items():
        monkeypatch.setattr(synthetic_lesions, name, value)
    monkeypatch.setattr(synthetic_lesions, "DRIFT_PX", 0.0)
    out = tissue.copy()
    synthetic_lesions._add_one(out, (4.0, 40.0, 40.0), 2, np.random.default_rng(0))
    added = out - tissue
    assert added.max() == pytest.approx(0.4, abs=1e-6)
    assert added.sum() / 0.4 == pytest.approx(4 / 3 * np.pi * 6 * 6 * 1.5, rel=0.03)
    assert np.flatnonzero(added.any((1, 2))).tolist() == [3, 4, 5]  # 1.5 slices up and down, seen by slices one slice thick
    many = [synthetic_lesions.add(tissue, 2, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(many[0], many[1]) and not np.array_equal(many[0], many[2])
    assert not many[0][:, :10].any() and (many[0] != tissue).any()


def test_training_can_begin_with_released_weights(root):
    card = models.card("slice-refiner")
    begun = refiner.Refiner(arguments=dict(card.arguments), initial=str(card.weights)).network.state_dict()
    assert all(torch.equal(v, begun[k]) for k, v in models.build("slice-refiner").state_dict().items())


def test_ssim_is_scikit_images():
    from skimage.metrics import structural_similarity

    a, b = np.random.default_rng(0).random((2, 40, 50)).astype(np.float32)
    _, full = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, full=True)
    ours = losses.ssim_map(*(torch.from_numpy(x)[None, None] for x in (a, b)))
    assert np.allclose(ours[0, 0].numpy(), full[5:-5, 5:-5], atol=1e-4)


def test_no_subject_is_both_in_training_and_validation_and_none_is_a_test_subject(data_dir):
    train_, validation = set(volumes.split("train")), set(volumes.split("validation"))
    test = {path.name.split("_")[0] for path in (data_dir / "cardiac/acdc_5mm").glob("*.nii.gz")}
    assert (len(train_), len(validation), len(test)) == (70, 18, 12)
    assert not train_ & validation and not (train_ | validation) & test
    held_out = json.loads((volumes.HERE / "splits/other.json").read_text())["held_out_for_testing"]
    assert not [s.name for s in volumes.others() for path in held_out if s.path.startswith(path)]
    assert all(source.licence for source in volumes.others())


def test_augmented_flows_still_lead_from_one_slice_to_the_other():
    rng = np.random.default_rng(3)
    slices = volumes.normalised(np.stack([np.roll(_texture(), (k, 2 * k), (0, 1)) for k in range(3)]))
    images = slices[[0, 0, 2, 1, 2]]
    flows = np.stack([motion.flow_between(slices[0], slices[2]), motion.flow_between(slices[2], slices[0])])
    for _ in range(20):
        sample = data.as_tensors(*data.augment(images, flows, 0.5, rng))
        a, b = sample["a"][0].numpy(), sample["b"][0].numpy()
        inside = np.s_[16:-16, 16:-16]
        error = np.abs(motion.warp(b, sample["a_to_b"].numpy().transpose(1, 2, 0)) - a)[inside].mean()
        assert error < 0.4 * np.abs(b - a)[inside].mean()


def _texture():
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(np.random.default_rng(0).normal(size=(80, 80)), 3, mode="wrap")


def test_the_protocol_gives_the_known_figure_of_linear_interpolation(data_dir):
    """19.77 dB, 0.541 over the twelve subjects, found independently before; here two subjects, by a plain formula."""
    for case in [protocol.prepare(path) for path in sorted((data_dir / "cardiac/acdc_5mm").glob("*.nii.gz"))[:2]]:
        from training.baselines import linear

        assert case.slices.shape[1:] == (128, 128) and case.slices.min() >= 0 and case.slices.max() <= 1
        rows = protocol.score(case, linear)
        middle = (case.slices[0] + case.slices[2]) / 2
        assert rows[0]["psnr"] == pytest.approx(-10 * np.log10(np.mean((middle - case.slices[1]) ** 2)), abs=1e-4)
        assert [r["slice"] for r in rows] == list(range(1, len(case.slices) - 1, 2))


def test_a_method_never_sees_the_slices_that_it_rebuilds(data_dir):
    case = protocol.prepare(sorted((data_dir / "cardiac/acdc_5mm").glob("*.nii.gz"))[0])
    made = []
    noisy = case.slices.copy()
    noisy[1::2] = np.random.default_rng(0).random(noisy[1::2].shape)
    for slices in (case.slices, noisy):
        protocol.score(protocol.Case(case.name, slices, 5.0), lambda kept, at, wanted: made.append(kept) or kept[: len(wanted)])
    assert np.array_equal(*made)


SMALL = {
    "slice-refiner": ["--data.init_args.other_anatomy", "false", "--model.init_args.arguments", "{features: 8, width: 8}"],
    "slice-autoencoder": ["--model.init_args.arguments", "{kernels: 4}"],
}


@pytest.mark.parametrize("name", SMALL)
def test_five_steps_train_resume_and_are_published(name, root, data_dir, tmp_path, monkeypatch):
    config = [
        "fit", "--config", str(root / f"training/configs/{name}.yaml"), "--data.init_args.root", str(data_dir), *SMALL[name],
        "--data.init_args.patch", "48", "--data.init_args.limit_subjects", "2", "--data.init_args.batch_size", "2",
        "--data.init_args.steps_per_epoch", "5",
        "--trainer.logger.init_args.save_dir", str(tmp_path), "--trainer.accelerator", "cpu", "--trainer.enable_model_summary", "false",
    ]  # fmt: skip
    config += ["--data.init_args.cache", str(tmp_path / "cache")] if name == "slice-refiner" else []
    first = train.main([*config, "--trainer.max_steps", "5"])
    checkpoint = Path(first.trainer.checkpoint_callback.last_model_path)
    before = {k: v.clone() for k, v in first.model.network.state_dict().items()}
    again = train.main([*config, "--trainer.max_steps", "10", "--ckpt_path", str(checkpoint)])
    assert again.trainer.global_step == 10
    assert any(not torch.equal(v, before[k]) for k, v in again.model.network.state_dict().items())
    (tmp_path / "measured.json").write_text('{"psnr": 20.5}')
    measured = {"somewhere": tmp_path / "measured.json"}
    folder = publish.publish(checkpoint, _complete_card(root, name, tmp_path), tmp_path / "shelf", measured)
    assert json.loads((folder / "card.json").read_text())["figures"]["somewhere"] == {"psnr": 20.5}
    monkeypatch.setenv(models.OWN_FOLDER, str(tmp_path / "shelf"))
    built, trained = models.build(folder.name), evaluate.from_checkpoint(checkpoint)
    assert all(torch.equal(v, built.state_dict()[k]) for k, v in trained.state_dict().items())
    from safetensors.torch import save_file

    begun = tmp_path / "begun.safetensors"
    save_file({k: 2 * v.contiguous() for k, v in before.items()}, begun)
    averaged = publish.publish(checkpoint, tmp_path / "card.json", tmp_path / "averages", begun_from=begun, share=0.25)
    first, last, made = (evaluate.network_weights(path) for path in (begun, checkpoint, averaged / models.WEIGHTS))
    floats = [k for k, v in made.items() if v.is_floating_point()]
    assert floats and all(torch.allclose(made[k], first[k] + (last[k] - first[k]) / 4, atol=1e-6) for k in floats)


def test_weights_of_another_network_are_not_averaged():
    with pytest.raises(ValueError, match="another network"):
        publish.between({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, 0.5)


def _complete_card(root, name, tmp_path):
    """The committed card's text with the fields filled in that a release measures."""
    card = json.loads((root / f"training/cards/{name}.json").read_text(encoding="utf-8"))
    card["id"] = f"trial-{name}"
    for key, value in {"training_data": [{"name": "x", "licence": "y"}], "left_open": ["x"], "valid_range": {"text": "x"}}.items():
        card[key] = card.get(key) or value
    card |= {"figures": {"x": 1}, "ideas": [{"idea": "x"}], "known_failures": ["x"]}
    path = tmp_path / "card.json"
    path.write_text(json.dumps(card), encoding="utf-8")
    path.with_name(f"{card['licence_file']}.txt").write_text("licence", encoding="utf-8")
    return path
