"""Super-resolution of CT: where voxels lie, what they hold, tiles, regions, masks, padding, memory, the command on a real scan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ct_models import make_model
from MedSRLib import cli, jobs, models, run, tasks
from MedSRLib.errors import Cancelled, InputError, MedSRError, ModelError, OptionError, ResourceError
from MedSRLib.geometry_region import Box, finer_in_plane, pixel_weights
from MedSRLib.intensity import PADDING_HU
from MedSRLib.io import formats, slabs
from MedSRLib.run import Progress
from MedSRLib.tasks import ct_engine, ct_network, ct_parts, ct_region
from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct
from MedSRLib.volume import Volume
from test_ramp import AXIAL, OBLIQUE, ORIENTATIONS, truth_of

torch = pytest.importorskip("torch")

BICUBIC = Options(method="bicubic")
FACTOR = 8
AGREEMENT_HU = 0.5
"""Tiles of different sizes and overlaps agree within this (largest difference), for networks that look no further than their context."""


@pytest.fixture(scope="module", autouse=True)
def own_models(tmp_path_factory):
    """Models of the user's own: `tiny`, the default, and others by name."""
    root = tmp_path_factory.mktemp("models")
    make_model(root, "tiny", width=8, depth=1, tail=[8, 8, 8], slices=3)
    make_model(root, "attentive", width=8, depth=1, tail=[8, 8, 8], attention=True)
    make_model(root, "gan", "sr_cyclegan", width=8, depth=1)
    make_model(
        root, "bone", width=8, depth=1, tail=[8, 8, 8], valid_range={"text": "x", "intensity": {"offset": 0, "scale": 255, "unit": "grey"}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.OWN_FOLDER, str(root))
        yield root


def a_chest(shape=(3, 40, 36), dtype=np.int16, **geometry) -> Volume:
    """Smooth structures between −1000 and some 200 HU, and noise of 10 HU; seeded."""
    random = np.random.default_rng(3)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    image = -600 + 400 * np.sin(x / 3.1 + z / 2) * np.cos(y / 4.3) + random.normal(0, 10, shape)
    image[:, :4] = -1000
    geometry = {"spacing_mm": (0.7, 0.7, 1.5), "origin_mm": (-30.0, 12.0, 40.0), "meta": {"modality": "CT", "name": "chest"}} | geometry
    return Volume(image.round().astype(dtype), **geometry)


def averaged(volume: Volume) -> np.ndarray:
    z, y, x = volume.array.shape
    return volume.array.reshape(z, y // FACTOR, FACTOR, x // FACTOR, FACTOR).mean(axis=(2, 4), dtype=np.float64)


def made_of(volume: Volume, options=Options(device="cpu"), **how) -> Volume:
    return super_resolve_ct((volume,), options, **how).volume[0]


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


def ramps(direction: np.ndarray, size=(12, 10, 2), spacing=(0.8, 0.7, 2.5)) -> list[Volume]:
    """Three volumes: the value of each voxel is its own x, y or z coordinate in mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1)
    world = (index * spacing) @ direction.T + [-30.0, 12.0, 40.0]
    grid = (spacing, (-30.0, 12.0, 40.0), direction)
    return [Volume(world[..., component].transpose(2, 1, 0).astype(np.float32), *grid) for component in range(3)]


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


# Regions


def test_a_region_in_lps_and_one_in_voxels_cut_the_same_voxels():
    scan = a_chest(direction=np.diag([1.0, -1.0, 1.0]))
    centre = (scan.affine @ [14.5, 19.5, 1, 1])[:3]
    text = ct_region.roi_text(centre, (10 * 0.7, 8 * 0.7, 3 * 1.5))
    fine = made_of(scan, Options(method="bicubic", roi=text))
    assert fine.array.shape == (3, 64, 80)
    assert np.array_equal(fine.array, made_of(scan, Options(method="bicubic", roi="ijk 10 20 16 24 0 3")).array)
    whole = made_of(scan, BICUBIC)
    assert np.array_equal(fine.array, whole.array[:, 128:192, 80:160])  # what surrounds a region is taken into account
    assert np.allclose(fine.origin_mm, (whole.affine @ [80, 128, 0, 1])[:3])


def test_a_region_along_turned_axes_of_the_voxels_is_cut_not_resampled():
    scan = a_chest(direction=OBLIQUE)
    axes = OBLIQUE[:, [2, 0, 1]] * (1, -1, 1)
    region = ct_region.cut(scan, ct_region.roi_text((scan.affine @ [14.5, 19.5, 1, 1])[:3], (4.5, 7.0, 5.6), axes), (0, 0), True)
    assert np.array_equal(region.volume.array, scan.array[:, 16:24, 10:20]) and region.box is None


def test_a_rotated_region_has_a_grid_of_its_own_that_tells_the_truth():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    for component, ramp in enumerate(ramps(OBLIQUE, (40, 44, 9), (0.8, 0.8, 2.0))):
        axes = AXIAL if component == 2 else OBLIQUE @ turn
        centre = (ramp.affine @ [19.5, 21.5, 4, 1])[:3]
        result = super_resolve_ct((ramp,), Options(method="bicubic", roi=ct_region.roi_text(centre, (9.6, 8.0, 6.0), axes)))
        fine = result.volume[0]
        along = np.abs(axes.T @ fine.direction)  # each axis in the sense of the scan's own
        assert fine.array.shape == (3, 80, 96) and np.allclose(along, np.eye(3))
        assert any("rotated" in w for w in result.report["warnings"])
        assert np.allclose(fine.affine @ [47.5, 39.5, 1, 1], [*centre, 1])
        assert np.abs(fine.array - truth_of(fine, component))[:, 20:-20, 20:-20].max() < 0.02


def test_what_a_rotated_region_has_outside_the_scan_is_padding():
    scan = a_chest((4, 30, 30))
    axes = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    result = super_resolve_ct((scan,), Options(device="cpu", roi=ct_region.roi_text(scan.origin_mm, (14.0, 14.0, 6.0), axes)))
    fine = result.volume[0].array
    assert 0.3 < (fine == -2000).mean() < 0.95 and fine[fine != -2000].min() > -1300
    assert any("% of the region lies outside" in w for w in result.report["warnings"])


def test_a_mask_follows_a_rotated_region():
    scan = a_chest()
    box = Box((scan.affine @ [18, 20, 1, 1])[:3], np.array([10.0, 10.0, 4.0]), np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]))
    labels = np.zeros(scan.shape, np.uint8)
    labels[:, 20:] = 1
    region = ct_region.cut(scan, ct_region.roi_text(box.centre_mm, box.size_mm, box.axes), (1, 8), True)
    inside = ct_region.mask_of(scan.with_(array=labels), scan, region)
    assert inside.shape == region.volume.shape and 0.3 < inside.mean() < 0.7


def test_slices_are_interpolated_afterwards_where_it_is_asked():
    result = super_resolve_ct((a_chest(),), Options(method="bicubic", roi="ijk 8 20 8 18 0 3", slice_spacing_mm=0.5))
    made = result.volume[0]
    assert result.report["grid"]["shape"] == list(made.shape)
    assert result.report["grid"]["spacing_mm"] == pytest.approx(made.spacing_mm, abs=1e-6)
    volume = result.volume[0]
    assert volume.array.shape == (7, 80, 96) and volume.spacing_mm[2] == pytest.approx(0.5)
    assert result.fidelity[0].array.shape == volume.array.shape and result.report["slices"]["grid"]["slices"] == 7


# Bad input: one clear sentence each


def no_hu(array, **meta):
    return Volume(array, (0.8, 0.8, 2.0), meta={"name": "image", **meta})


NOISE = np.random.default_rng(0)
BAD = {
    "MRI": (no_hu(NOISE.integers(0, 900, (3, 16, 16)).astype(np.int16), modality="MR"), "is MR, not CT"),
    "no HU": (no_hu(NOISE.integers(0, 900, (3, 16, 16)).astype(np.int16)), "does not say that it is CT"),
    "8-bit": (no_hu(NOISE.integers(0, 255, (3, 16, 16)).astype(np.uint8), modality="CT"), "8-bit values are not HU"),
    "no sign": (no_hu(NOISE.integers(0, 4000, (3, 16, 16)).astype(np.uint16), modality="CT"), "rescale"),
    "0 to 1": (no_hu(NOISE.random((3, 16, 16)).astype(np.float32)), "hold no air"),
    "NaN": (no_hu(np.full((3, 16, 16), np.nan, np.float32)), "NaN"),
    "colour": (no_hu(np.zeros((3, 16, 16, 3), np.uint8)), "channels"),
    "uneven": (a_chest().with_(positions_mm=(0.0, 1.5, 4.5)), "unevenly spaced"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_super_resolved_is_refused_in_one_sentence(name):
    volume, reason = BAD[name]
    with pytest.raises(InputError, match=reason) as found:
        super_resolve_ct((volume,), Options(device="cpu"))
    assert "\n" not in found.value.sentence() and len(found.value.sentence()) < 250


@pytest.mark.parametrize("name", ["MRI", "8-bit", "no sign", "0 to 1"])
def test_it_is_done_all_the_same_where_the_flag_allows_it(name):
    volume, _ = BAD[name]
    result = super_resolve_ct((volume,), Options(any_modality=True, device="cpu"))
    assert result.volume[0].array.dtype == volume.array.dtype
    assert any("was not trained for that" in w for w in result.report["warnings"])
    low, high = volume.array.min(), volume.array.max()
    assert abs(float(result.volume[0].array.mean()) - float(volume.array.mean())) < 0.1 * (high - low)


def test_a_model_with_a_scale_of_its_own_takes_values_as_they_are():
    volume = BAD["8-bit"][0]
    result = super_resolve_ct((volume.with_(meta={"modality": "OT"}),), Options(model="bone", device="cpu"))
    assert result.volume[0].array.dtype == np.uint8 and result.report["units"] == "grey"
    assert all("limited" in w for w in result.report["warnings"])


ROIS = {
    "outside": ("500,500,500,10,10,10", InputError, "outside the volume"),
    "of no size": ("0,0,0,10,0,10", OptionError, "no volume"),
    "negative": ("0,0,0,10,-5,10", OptionError, "no volume"),
    "not numbers": ("here", OptionError, "is not a region"),
    "too few": ("1,2,3", OptionError, "3 numbers"),
    "sheared axes": ("0,0,0,9,9,9,1,0,0,0.5,0.9,0,0,0,1", OptionError, "right angles"),
    "scaled axes": ("0,0,0,9,9,9,2,0,0,0,2,0,0,0,2", OptionError, "right angles"),
    "rotated, outside": ("500,500,500,9,9,9,0.8,0.6,0,-0.6,0.8,0,0,0,1", InputError, "outside the volume"),
    "voxels outside": ("ijk,0,50,0,10,0,1", InputError, "leaves the volume"),
    "no voxels": ("ijk,5,5,0,10,0,1", InputError, "holds no voxel"),
}


@pytest.mark.parametrize("name", ROIS)
def test_a_region_that_makes_no_sense_is_refused_in_one_sentence(name):
    roi, kind, reason = ROIS[name]
    with pytest.raises(kind, match=reason):
        super_resolve_ct((a_chest(),), Options(method="bicubic", roi=roi))


def test_a_region_that_reaches_beyond_the_volume_ends_where_it_ends_and_is_said_to():
    result = super_resolve_ct((a_chest(),), Options(method="bicubic", roi="-30,12,40,20,20,20"))
    assert any("beyond the volume" in w for w in result.report["warnings"]) and result.volume[0].array.shape[0] == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.with_(array=np.zeros_like(m.array)), "mask is empty"),
        (lambda m: m.with_(origin_mm=(0, 0, 0)), "not on the grid"),
        (lambda m: m.with_(array=m.array[:, :-1]), "not on the grid"),
        (lambda m: m.with_(array=m.array.astype(np.float32)), "whole numbers"),
    ],
)
def test_a_mask_that_is_empty_or_elsewhere_is_refused(change, reason):
    scan = a_chest()
    mask = scan.with_(array=np.ones(scan.shape, np.uint8), meta={"name": "mask"})
    with pytest.raises(InputError, match=reason):
        super_resolve_ct((scan,), Options(device="cpu"), mask=change(mask))


def test_a_mask_without_anything_in_the_region_is_refused():
    scan = a_chest()
    labels = np.zeros(scan.shape, np.uint8)
    labels[0, 0, 0] = 1
    with pytest.raises(InputError, match="empty within the region"):
        super_resolve_ct((scan,), Options(device="cpu", roi="ijk 10 20 10 20 0 3"), mask=scan.with_(array=labels))


def test_pixels_that_are_not_square_and_a_tilted_gantry_are_taken_as_they_are_and_said():
    tilt = np.deg2rad(18)
    direction = np.column_stack([[1, 0, 0], [0, 1, 0], [0, np.sin(tilt), np.cos(tilt)]])
    scan = a_chest(spacing_mm=(0.7, 0.9, 2.0), direction=direction)
    result = super_resolve_ct((scan,), Options(method="bicubic"))
    fine = result.volume[0]
    assert fine.is_sheared and np.array_equal(fine.direction, direction) and fine.spacing_mm == (0.7 / 8, 0.9 / 8, 2.0)
    assert {"not square", "tilted"} <= {word for word in ("not square", "tilted") for w in result.report["warnings"] if word in w}


def test_no_room_in_memory_or_on_the_disk_is_known_before_it_runs(monkeypatch):
    monkeypatch.setattr(run, "available_memory_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match="288 × 320 × 3 voxels needs about"):
        super_resolve_ct((a_chest(),), BICUBIC)
    monkeypatch.setattr(run, "available_memory_bytes", lambda: None)
    monkeypatch.setattr(slabs, "LARGE_BYTES", 1000)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(ResourceError, match="free"):
        super_resolve_ct((a_chest(),), BICUBIC)


def test_a_disk_too_small_for_the_result_is_known_before_it_runs(monkeypatch, tmp_path):
    formats.write(tmp_path / "in.nrrd", a_chest())
    size = 3 * 288 * 320 * 2
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": size - 1}))
    spec = jobs.Specification(
        "super_resolve_ct", {"volume": str(tmp_path / "in.nrrd")}, {"volume": str(tmp_path / "o.nrrd")}, {"method": "bicubic"}
    )
    with pytest.raises(ResourceError, match="the result needs about"):
        jobs.run_here(spec)


def test_weights_of_another_network_and_models_of_another_task_are_refused(own_models, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv(models.OWN_FOLDER, str(tmp_path))
    with pytest.raises(ModelError, match="use Method bicubic") if not shipped() else pytest.raises(ModelError, match="no model"):
        super_resolve_ct((a_chest(),), Options(model="" if not shipped() else "absent"))
    shutil.copytree(own_models / "tiny", tmp_path / "tiny")
    card = json.loads((tmp_path / "tiny/card.json").read_text(encoding="utf-8"))
    for change, reason in (
        ({"network": "sr_unit", "arguments": {}}, "do not fit"),
        ({"task": "interpolate_slices"}, "is a model for interpolate_slices"),
    ):
        (tmp_path / "tiny/card.json").write_text(json.dumps(card | change), encoding="utf-8")
        with pytest.raises(ModelError, match=reason):
            super_resolve_ct((a_chest(),), Options(model="tiny", device="cpu"))


def shipped() -> bool:
    return any(path.name.startswith("ct") for path in models.SHIPPED.iterdir())


# Streaming, cancelling, the command


def test_cancelling_stops_at_the_next_tile_and_leaves_nothing(tmp_path):
    formats.write(tmp_path / "in.nrrd", a_chest((4, 64, 64)))
    heard = []

    def cancelled() -> bool:
        heard.append(1)
        return len(heard) > 12

    outputs = {"volume": str(tmp_path / "out.nrrd"), "fidelity": str(tmp_path / "f.nrrd")}
    options = {"tile": 24, "device": "cpu", "batch_size": 1}
    spec = jobs.Specification("super_resolve_ct", {"volume": str(tmp_path / "in.nrrd")}, outputs, options)
    with pytest.raises(Cancelled):
        jobs.run_here(spec, Progress(cancelled=cancelled))
    assert len(heard) == 13 and [p.name for p in tmp_path.iterdir()] == ["in.nrrd"]


@pytest.mark.parametrize("name", ["large.nrrd", "large.mha", "large.nii", "large.nii.gz"])
def test_large_results_are_written_slab_by_slab_and_read_back(name, tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "LARGE_BYTES", 2000)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1000)
    result = super_resolve_ct((a_chest(),), Options(method="bicubic", roi="ijk 8 20 8 18 0 3"))
    assert isinstance(_owner(result.volume[0].array), np.memmap)
    formats.write(tmp_path / name, result.volume)
    (again,) = formats.read(tmp_path / name)
    assert np.array_equal(again.array, result.volume[0].array) and np.allclose(again.affine, result.volume[0].affine, atol=1e-4)
    packed = name.endswith(".gz")
    assert packed or (tmp_path / name).stat().st_size > result.volume[0].array.nbytes


def _owner(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


CHILD = """
import sys
import numpy as np
from MedSRLib import jobs
from MedSRLib.io import slabs
slabs.LARGE_BYTES = 2**22
folder, slices = sys.argv[1], sys.argv[2]
paths = {"volume": f"{folder}/out{slices}.nrrd", "fidelity": f"{folder}/f{slices}.mha"}
jobs.run_here(jobs.Specification("super_resolve_ct", {"volume": f"{folder}/{slices}.nrrd"}, paths, {"method": "bicubic"}))
# Not ru_maxrss: a child begins with the peak of the process that started it.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is measured on Linux")
def test_memory_does_not_grow_with_the_number_of_slices(tmp_path):
    """64 slices more are 100 MB of result; the process grows by far less, mapped pages included."""
    peak = {}
    for slices in (6, 70):
        formats.write(tmp_path / f"{slices}.nrrd", a_chest((slices, 64, 64)))
        environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[1])}
        done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), str(slices)], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        peak[slices] = float(done.stdout.splitlines()[-1])
    assert (tmp_path / "f70.mha").stat().st_size > 70 * 512 * 512 * 4
    assert peak[70] - peak[6] < 30


def test_the_task_says_how_large_its_outputs_are():
    task = tasks.load("super_resolve_ct")
    sizes = task.output_bytes((a_chest(),), Options(roi="ijk 0 10 0 10 0 2", slice_spacing_mm=0.75))
    assert sizes == {"volume": 3 * 80 * 80 * 2, "fidelity": 3 * 80 * 80 * 4}


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


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, capsys):
    formats.write(tmp_path / "mr.nrrd", BAD["no HU"][0])
    assert (
        cli.main(["super-resolve-ct", str(tmp_path / "mr.nrrd"), str(tmp_path / "o.nrrd"), "--device", "cpu", "--quiet"])
        == InputError.exit_code
    )
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "--any-modality" in said and [p.name for p in tmp_path.iterdir()] == ["mr.nrrd"]


def test_every_error_of_this_task_is_one_of_the_family():
    assert issubclass(InputError, MedSRError) and PADDING_HU < -1100


def test_a_model_of_grey_values_refuses_ct_in_hu_unless_told_otherwise():
    with pytest.raises(InputError, match="grey values of 0 to 255, the volume is CT in HU"):
        super_resolve_ct((a_chest(),), Options(model="bone", device="cpu"))
    result = super_resolve_ct((a_chest(),), Options(model="bone", device="cpu", any_modality=True, roi="ijk 0 16 0 16 0 1"))
    assert result.report["units"] == "grey"


def test_a_region_that_leaves_the_volume_is_told_how_far_it_may_go():
    with pytest.raises(InputError, match="i 0 to 36, j 0 to 40, k 0 to 3"):
        super_resolve_ct((a_chest(),), Options(method="bicubic", roi="ijk 5 500 0 10 0 2"))
