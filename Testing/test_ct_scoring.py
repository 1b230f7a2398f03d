"""How enlarged CT is scored: each measure on images whose answer is known, and the command on small phantoms."""

import json
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

sys.path.insert(0, str(Path(__file__).parents[1]))

from MedSRLib.tasks import ct_evaluation  # noqa: E402
from scipy import ndimage  # noqa: E402

from training import bone, ct_calibration, ct_metrics, degrade, evaluate_bone, evaluate_ct, lung_phantom, paired_ct, phantom_set  # noqa: E402

MICRO_MM = 0.0875


@lru_cache(maxsize=1)
def small_case() -> phantom_set.Case:
    return phantom_set.small_case()


@pytest.fixture
def small_test_set(monkeypatch):
    """The command's test set is one small phantom; pictures are as small."""
    monkeypatch.setattr(phantom_set, "case", lambda seed, cache=None: small_case())
    monkeypatch.setattr(evaluate_ct.ct_figure, "SIDE", 64)


@pytest.fixture
def airway():
    """(HU, labels): a lumen of 1.6 mm radius in a wall of 0.4 mm in foam, edges blurred by a Gaussian of 0.1 mm."""
    y, x = np.mgrid[:160, :160] - 79.5
    away = np.hypot(y, x) * MICRO_MM
    labels = np.where(away < 1.6, lung_phantom.LUMEN, np.where(away < 2.0, lung_phantom.WALL, lung_phantom.FOAM)).astype(np.uint8)
    fill = [np.clip(0.5 + (radius - away) / MICRO_MM, 0, 1) for radius in (1.6, 2.0)]
    hu = -850 + fill[1] * (25 + 850) + fill[0] * (-1000 - 25)
    return ndimage.gaussian_filter(hu, 0.1 / MICRO_MM), labels


def test_an_airways_edge_and_wall_are_as_wide_as_they_are(airway):
    """10 to 90 % of a Gaussian edge is 2.563 sigma, and of the voxel's ramp 0.8 voxel; the wall hides the last of the rise."""
    hu, labels = airway
    profiles = ct_metrics.wall_profiles(labels, MICRO_MM)
    edge, wall = np.nanmedian(ct_metrics.walls(hu, profiles), 0)
    assert len(profiles.points) > 50
    assert edge == pytest.approx(np.hypot(2.563 * 0.1, 0.8 * MICRO_MM), rel=0.1)
    assert wall == pytest.approx(0.4, rel=0.08)


def test_a_blurred_wall_has_a_wider_edge_and_a_vanished_one_is_not_seen(airway):
    hu, labels = airway
    profiles = ct_metrics.wall_profiles(labels, MICRO_MM)
    sharp, soft = (np.nanmedian(ct_metrics.walls(ndimage.gaussian_filter(hu, s), profiles), 0) for s in (0, 4))
    assert soft[0] > 1.3 * sharp[0] and soft[1] > 1.3 * sharp[1]
    assert np.isnan(ct_metrics.walls(np.where(labels == lung_phantom.LUMEN, -1000.0, -850.0), profiles)).all()


def test_the_distance_is_nothing_of_the_same_and_grows_with_blur_and_lost_contrast():
    true = small_case().micro[1].astype(np.float32)
    distance = ct_metrics.SlicedWasserstein(300)

    def to(image):
        return float(distance.distances([distance.features(true, 1)], [distance.features(image, 1)]).mean())

    blurred, more = (to(ndimage.gaussian_filter(true, s)) for s in (1, 3))
    assert to(true) == 0 and 0 < blurred < more
    assert to(true.mean() + 0.5 * (true - true.mean())) > 0.2
    assert to(true) == to(true.copy())


def test_power_is_counted_in_its_band():
    """A wave of 1.5 clinical Nyquist frequencies: 1.5 / 16 cycles a micro-CT pixel."""
    wave = np.tile(np.sin(2 * np.pi * 1.5 / 16 * np.arange(256)), (256, 1))
    powers = ct_evaluation.band_powers(wave)
    assert powers.argmax() == 2 and powers[2] > 100 * np.delete(powers, 2).max()


def test_figures_inside_a_region_know_nothing_of_the_rest():
    true = small_case().micro[1].astype(float)
    inside = ct_metrics.regions(small_case().labels[1])
    made = true + np.where(inside["foam"], 100.0, 0.0)
    found = ct_metrics.fidelity(true, made, inside)
    assert found["psnr_foam"] == pytest.approx(20) and np.isinf(found["psnr_walls_vessels"]) and found["psnr_all"] > 20
    assert not (inside["foam"] & inside["walls_vessels"]).any()


def checkpoint(folder: Path) -> Path:
    """An untrained network: it is bicubic enlarging."""
    module = paired_ct.CtSuperResolver(arguments={"width": 16, "depth": 1})
    path = folder / "untrained.ckpt"
    arguments = {"network": "ct_super_resolver", "arguments": {"width": 16, "depth": 1}}
    torch.save({"hyper_parameters": arguments, "state_dict": module.state_dict()}, path)
    return path


def test_the_command_scores_bicubic_wiener_and_a_network(small_test_set, tmp_path):
    arguments = ["--models", f"untrained={checkpoint(tmp_path)}", "--out", str(tmp_path / "out"), "--cases", "1"]
    arguments += ["--consistent", "untrained"]
    results = evaluate_ct.main(arguments)
    plain, network = results["bicubic"]["means"], results["untrained"]["means"]
    assert network["psnr_all"] == pytest.approx(plain["psnr_all"], abs=1e-3) and network["distance"] == pytest.approx(
        plain["distance"], abs=1e-3
    )
    kept, acquired = (results[f"untrained, {kind} back"]["means"] for kind in ("averages", "acquired"))
    assert kept["residual_hu"] < 0.1 < network["residual_hu"] < acquired["residual_hu"]
    assert results["Wiener, bicubic"]["means"]["psnr_walls_vessels"] > plain["psnr_walls_vessels"]
    assert set(results["bicubic"]["by_view"]) == {"body, 20 HU", "body, 45 HU", "lung, 20 HU", "lung, 45 HU"}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"scores", "table.md", "table.csv", "cases.csv", "figures.json", "figure2.png"}
    assert json.loads((tmp_path / "out/figures.json").read_text())["micro-CT itself"]["solid_share"] == 1
    again = evaluate_ct.main(arguments)
    assert again["untrained"]["means"] == network


def test_the_map_of_what_to_trust_is_compared_with_the_true_error(small_test_set, tmp_path, monkeypatch):
    """An expected error that is twice the true one is told as 2, of every region and tenth; the files say what is returned."""
    case = small_case()
    made = case.micro[1] + np.random.default_rng(1).normal(0, 50, case.micro[1].shape).astype(np.float32)
    monkeypatch.setattr(ct_calibration, "enlarged", lambda *_: (made, 2 * np.abs(made - case.micro[1])))
    results = ct_calibration.main(["--models", "known", "--out", str(tmp_path), "--cases", "1"])
    known = results["known"]
    assert known["ratio_all"] == known["ratio_foam"] == known["ratio_by_view"]["lung, 45 HU"] == 2
    assert np.array(known["mean_expected_hu"]) == pytest.approx(2 * np.array(known["mean_true_hu"]), abs=0.11)
    assert np.mean(known["mean_true_hu"]) == pytest.approx(50 * np.sqrt(2 / np.pi), rel=0.01)
    assert json.loads((tmp_path / "calibration.json").read_text()) == results
    assert (tmp_path / "calibration.png").read_bytes()[:4] == b"\x89PNG"


def test_the_calibration_asks_the_task_itself(small_test_set):
    case = small_case()
    made, expected = ct_calibration.enlarged(case, case.views[0], "bicubic")
    assert made.shape == expected.shape == case.micro[1].shape
    assert expected.min() >= 0 and expected.mean() > 5
    plain = evaluate_ct.ct_methods.bicubic(evaluate_ct.scan(evaluate_ct.prepared(case, ct_metrics.SlicedWasserstein()), case.views[0]))
    assert np.abs(made - plain)[16:-16, 16:-16].max() <= 0.5  # its output is whole HU


def test_the_scans_own_noise_is_found():
    rng = np.random.default_rng(0)
    hu = 40 + rng.normal(0, 12, (8, 96, 96)) + np.linspace(0, 20, 96)
    assert evaluate_ct.scan_noise(hu) == pytest.approx(12, rel=0.05)


def test_bone_is_split_by_slab_and_keeps_its_grey_values(data_dir):
    low_high = sorted(bone.SLABS.values())
    assert all(a[1] < b[0] for a, b in zip(low_high, low_high[1:], strict=False)) and low_high[-1][1] == 140
    assert np.allclose(bone.as_grey(bone.as_hu(np.arange(256))), np.arange(256), atol=1e-4)
    cases = bone.cases(data_dir, "test")
    case = cases[0]
    assert len(cases) == 4 and case.micro.shape == (200, 200) and case.views[0].clinical.shape == (3, 25, 25)
    assert case.views[0].clinical[1].mean() == pytest.approx(case.micro.mean(), abs=8)
    module = bone.BonePatches(str(data_dir), batch_size=2, slices=3, patches_per_case=20, validation=2)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["clinical"].shape == (2, 3, 10, 10) and batch["micro"].shape == (2, 1, 80, 80)


def test_a_plate_is_as_thick_as_it_is():
    solid = np.zeros((200, 200), bool)
    solid[50:150, 80:88] = True
    assert evaluate_bone.thickness(solid) == pytest.approx(8 * 4 / np.pi * 100 / 108, rel=0.01)  # along the axes, by Crofton


def test_the_pixel_area_is_aligned():
    """Bicubic enlarging of the mean by 8 stays where it is."""
    from training import ct_methods

    ramp = np.tile(np.arange(256.0), (256, 1))
    scan = ct_methods.Scan(degrade.mean_by_factor(ramp)[None], "standard", 0.7, 0.0)
    assert ct_methods.bicubic(scan)[128, 40:216] == pytest.approx(ramp[128, 40:216], abs=0.01)


def test_bone_is_made_fainter_with_the_noise_that_was_asked_for(monkeypatch):
    """gain · (grey − darker) of the truth; the scan of a flat specimen has the flat grey, made fainter, and the noise as asked."""
    wide = np.full((3, 8 * 76, 8 * 76), bone.as_hu(np.array(200.0)), np.int16)
    source = bone.ct_data.Source(wide, bone.PIXEL_MM, np.array([[1, 0, 0]]))
    monkeypatch.setattr(bone, "GAIN", (0.25, 0.25))
    monkeypatch.setattr(bone, "DARKER", (40.0, 40.0))
    pairs = bone.Pairs([source], 64, 1, 1, (1,), (30.0, 30.0))
    clinical, micro = pairs.pair(source, np.random.default_rng(0))
    assert bone.as_grey(micro) == pytest.approx(0.25 * (200 - 40), abs=0.05)
    assert bone.as_grey(clinical).mean() == pytest.approx(40, abs=0.5)
    assert clinical.std() == pytest.approx(30, rel=0.1)
    assert bone.halved(np.arange(16.0).reshape(2, 2, 4)).tolist() == [[[6.5, 8.5]]]
