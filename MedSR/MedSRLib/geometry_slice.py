"""One slice of a volume as a plane, and the frame of a slide: where a picture lies that is placed on the slice.

Conventions. Plane coordinates (u, v) are millimetres along the volume's x and y axes from the centre of pixel (0, 0); w runs along
its z axis from the slice's middle. Slide millimetres are level-0 pixels times micrometres per pixel / 1000, from the outer corner of
the first pixel, so that pixel (i, j) has its centre at (i + 0.5, j + 0.5) pixels; the slide lies at z = 0 of its own frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError, OptionError
from .geometry import world_mm
from .geometry_plane import Window
from .volume import Volume

TILT = 1e-3
"""mm off the slice per mm along the slide: rounding of files, not more."""
SLICE_SHARE = 0.05
"""Of the distance of slices."""
VIEWS = {2: ((1, 0, 0), (0, 1, 0)), 1: ((1, 0, 0), (0, 0, -1)), 0: ((0, 1, 0), (0, 0, -1))}
"""LPS axis across the plane: the directions that point right and down on a radiologist's screen (axial, coronal, sagittal)."""


@dataclass(frozen=True)
class SlicePlane:
    """frame: 4x4, (u, v, w, 1) in mm to LPS mm. shape: (rows, columns). spacing_mm: (x, y). thickness_mm: distance of slices.

    index: which slice of its volume.
    """

    frame: np.ndarray
    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    thickness_mm: float
    index: int

    @property
    def window(self) -> Window:
        """The slice's pixel grid, for outlines in picture coordinates (from the outer corner of the first pixel)."""
        rows, columns = self.shape
        return Window((0.0, 0.0, float(columns), float(rows)), self.shape)

    @property
    def to_picture(self) -> np.ndarray:
        """3x3: plane mm (u, v, 1) to picture coordinates; a pixel's centre lies half a pixel from its corner."""
        x, y = self.spacing_mm
        return np.array([[1 / x, 0, 0.5], [0, 1 / y, 0.5], [0, 0, 1.0]])

    @property
    def view(self) -> np.ndarray:
        """2x2 signed permutation: (right, down) on a radiologist's screen to (u, v), however the volume is stored."""
        across = int(np.argmax(np.abs(self.frame[:3, 2])))
        right, down = (self.frame[:3, :2].T @ np.array(axis, float) for axis in VIEWS[across])
        swapped = abs(right[1]) > abs(right[0])
        x, y = (1, 0) if swapped else (0, 1)
        view = np.zeros((2, 2))
        view[x, 0], view[y, 1] = np.sign(right[x]) or 1.0, np.sign(down[y]) or 1.0
        return view

    def to_patient(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) plane mm to (n, 3) LPS mm."""
        return np.asarray(points, float) @ self.frame[:3, :2].T + self.frame[:3, 3]

    def to_plane(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) LPS mm to (n, 3): u, v, and the distance w from the slice's middle, all mm."""
        return (np.asarray(points, float) - self.frame[:3, 3]) @ np.linalg.inv(self.frame[:3, :3]).T

    def place(self, in_plane: np.ndarray) -> np.ndarray:
        """4x4, slide frame to LPS mm, of the 3x3 affine `in_plane` from slide mm (x, y, 1) to plane mm (u, v, 1).

        Depth is kept: 1 mm across the slide is 1 mm across the slice. A mirrored slide is one turned over: its z axis then points
        against the slice's, and the matrix keeps a positive determinant on a right-handed volume.
        """
        lifted = np.eye(4)
        lifted[:2, :2], lifted[:2, 3] = in_plane[:2, :2], in_plane[:2, 2]
        lifted[2, 2] = np.sign(np.linalg.det(in_plane[:2, :2])) or 1.0
        return self.frame @ lifted


def slice_plane(volume: Volume, index: int) -> SlicePlane:
    """The plane of slice `index`. Raises OptionError outside of the volume, InputError where its axes are not at right angles."""
    name = str(volume.meta.get("name", "volume"))
    if not 0 <= index < volume.shape[0]:
        raise OptionError(f"there is no slice {index} in a volume of {volume.shape[0]} (counted from 0)", where="{slice}")
    if volume.is_sheared:
        raise InputError("its axes are not at right angles", where=name, fix="resample it to a right-angled grid first")
    frame = np.eye(4)
    frame[:3, :3] = volume.direction / np.linalg.norm(volume.direction, axis=0)
    frame[:3, 3] = world_mm(volume, (0, 0, index))
    rows, columns = volume.shape[1:]
    return SlicePlane(frame, (rows, columns), volume.spacing_mm[:2], volume.spacing_mm[2], index)


def slice_under(volume: Volume, slide_to_patient: np.ndarray) -> SlicePlane:
    """The slice that a 4x4 (slide frame to LPS mm) lays its slide on.

    Raises InputError where the slide is tilted against the slices, or lies beyond the volume or more than SLICE_SHARE off a slice.
    """
    lifted = np.linalg.inv(slice_plane(volume, 0).frame) @ slide_to_patient
    place = lifted[2, 3] / volume.spacing_mm[2]
    if np.abs(lifted[2, :2]).max() > TILT or abs(place - round(place)) > SLICE_SHARE or not 0 <= round(place) < volume.shape[0]:
        fix = "give the MRI that it was made for"
        raise InputError("the transform does not lay its slide on one of the MRI's slices", where="transform", fix=fix)
    return slice_plane(volume, round(place))


def slide_frame(mpp_um: tuple[float, float]) -> np.ndarray:
    """3x3: level-0 pixels (x, y, 1) to slide mm."""
    return np.diag([mpp_um[0] / 1000, mpp_um[1] / 1000, 1.0])


def slide_volume(picture: np.ndarray, grid: Window, mpp_um: tuple[float, float], thickness_mm: float) -> Volume:
    """A picture (h, w, 3) on `grid` as a volume of one slice in the slide's frame, to be moved by `SlicePlane.place`.

    The first voxel's centre lies half a pixel inside of the grid's corner.
    """
    scale = np.array(mpp_um) / 1000
    step = np.array(grid.step) * scale
    origin = np.array(grid.box[:2]) * scale + step / 2
    return Volume(picture[None], (*step, thickness_mm), (*origin, 0.0))
