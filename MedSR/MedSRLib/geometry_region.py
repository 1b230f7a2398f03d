"""Regions: a box in the patient, the voxels of a volume inside it, and a grid along a box that is rotated; finer pixels.

A box whose axes are those of the voxels cuts whole voxels out, bit for bit. Any other box needs a grid of its own, which
runs along the box, as Slicer's Crop Volume makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from .errors import InputError, OptionError
from .geometry import ON_GRID, cast_like
from .volume import ORTHOGONAL_TOLERANCE, Volume

Ranges = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First voxel and the one behind the last, along z, y and x."""
MARGIN = 3
"""Voxels around a rotated box that its cubic spline is computed from, beside those inside: its weights fade by 0.27 a voxel."""


@dataclass(frozen=True)
class Box:
    """A box in LPS mm. centre_mm, size_mm: (3,), along its own axes; axes: (3, 3), columns are its unit directions.

    Raises OptionError where it has no volume, or its axes are not unit vectors at right angles.
    """

    centre_mm: np.ndarray
    size_mm: np.ndarray
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        numbers = np.concatenate([self.centre_mm, self.size_mm, np.ravel(self.axes)])
        if not np.isfinite(numbers).all() or min(self.size_mm) <= 0:
            raise OptionError(f"a region of {_text(self.size_mm)} mm has no volume", where="{roi}", fix="give three sizes above 0")
        if np.abs(self.axes.T @ self.axes - np.eye(3)).max() > ORTHOGONAL_TOLERANCE:
            raise OptionError(
                "the region's axes are not unit vectors at right angles", where="{roi}", fix="take scaling and shear out of its transform"
            )

    @property
    def corners_mm(self) -> np.ndarray:
        """(8, 3) LPS mm."""
        signs = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
        return self.centre_mm + (signs * self.size_mm / 2) @ self.axes.T


def _text(size: np.ndarray) -> str:
    return " × ".join(f"{s:g}" for s in size)


def is_along(volume: Volume, box: Box) -> bool:
    """Whether each axis of the box is one of the volume's, forwards or backwards."""
    cosines = np.abs(_matched(volume, box)[0].T @ volume.direction)
    return bool(np.abs(cosines - np.eye(3)).max() <= ORTHOGONAL_TOLERANCE)


def _matched(volume: Volume, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """The box's axes (columns) and sizes in the order and the sense of the voxel axes that they are nearest to."""
    cosines = box.axes.T @ volume.direction
    order = max(permutations(range(3)), key=lambda p: sum(abs(cosines[p[i], i]) for i in range(3)))
    signs = np.sign([cosines[order[i], i] for i in range(3)])
    return box.axes[:, order] * signs, np.asarray(box.size_mm)[list(order)]


def voxels_inside(volume: Volume, box: Box) -> tuple[Ranges, bool]:
    """The voxels whose centres lie in a box along the voxel axes, at least one each way, and whether all of the box is in the volume.

    Raises InputError where the box lies outside the volume.
    """
    _, sizes = _matched(volume, box)
    centre = np.linalg.solve(volume.direction, np.asarray(box.centre_mm) - volume.origin_mm)
    places = [np.arange(n) * s for n, s in zip(volume.shape[:0:-1], volume.spacing_mm, strict=False)] + [volume.slice_positions_mm]
    found, whole = [], True
    for at, middle, size, step in zip(places, centre, sizes, volume.spacing_mm, strict=True):
        low, high = middle - size / 2, middle + size / 2
        if high <= at[0] - step / 2 or low >= at[-1] + step / 2:
            raise InputError("the region lies outside the volume", where="{roi}", fix="give its centre and size in LPS mm")
        inside = np.flatnonzero((at >= low - 1e-6) & (at <= high + 1e-6))
        inside = inside if len(inside) else np.abs(at - middle).argmin(keepdims=True)
        found.append((int(inside[0]), int(inside[-1]) + 1))
        whole = whole and low >= at[0] - step / 2 - 1e-3 and high <= at[-1] + step / 2 + 1e-3
    return (found[2], found[1], found[0]), whole


def crop(volume: Volume, ranges: Ranges) -> Volume:
    """Some voxels of a volume, where they are. Raises InputError where there are none."""
    if any(not 0 <= a < b <= n for (a, b), n in zip(ranges, volume.shape, strict=True)):
        sizes = ", ".join(f"{axis} 0 to {n}" for axis, n in zip("ijk", volume.shape[::-1], strict=True))
        raise InputError("the region leaves the volume, or holds no voxel", where="{roi}", fix=f"stay within {sizes}")
    (k, k_end), (j, j_end), (i, i_end) = ranges
    positions = volume.slice_positions_mm[k:k_end]
    along = np.array([i * volume.spacing_mm[0], j * volume.spacing_mm[1], positions[0]])
    return volume.with_(
        array=volume.array[k:k_end, j:j_end, i:i_end],
        origin_mm=tuple(np.array(volume.origin_mm) + volume.direction @ along),
        positions_mm=None if volume.positions_mm is None else _uneven(positions - positions[0], volume.spacing_mm[2]),
    )


def _uneven(positions: np.ndarray, step: float) -> tuple[float, ...] | None:
    """The positions of slices; None where they are `step` apart."""
    even = np.abs(np.diff(positions) - step).max(initial=0) <= 1e-6 * step
    return None if even else tuple(positions)


def hollow_along(volume: Volume, box: Box) -> Volume:
    """The grid that `resample_along` gives, with voxels of 0 that take no memory: for plans.

    Raises InputError where the box lies outside, or slices are unevenly spaced.
    """
    axes, count, origin = _grid_along(volume, box, (0, 0))
    if not _touches(volume, box):
        raise InputError("the region lies outside the volume", where="{roi}", fix="give its centre and size in LPS mm")
    hollow = np.broadcast_to(volume.array.dtype.type(0), tuple(count[::-1]))
    return volume.with_(array=hollow, origin_mm=tuple(origin), direction=axes)


def _touches(volume: Volume, box: Box) -> bool:
    """Whether a box and the box of the volume's voxels share any space: no axis parts them (separating axis theorem)."""
    size = np.array(volume.shape[::-1]) * volume.spacing_mm
    middle = (volume.affine @ np.append((np.array(volume.shape[::-1]) - 1) / 2, 1))[:3]
    crossed = np.cross(box.axes.T[:, None], volume.direction.T[None]).reshape(9, 3)
    for axis in (*box.axes.T, *np.linalg.inv(volume.direction), *crossed):
        reach = np.abs(axis @ box.axes) @ box.size_mm / 2 + np.abs(axis @ volume.direction) @ size / 2
        if np.linalg.norm(axis) > ORTHOGONAL_TOLERANCE and abs(axis @ (box.centre_mm - middle)) > reach:
            return False
    return True


def _grid_along(volume: Volume, box: Box, margin: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes (columns), voxel counts (x, y, z) and origin of a grid along a box. margin: voxels more (across slices, in the plane)."""
    if volume.positions_mm is not None:
        raise InputError("slices that are unevenly spaced do not fit a rotated region", where="{roi}", fix="interpolate the slices first")
    axes, sizes = _matched(volume, box)
    spacing = np.array(volume.spacing_mm)
    count = np.maximum(1, np.rint(sizes / spacing).astype(int)) + 2 * np.array([margin[1], margin[1], margin[0]])
    return axes, count, np.asarray(box.centre_mm) - axes @ ((count - 1) * spacing / 2)


def resample_along(volume: Volume, box: Box, *, order: int = 3, margin: tuple[int, int] = (0, 0)) -> tuple[Volume, np.ndarray]:
    """The volume on a grid along a box, of its own spacing, centred on the box; and which voxels lie in the volume (z, y, x) bool.

    Each axis of the grid is the box's axis nearest to that voxel axis, so that slices stay slices. order: 3 for images (values
    stay within those around the box), 0 for labels. margin: voxels more on each side, (across slices, in the plane).
    Outside the volume its smallest value stands. Raises InputError where the box lies outside, or slices are unevenly spaced.
    """
    from scipy.ndimage import affine_transform

    axes, count, origin = _grid_along(volume, box, margin)
    spacing = np.array(volume.spacing_mm)
    to_index = np.linalg.inv(volume.affine[:3, :3])
    matrix, start = to_index @ (axes * spacing), to_index @ (origin - volume.origin_mm)
    part, first = _around(volume, matrix, start, count)
    place = {"offset": (start - first)[::-1], "output_shape": tuple(count[::-1]), "mode": "constant"}
    flipped = matrix[::-1, ::-1]
    inside = affine_transform(np.ones(part.shape, np.uint8), flipped, order=0, cval=0, **place) > 0
    if not inside.any():
        raise InputError("the region lies outside the volume", where="{roi}", fix="give its centre and size in LPS mm")
    if order:
        edge = affine_transform(part.astype(np.float32), flipped, order=order, **{**place, "mode": "nearest"})
        made = cast_like(edge.clip(part.min(), part.max()), part.dtype)[0]
    else:
        made = affine_transform(part, flipped, order=0, **place)
    made = np.where(inside, made, part.min())
    return volume.with_(array=made, origin_mm=tuple(origin), direction=axes), inside


def _around(volume: Volume, matrix: np.ndarray, start: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The voxels that a grid is made from, and the index (i, j, k) of the first of them."""
    ends = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (count - 1)
    index = ends @ matrix.T + start
    last = np.array(volume.shape[::-1]) - 1
    low = (np.floor(index.min(axis=0)).astype(int) - MARGIN).clip(0, last)
    high = (np.ceil(index.max(axis=0)).astype(int) + MARGIN).clip(0, last) + 1
    return volume.array[low[2] : high[2], low[1] : high[1], low[0] : high[0]], low


def place_of(part: Volume, whole: Volume, factor: int = 1) -> Ranges:
    """The voxels of `whole` that `part` covers, whose pixels are `factor` times finer. The inverse of crop and finer_in_plane.

    Raises InputError where part's voxels are not those of whole, so divided.
    """
    spacing = np.array(part.spacing_mm) * (factor, factor, 1)
    size = np.array(part.shape[::-1]) // (factor, factor, 1)
    alike = np.allclose(spacing, whole.spacing_mm, rtol=ON_GRID) and np.abs(part.direction - whole.direction).max() < ORTHOGONAL_TOLERANCE
    middle = np.array([(factor - 1) / 2, (factor - 1) / 2, 0, 1])
    first = np.linalg.solve(whole.affine, part.affine @ middle)[:3]
    low, high = np.rint(first).astype(int), np.rint(first).astype(int) + size
    held = np.abs(first - low).max() <= ON_GRID * 5 and np.all(low >= 0) and np.all(high <= whole.shape[::-1])
    if not (alike and held and np.array_equal(size * (factor, factor, 1), part.shape[::-1])):
        raise InputError(
            "is not on the grid of the reference, nor on it divided by whole pixels", where=str(part.meta.get("name", "volume"))
        )
    return tuple((int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))  # type: ignore[return-value]


def finer_in_plane(volume: Volume, array: np.ndarray, factor: int) -> Volume:
    """`array` (z, factor·y, factor·x) on the grid of `volume` with each pixel divided into factor × factor: the same physical box.

    So the centre of the first pixel lies (factor − 1) / 2 new pixels before that of the old one, along both axes of the plane.
    """
    spacing = np.array([*np.array(volume.spacing_mm[:2]) / factor, volume.spacing_mm[2]])
    shift = volume.direction[:, :2] @ spacing[:2] * (factor - 1) / 2
    return volume.with_(array=array, spacing_mm=tuple(spacing), origin_mm=tuple(np.array(volume.origin_mm) - shift))


def pixel_weights(size: int, factor: int) -> np.ndarray:
    """(factor·size, size) matrix of Keys' cubic interpolation (a = −0.5) to pixels `factor` times finer, edges aligned.

    Where the kernel reaches beyond the ends, the weights that are left are scaled to sum to one, as Pillow and PyTorch
    (bicubic, antialias) do.
    """
    at = (np.arange(size * factor) + 0.5) / factor - 0.5
    distance = np.abs(at[:, None] - np.arange(size))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)
