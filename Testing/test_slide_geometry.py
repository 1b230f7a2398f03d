"""Where a slide lies: planes of oblique volumes, transform files that SimpleITK reads, warps and their inverse."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib.errors import InputError, OptionError
from MedSRLib.geometry_plane import Window
from MedSRLib.geometry_slice import slice_plane, slide_frame, slide_volume
from MedSRLib.geometry_warp import Placement, Warp
from MedSRLib.io import transforms
from MedSRLib.tasks.slide_fit import orientation_matrix
from MedSRLib.volume import Volume

sitk = pytest.importorskip("SimpleITK")


def rotation(*degrees: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


DIRECTIONS = {
    "axial": np.eye(3),
    "oblique": rotation(21, -13, 8),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "left-handed": rotation(5, 10, -30) @ np.diag([1.0, 1, -1]),
}


def mri(name: str) -> Volume:
    return Volume(np.zeros((7, 50, 60), np.float32), (0.4, 0.5, 3.6), (-12.0, 31.0, 7.0), DIRECTIONS[name])


IN_PLANE = np.array([[0.9, -0.35, 4.0], [0.3, 1.1, 3.0], [0, 0, 1.0]])
POINTS_PX = np.array([[0.0, 0.0], [120.5, 77.0], [511.0, 302.25]])


def as_sitk(volume: Volume):
    image = sitk.GetImageFromArray(np.asarray(volume.array), isVector=volume.array.ndim == 4)
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(volume.origin_mm)
    image.SetDirection(volume.direction.ravel().tolist())
    return image


@pytest.mark.parametrize("name", DIRECTIONS)
def test_plane_millimetres_are_where_simpleitk_puts_the_slices_pixels(name):
    volume = mri(name)
    plane = slice_plane(volume, 4)
    for x, y in ((0, 0), (59, 0), (17, 42)):
        here = plane.to_patient(np.array([[x * 0.4, y * 0.5]]))[0]
        assert here == pytest.approx(as_sitk(volume).TransformIndexToPhysicalPoint((x, y, 4)), abs=1e-9)
        assert plane.to_plane(here[None])[0] == pytest.approx((x * 0.4, y * 0.5, 0), abs=1e-9)
    assert plane.thickness_mm == 3.6
    for wrong in (-1, 7):
        with pytest.raises(OptionError, match=f"no slice {wrong} in a volume of 7"):
            slice_plane(volume, wrong)


@pytest.mark.parametrize("ending", transforms.ENDINGS)
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_transform_file_moves_the_same_points_in_simpleitk_and_comes_back(name, mirrored, ending, tmp_path):
    """A level-0 pixel's place is followed by hand: to mm on the slide, by the affine to mm on the slice, along the volume's axes."""
    volume, path = mri(name), tmp_path / f"transform{ending}"
    in_plane = IN_PLANE @ np.diag([-1.0, 1, 1]) if mirrored else IN_PLANE
    placement = Placement(slice_plane(volume, 2), in_plane)
    transforms.write_linear(path, placement.matrix)
    on_slide = POINTS_PX * 0.0072
    u, v = in_plane[:2, :2] @ on_slide.T + in_plane[:2, 2:]
    x, y, z = DIRECTIONS[name].T
    by_hand = np.array(volume.origin_mm) + np.outer(u, x) + np.outer(v, y) + 2 * 3.6 * z
    assert placement.to_patient(on_slide) == pytest.approx(by_hand, abs=1e-9)
    from_parent = sitk.ReadTransform(str(path))
    for patient, slide in zip(by_hand, on_slide, strict=True):
        assert from_parent.TransformPoint(patient.tolist()) == pytest.approx((*slide, 0), abs=1e-6)
    assert transforms.read_linear(path) == pytest.approx(placement.matrix, abs=1e-6)
    assert placement.to_slide(placement.to_plane(on_slide)) == pytest.approx(on_slide, abs=1e-9)
    assert np.linalg.det(placement.matrix) * np.linalg.det(DIRECTIONS[name]) > 0, "a mirrored slide is one turned over"


def test_a_slides_pixel_has_its_centre_half_a_pixel_from_its_corner():
    picture = np.zeros((20, 30, 3), np.uint8)
    volume = slide_volume(picture, Window((100.0, 40.0, 160.0, 80.0), (20, 30)), (7.0, 7.0), 3.6)
    assert volume.spacing_mm == pytest.approx((0.014, 0.014, 3.6))
    assert volume.origin_mm == pytest.approx((101 * 0.007, 41 * 0.007, 0)), "two level-0 pixels each, from 100 and 40"
    assert slide_frame((7.0, 8.0)) @ (100, 50, 1) == pytest.approx((0.7, 0.4, 1))


def test_resampling_the_slide_by_the_file_puts_a_spot_where_it_belongs(tmp_path):
    volume = mri("oblique")
    placement = Placement(slice_plane(volume, 3), np.array([[1.0, 0, 1.9], [0, 1, 1.4], [0, 0, 1]]))
    spot = np.zeros((1, 100, 100), np.float32)
    spot[0, 40:50, 60:70] = 1  # 0.1 mm pixels: from (6, 4) to (7, 5) mm on the slide, (7.9, 5.4) to (8.9, 6.4) on the slice
    image = as_sitk(Volume(spot, (0.1, 0.1, 3.6), (0.05, 0.05, 0.0)))
    transforms.write_linear(tmp_path / "t.h5", placement.matrix)
    found = sitk.GetArrayFromImage(
        sitk.Resample(image, as_sitk(volume), sitk.ReadTransform(str(tmp_path / "t.h5")), sitk.sitkNearestNeighbor)
    )
    z, y, x = np.nonzero(found)
    assert set(z) == {3}, "one slice, as thick as the MRI's"
    assert (x.min(), x.max()) == (20, 22) and (y.min(), y.max()) == (11, 12), "centres 0.4 x and 0.5 y within those ends"


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_warp_has_an_inverse_and_its_file_moves_the_same_points(name, tmp_path):
    y, x = np.indices((50, 60))
    field = (
        np.stack([1.5 * np.sin(x / 9) * np.cos(y / 11), 0.8 * np.cos(x / 13)], -1)
        * np.hanning(60)[None, :, None]
        * np.hanning(50)[:, None, None]
    )
    plane = slice_plane(mri(name), 5)
    warp = Warp(field, plane.spacing_mm)
    placement = Placement(plane, IN_PLANE, warp)
    assert warp.jacobian.min() > 0.2
    slide = np.array([[2.0, 3.0], [5.0, 6.0], [9.0, 4.5]])
    in_plane = placement.to_plane(slide)
    assert placement.to_slide(in_plane) == pytest.approx(slide, abs=1e-5)
    transforms.write_warp(tmp_path / "w.h5", warp.volume(plane), placement.matrix)
    found = sitk.ReadTransform(str(tmp_path / "w.h5"))
    for depth in (-1.7, 0, 1.7):
        for point, on_slide in zip(in_plane, slide, strict=True):
            patient = plane.frame @ (*point, depth, 1)
            assert found.TransformPoint(patient[:3].tolist())[:2] == pytest.approx(on_slide, abs=1e-4)


def test_jacobian_and_bending_are_those_of_known_warps():
    y, x = np.indices((40, 30)) * np.array([0.5, 0.4])[:, None, None]
    stretched = Warp(np.stack([0.2 * x, -0.1 * y], -1), (0.4, 0.5))
    assert stretched.jacobian == pytest.approx(1.2 * 0.9) and stretched.bending == pytest.approx(0, abs=1e-20)
    bent = Warp(np.stack([0.01 * x**2 + 0.02 * x * y, 0 * y], -1), (0.4, 0.5))
    assert bent.bending[5:-5, 5:-5] == pytest.approx(0.02**2 + 2 * 0.02**2)
    folded = Warp(np.stack([-1.5 * x, 0 * y], -1), (0.4, 0.5))
    assert folded.jacobian == pytest.approx(-0.5)


def test_orientations_are_as_seen_on_the_screen():
    right, down = np.array([1.0, 0]), np.array([0, 1.0])
    assert orientation_matrix("r90") @ right == pytest.approx(down), "clockwise: what points right points down"
    assert orientation_matrix("f0") @ right == pytest.approx(-right)
    assert orientation_matrix("f90") @ right == pytest.approx(-down), "mirrored first, then turned"
    from_head = Volume(np.zeros((3, 9, 9)), direction=np.diag([-1.0, 1, -1]))
    assert slice_plane(from_head, 1).view == pytest.approx(np.diag([-1.0, 1])), "stored from the patient's left: shown mirrored"


def test_a_file_without_a_linear_transform_is_refused(tmp_path):
    (tmp_path / "a.tfm").write_text("no transform")
    with pytest.raises(InputError, match="not a file of one linear transform"):
        transforms.read_linear(tmp_path / "a.tfm")
