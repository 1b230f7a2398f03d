"""Series and headers that are not what they seem: refused in one clear sentence, or used for what they truly are, with one that says so."""

from __future__ import annotations

import gzip

import bad_files
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from bad_files import COLUMNS, INPUT, ROWS, nifti, series, slices

attempt, refused = bad_files.attempt, bad_files.refused


def test_two_series_without_a_choice(refused, attempt, tmp_path):
    folder = series(tmp_path / "both", range(0, 30, 5), uid="1.2.840.99.1")
    series(folder, range(0, 40, 5), uid="1.2.840.99.2")
    said = refused(folder)
    assert "1.2.840.99.1" in said and "1.2.840.99.2" in said and "choose one" in said
    chosen = attempt(folder, "--series", "1.2.840.99.2", "--factor", "5")
    assert chosen.code == 0 and sitk.ReadImage(str(chosen.out)).GetSize() == (COLUMNS, ROWS, 36)


def test_a_series_that_is_not_there(refused, tmp_path):
    assert "9.9.9" in refused(series(tmp_path / "one", range(0, 30, 5)), "--series", "9.9.9")


def test_mixed_orientations(refused, tmp_path):
    planes = [[1, 0, 0, 0, 1, 0]] * 3 + [[1, 0, 0, 0, 0, -1]] * 3
    refused(series(tmp_path / "mixed", range(0, 30, 5), orientations=planes))


def test_one_slice_twice(attempt, tmp_path):
    """Two files at one position cannot both be a slice: refused, or one of them used and said so, when they are the same."""
    values = slices(6)
    values[3] = values[2]
    tried = attempt(series(tmp_path / "twice", [0, 5, 10, 10, 15, 20], values=values))
    assert tried.said.count("\n") == 1
    assert (tried.code == INPUT and tried.written == []) or (tried.code == 0 and "Warning" in tried.said)


def test_one_position_with_two_pictures(attempt, tmp_path):
    """Different pixels at one position: no volume holds both."""
    tried = attempt(series(tmp_path / "twice", [0, 5, 10, 10, 15, 20]))
    assert tried.code == INPUT and tried.written == [] and tried.said.count("\n") == 1


@pytest.mark.parametrize(("positions", "words"), [([0, 5, 10, 20, 25], "missing"), ([0, 5, 10, 20, 30], "unevenly")])
def test_missing_slices_and_uneven_steps_are_used_at_their_true_positions(attempt, tmp_path, positions, words):
    """The slice at z mm holds 10·z everywhere: a linear result must hold 10·z at every height."""
    values = np.array([np.full((ROWS, COLUMNS), 10 * z, np.int16) for z in positions])
    tried = attempt(series(tmp_path / "uneven", positions, values=values), "--spacing", "2.5")
    assert tried.code == 0 and "Warning" in tried.said and words in tried.said
    made = sitk.ReadImage(str(tried.out))
    heights = [made.TransformIndexToPhysicalPoint((0, 0, k))[2] for k in range(made.GetSize()[2])]
    assert heights[0] == 0 and heights[-1] == positions[-1] and made.GetSpacing()[2] == pytest.approx(2.5)
    assert sitk.GetArrayFromImage(made)[:, 5, 5] == pytest.approx(10 * np.array(heights), abs=0.51)


def test_a_tilted_gantry(refused, attempt, tmp_path):
    folder = series(tmp_path / "tilt", range(0, 30, 5), tilt=0.3)
    assert "right angles" in refused(folder)
    allowed = attempt(folder, "--allow-shear")
    assert allowed.code == 0 and "right-angled" in allowed.said
    assert np.array(sitk.ReadImage(str(allowed.out)).GetDirection()) == pytest.approx(np.eye(3).ravel(), abs=1e-6)


def test_a_sheared_affine(refused, tmp_path):
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[0, 2] = 2.0
    assert "right angles" in refused(nifti(tmp_path / "a.nii.gz", slices().T, affine))


def test_a_nifti_whose_headers_disagree(attempt, tmp_path):
    """Like ACDC's: the sform is the identity, pixdim holds the true spacing. It is noticed, pixdim chosen, and said."""
    image = nibabel.Nifti1Image(slices().T, None)
    image.header.set_zooms((1.25, 1.25, 10.0))
    image.header.set_sform(np.eye(4), 2)
    image.header["qform_code"] = 0
    path = tmp_path / "acdc.nii.gz"
    nibabel.save(image, path)
    with gzip.open(path) as file:
        header = file.read(348)
    assert np.frombuffer(header[76:92], "<f4")[1:] == pytest.approx([1.25, 1.25, 10.0]), "the file is what it is meant to be"
    tried = attempt(path, "--factor", "2")
    assert tried.code == 0 and "Warning" in tried.said
    assert sitk.ReadImage(str(tried.out)).GetSpacing() == pytest.approx((1.25, 1.25, 5.0), rel=1e-5)
