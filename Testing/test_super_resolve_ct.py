"""Super-resolution of CT: where voxels lie, what they hold, padding, masks, tiles, the command on a real scan."""

from __future__ import annotations

import json

import ct_scans
import numpy as np
import pytest
import torch
from ct_scans import BICUBIC, FACTOR, a_chest, averaged, made_of, ramps
from MedSRLib import cli
from MedSRLib.geometry_region import finer_in_plane, pixel_weights
from MedSRLib.io import formats
from MedSRLib.tasks import ct_engine, ct_network, ct_parts
from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct
from test_ramp import OBLIQUE, ORIENTATIONS, truth_of

own_models = ct_scans.own_models
AGREEMENT_HU = 0.5
"""Tiles of different sizes and overlaps agree within this (largest difference), for networks that look no further than their context."""


# Numpy beside torch, and the grid


@pytest.mark.parametrize("shape", [(5, 7), (16, 9), (1, 3)])
def test_the_parts_are_those_that_networks_are_trained_with(shape):
    from MedSRLib.networks import scales

    image = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    plain, tensor = ct_parts.Enlarger(shape, FACTOR), torch.from_numpy(image)[None, None]
    assert np.abs(plain.bicubic(image) - scales.bicubic(tensor)[0, 0].numpy()).max() < 1e-4
    assert np.array_equal(plain.nearest(image), scales.nearest(tensor)[0, 0].numpy())
    fine = np.random.default_rng(1).normal(0, 1, [8 * n for n in shape]).astype(np.float32)
    assert np.abs(plain.average(fine) - scales.average(torch.from_numpy(fine)[None, None])[0, 0].numpy()).max() < 1e-5


def test_the_weights_of_a_fine_pixel_sum_to_one_and_keep_a_ramp():
    weights = pixel_weights(12, FACTOR)
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-12
    inside = weights[20:-20] @ np.arange(12) - ((np.arange(96) + 0.5) / 8 - 0.5)[20:-20]
    assert np.abs(inside).max() < 1e-12


def test_the_smooth_inverse_is_exact_and_leaves_no_steps():
    """Block means are replaced to rounding; the correction changes from pixel to pixel by far less than repeated pixels would."""
    image = np.random.default_rng(0).normal(-700, 30, (20, 24)).astype(np.float32)
    plain = ct_parts.Enlarger(image.shape, FACTOR)
    fine = plain.bicubic(np.zeros_like(image)) - 700
    made = plain.consistent(fine, image)
    assert np.abs(plain.average(made) - image).max() < 1e-3
    assert np.abs(np.diff(made, axis=0)).max() < 0.5 * np.abs(np.diff(image, axis=0)).max()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_still_says_where_it_is(orientation):
    for component, ramp in enumerate(ramps(ORIENTATIONS[orientation])):
        fine = made_of(ramp, BICUBIC)
        assert fine.array.shape == (2, 80, 96) and np.array_equal(fine.direction, ramp.direction)
        assert np.abs(fine.array - truth_of(fine, component))[:, 20:-20, 20:-20].max() < 1e-4


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_the_model_makes_lies_where_the_scan_does(orientation):
    """Detail is the model's own, and consistent: each pixel of the scan is found again in the block that has its coordinates."""
    for component, ramp in enumerate(ramps(ORIENTATIONS[orientation])):
        fine = made_of(ramp, Options(any_modality=True, device="cpu", consistent=True))
        assert np.abs(averaged(fine) - averaged(fine.with_(array=truth_of(fine, component)))).max() < 1e-3


def test_the_physical_box_stays():
    scan = a_chest(direction=OBLIQUE)
    fine = made_of(scan, BICUBIC)
    for corner in ((-0.5, -0.5, 0), (35.5, 39.5, 2)):
        new = [FACTOR * (n + 0.5) - 0.5 for n in corner[:2]] + [corner[2]]
        assert np.allclose(fine.affine @ [*new, 1], scan.affine @ [*corner, 1])
    assert np.array_equal(finer_in_plane(scan, scan.array, 1).affine, scan.affine)


# What the voxels hold


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_scalar_type_and_level_are_kept(dtype):
    scan = a_chest(dtype=dtype)
    fine = made_of(scan, BICUBIC)
    assert fine.array.dtype == dtype and np.abs(averaged(fine) - scan.array).mean() < 10
    assert abs(float(fine.array.mean()) - float(scan.array.mean())) < 1


@pytest.mark.parametrize("method", ["bicubic", "model"])
def test_a_consistent_result_averages_back_to_the_scan_to_rounding(method):
    for dtype, most in ((np.int16, 0.5), (np.float32, 1e-3)):
        scan = a_chest(dtype=dtype)
        result = super_resolve_ct((scan,), Options(method=method, consistent=True, tile=32, overlap=4, device="cpu"))
        back = np.abs(averaged(result.volume[0]) - scan.array)
        stated = result.report["scan"]["averaged_back"]
        assert back.max() <= most and stated["largest_before_rounding"] < 1e-3
        assert stated["rms"] == pytest.approx(np.sqrt((back**2).mean()), abs=1e-3)


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_padding_stays_as_it_is_and_never_reaches_what_is_beside_it(padding):
    """The pixels beside padding are those of a scan in which the tissue goes on, whatever the padding's value."""
    scan = a_chest()
    hole = np.zeros(scan.shape, bool)
    hole[:, :, :6] = hole[1, 20:30, 20:26] = True
    fine = {}
    for value in (padding, -1600):
        padded = scan.with_(array=np.where(hole, value, scan.array).astype(np.int16))
        result = super_resolve_ct((padded,), Options(device="cpu"))
        fine[value] = result.volume[0].array
        where = hole.repeat(8, 1).repeat(8, 2)
        assert np.all(fine[value][where] == value) and np.all(result.fidelity[0].array[where] == 0)
    assert np.array_equal(fine[padding][~where], fine[-1600][~where]) and fine[padding][~where].min() > -1300


def test_a_slice_of_padding_alone_stays_padding():
    array = a_chest().array.copy()
    array[1] = -2000
    assert np.all(made_of(a_chest().with_(array=array)).array[1] == -2000)


def test_the_detail_of_the_model_stays_within_the_mask():
    scan = a_chest()
    labels = np.zeros(scan.shape, np.uint8)
    labels[:, 10:30, 8:28] = 3
    mask = scan.with_(array=labels, meta={"name": "lung"})
    plain, whole = made_of(scan, BICUBIC).array, made_of(scan).array
    result = super_resolve_ct((scan,), Options(device="cpu"), mask=mask)
    made, inside = result.volume[0].array, labels.repeat(8, 1).repeat(8, 2) > 0
    assert np.array_equal(made[~inside], plain[~inside])
    core = np.zeros_like(inside)
    core[:, 8 * 11 : 8 * 29, 8 * 9 : 8 * 27] = True
    assert np.array_equal(made[core], whole[core])
    jump = np.abs(np.diff((made - plain).astype(int), axis=2))
    assert jump[:, 100:200, 8 * 8 - 1].mean() <= 1.5 * jump[:, 100:200, 80:200].mean()
    assert result.report["scan"]["pixels"] == int((labels > 0).sum())


def test_the_fidelity_map_is_an_error_in_hu_and_grows_with_what_was_added():
    scan = a_chest()
    plain, model = super_resolve_ct((scan,), BICUBIC), super_resolve_ct((scan,), Options(device="cpu"))
    gan = super_resolve_ct((scan,), Options(model="gan", device="cpu"))
    spread = super_resolve_ct((scan,), Options(model="gan", device="cpu", self_ensemble=True))
    for result in (plain, model, gan, spread):
        fidelity = result.fidelity[0]
        assert fidelity.array.dtype == np.float32 and fidelity.array.min() >= 0 and np.array_equal(fidelity.affine, result.volume[0].affine)
    assert 1 < plain.fidelity[0].array.mean() < 200 and 20 < model.fidelity[0].array.mean() < 80
    assert gan.fidelity[0].array.mean() > 3 * plain.fidelity[0].array.mean()  # random weights: far from the scan, and it says so
    assert gan.report["scan"]["averaged_back"]["rms"] > 100
    assert spread.fidelity[0].array.mean() > 0


def test_the_report_states_noise_shift_and_what_was_added():
    facts = super_resolve_ct((a_chest((2, 64, 64)),), BICUBIC).report["scan"]
    assert 6 < facts["scan_noise"] < 30 and abs(facts["mean_shift"]) < 1
    assert facts["supported_rms"] > facts["added_rms"] == facts["added_rms_bicubic"] > 0


# Tiles


def test_tiles_of_different_sizes_and_overlaps_agree():
    scan = a_chest((1, 60, 52))
    whole = made_of(scan, Options(tile=128, device="cpu")).array.astype(int)
    for tile, overlap in ((24, 4), (32, 8), (40, 0)):
        result = super_resolve_ct((scan,), Options(tile=tile, overlap=overlap, device="cpu", batch_size=3))
        assert result.report["tiles"]["a_slice"] > 1
        assert np.abs(result.volume[0].array - whole).max() <= AGREEMENT_HU + 1  # one more by rounding
        assert result.report["tiles"]["disagreement_largest"] < AGREEMENT_HU


def test_a_model_that_looks_at_whole_tiles_is_said_to(monkeypatch):
    monkeypatch.setattr(ct_engine, "AGREEMENT_HU", 1e-4)
    result = super_resolve_ct((a_chest((1, 60, 52)),), Options(model="attentive", tile=40, device="cpu"))
    assert any("tiles cut differently" in w for w in result.report["warnings"])


@pytest.mark.parametrize("model", ["tiny", "attentive"])
def test_no_seam_is_seen_along_tile_borders(model):
    """Jumps of what the model adds, across the ends of the tiles' kept parts, against jumps elsewhere, at the same phase of pixels."""
    scan = a_chest((1, 72, 72), np.float32)
    result = super_resolve_ct((scan,), Options(model=model, tile=40, overlap=6, device="cpu"))
    added = result.volume[0].array[0] - made_of(scan, BICUBIC).array[0]
    jumps = np.abs(np.diff(added, axis=0)).mean(axis=1)
    kept = result.report["tiles"]["kept"]
    starts = np.rint(np.linspace(0, 72 - kept, round((72 - 6) / (kept - 6)))).astype(int)
    borders = {8 * n - 1 for n in (*starts[1:], *(starts[:-1] + kept))}
    same_phase = [n for n in range(7 + 64, 8 * 72 - 64, 8) if n not in borders]
    assert len(borders) >= 2
    assert jumps[sorted(borders)].mean() < 1.3 * jumps[same_phase].mean()


def test_the_context_is_what_the_network_looks_at(own_models):
    network = ct_network.Network("tiny", device="cpu", self_ensemble=False, batch_size=1, warn=print)
    assert network.context == ct_network.LEAST_CONTEXT and network.slices == 3 and network.gives_error
    assert ct_network.Network("gan", device="cpu", self_ensemble=False, batch_size=1, warn=print).context > network.context


def test_memory_that_runs_out_halves_the_batch_and_is_said(monkeypatch):
    network = ct_network.Network("tiny", device="cpu", self_ensemble=False, batch_size=4, warn=(said := []).append)
    once = network._once
    monkeypatch.setattr(
        network, "_once", lambda images, turn: once(images, turn) if len(images) < 3 else (_ for _ in ()).throw(MemoryError())
    )
    windows = [np.full((3, 20, 20), 0.2, np.float32)] * 4
    assert network.run(windows).shape == (4, 2, 160, 160) and "2 at a time" in said[0]


def test_pixels_that_are_not_square_and_a_tilted_gantry_are_taken_as_they_are_and_said():
    tilt = np.deg2rad(18)
    direction = np.column_stack([[1, 0, 0], [0, 1, 0], [0, np.sin(tilt), np.cos(tilt)]])
    scan = a_chest(spacing_mm=(0.7, 0.9, 2.0), direction=direction)
    result = super_resolve_ct((scan,), Options(method="bicubic"))
    fine = result.volume[0]
    assert fine.is_sheared and np.array_equal(fine.direction, direction) and fine.spacing_mm == (0.7 / 8, 0.9 / 8, 2.0)
    assert {"not square", "tilted"} <= {word for word in ("not square", "tilted") for w in result.report["warnings"] if word in w}


def test_the_command_on_a_region_of_a_real_chest(data_dir, tmp_path, capsys):
    out = {name: tmp_path / name for name in ("fine.nrrd", "fidelity.nii.gz", "picture.png")}
    words = ["--roi", "-95,165,-545,40,30,4", "--consistent", "--model", "tiny", "--device", "cpu", "--quiet"]
    ports = ["--fidelity", str(out["fidelity.nii.gz"]), "--picture", str(out["picture.png"])]
    assert cli.main(["super-resolve-ct", str(data_dir / "ct/lidc0314_mid"), str(out["fine.nrrd"]), *words, *ports]) == 0
    assert all(path.exists() for path in out.values())
    (fine,) = formats.read(out["fine.nrrd"])
    facts = json.loads((tmp_path / "fine.nrrd.json").read_text())
    assert fine.array.dtype == np.int16 and fine.spacing_mm == pytest.approx((0.78125 / 8, 0.78125 / 8, 1.0))
    (scan,) = formats.read(data_dir / "ct/lidc0314_mid")
    first = np.rint(np.linalg.solve(scan.affine, [*(fine.affine @ [3.5, 3.5, 0, 1])[:3], 1]))[:3].astype(int)
    z, y, x = (np.array(fine.array.shape) / (1, 8, 8)).astype(int)
    part = scan.array[first[2] : first[2] + z, first[1] : first[1] + y, first[0] : first[0] + x]
    assert np.abs(averaged(fine) - part).max() <= 0.5
    assert facts["model"]["id"] == "tiny" and facts["report"]["scan"]["averaged_back"]["largest"] <= 0.5
    assert abs(facts["report"]["scan"]["mean_shift"]) < 0.1 and facts["report"]["scan"]["scan_noise"] > 3
