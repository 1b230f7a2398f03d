"""Super-resolution of a part of a CT: regions along the voxels and rotated, masks, and what is refused of both."""

from __future__ import annotations

import ct_scans
import numpy as np
import pytest
from ct_scans import BICUBIC, a_chest, made_of, ramps
from MedSRLib.errors import InputError, OptionError
from MedSRLib.geometry_region import Box
from MedSRLib.tasks import ct_region
from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct
from test_ramp import AXIAL, OBLIQUE, truth_of

own_models = ct_scans.own_models


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


def test_a_region_that_leaves_the_volume_is_told_how_far_it_may_go():
    with pytest.raises(InputError, match="i 0 to 36, j 0 to 40, k 0 to 3"):
        super_resolve_ct((a_chest(),), Options(method="bicubic", roi="ijk 5 500 0 10 0 2"))
