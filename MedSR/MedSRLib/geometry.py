"""Grids: the only file that makes or changes one. Axes, the slice grid, unshearing, in-plane resampling, physical corners.

The through-plane direction is worked on as z (array axis 0): `swap_axis` brings another voxel axis there and back.
Slice offsets (`positions_mm`, `targets_mm`) are millimetres along the unit z direction from the volume's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError, OptionError
from .volume import Volume

AXES = ("i", "j", "k")
SAME_SPACING = 0.01
"""Relative difference below which two spacings count as equal: headers are rounded."""
ON_GRID = 0.01
"""An acquired slice lies on the output grid where it is nearer to a centre than this share of the output spacing."""
WHOLE_STEPS = 0.1
"""How far (relative) the isotropic default may move from the in-plane spacing to keep every acquired slice on the grid."""


@dataclass(frozen=True)
class SlicePlan:
    """Where the output slices lie.

    targets_mm: (m,) evenly spaced offsets; the first and the last are the first and last acquired slice centres.
    source: (m,) index of the acquired slice at that place, -1 where a slice has to be made.
    spacing_mm: distance between output slices. asked_mm: what was asked for.
    """

    targets_mm: np.ndarray
    source: np.ndarray
    spacing_mm: float
    asked_mm: float


def through_plane_axis(volume: Volume, axis: str = "auto") -> int:
    """Voxel axis (0 = i, 1 = j, 2 = k) across the slices: the one named, or the coarsest; k where it ties."""
    if axis != "auto":
        chosen = AXES.index(axis)
    elif volume.positions_mm is not None or volume.spacing_mm[2] >= max(volume.spacing_mm) * (1 - SAME_SPACING):
        chosen = 2
    else:
        chosen = int(np.argmax(volume.spacing_mm))
    if chosen != 2 and volume.positions_mm is not None:
        raise OptionError("the slices are unevenly spaced along k, so they can only be interpolated along k", where="{axis}")
    return chosen


def swap_axis(volume: Volume, axis: int) -> Volume:
    """The same image with voxel axes `axis` and k exchanged; its own inverse. No voxel moves in the patient."""
    if axis == 2:
        return volume
    order = [0, 1, 2]
    order[axis], order[2] = 2, axis
    spacing = tuple(volume.spacing_mm[i] for i in order)
    return volume.with_(array=np.swapaxes(volume.array, 0, 2 - axis), spacing_mm=spacing, direction=volume.direction[:, order])


def default_spacing_mm(volume: Volume) -> float:
    """The finer in-plane spacing, or the nearest whole fraction of the slice step where that is within WHOLE_STEPS of it."""
    fine, step = min(volume.spacing_mm[:2]), volume.spacing_mm[2]
    whole = step / max(1, round(step / fine))
    return whole if abs(whole - fine) <= WHOLE_STEPS * fine else fine


def plan_slices(volume: Volume, asked_mm: float) -> SlicePlan:
    """The output grid along z: evenly spaced centres from the first slice to the last, both kept.

    Where `asked_mm` does not divide the distance between them into whole steps, the nearest spacing that does is taken.
    Raises InputError where two slices share a position, OptionError for a spacing that is not finer than the slices'.
    """
    positions, name = volume.slice_positions_mm, str(volume.meta.get("name", "volume"))
    gaps = np.diff(positions)
    if gaps.min(initial=np.inf) <= 0:
        raise InputError("two slices lie at the same position, or the slices are out of order", where=name)
    _check_spacing(asked_mm, gaps)
    extent = positions[-1] - positions[0]
    steps = max(1, int(np.floor(extent / asked_mm + 0.5)))
    targets = positions[0] + np.arange(steps + 1) * (extent / steps)
    nearest = np.abs(targets[:, None] - positions[None, :]).argmin(axis=1)
    held = np.abs(positions[nearest] - targets) <= ON_GRID * extent / steps
    return SlicePlan(targets, np.where(held, nearest, -1), extent / steps, asked_mm)


def _check_spacing(asked_mm: float, gaps: np.ndarray) -> None:
    if not np.isfinite(asked_mm) or asked_mm <= 0:
        raise OptionError(f"a spacing of {asked_mm:g} mm is not positive", where="{spacing_mm}")
    step, finer = float(np.median(gaps)), "ask for a finer spacing"
    if asked_mm > step * (1 + SAME_SPACING):
        raise OptionError(f"{asked_mm:g} mm is coarser than the slices' own {step:g} mm", where="{spacing_mm}", fix=finer)
    if asked_mm > step * (1 - SAME_SPACING) and gaps.max() <= step * (1 + SAME_SPACING):
        raise OptionError(f"the slices are already {step:g} mm apart", where="{spacing_mm}", fix=finer)


def place_slices(volume: Volume, array: np.ndarray, plan: SlicePlan, **meta: object) -> Volume:
    """`array` (m, y, x) on the grid of `plan`, in the frame of `volume`."""
    origin = np.array(volume.origin_mm) + volume.direction[:, 2] * plan.targets_mm[0]
    spacing = (*volume.spacing_mm[:2], plan.spacing_mm)
    return volume.with_(array=array, origin_mm=tuple(origin), spacing_mm=spacing, positions_mm=None, meta=meta)


def unshear(volume: Volume, order: int = 3) -> Volume:
    """A sheared stack on a right-angled grid: each slice stays in its own plane and is shifted within it.

    The first in-plane axis stays, the second is made orthogonal to it, the third becomes their normal (on the side of the
    old one), and slice offsets become distances along it. The field of view grows to hold every slice whole; outside an
    acquired slice the volume's minimum is filled in. order: 3 for images (limited to the slice's own range), 0 for labels.
    """
    from scipy.ndimage import affine_transform

    frame = _right_angled(volume.direction)
    offsets = np.outer(volume.slice_positions_mm, volume.direction[:, 2])
    spacing = np.array(volume.spacing_mm[:2])
    corners = _plane_corners(volume, frame, offsets)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.maximum(1, np.ceil((high - low) / spacing - 1e-6).astype(int) + 1)
    to_source = np.linalg.inv((frame[:, :2].T @ volume.direction[:, :2]) * spacing) * spacing  # output pixel to source pixel
    out = np.full((len(offsets), size[1], size[0]), volume.array.min(), dtype=volume.array.dtype)
    for z, plane in enumerate(volume.array):
        start = to_source @ ((low - offsets[z] @ frame[:, :2]) / spacing)
        flipped = to_source[::-1, ::-1]
        args = {"offset": start[::-1], "output_shape": tuple(size[::-1]), "mode": "constant"}
        inside = affine_transform(np.ones(plane.shape, np.float32), flipped, order=0, cval=0.0, **args) > 0
        moved = affine_transform(plane.astype(np.float64), flipped, order=order, cval=float(plane.min()), **args)
        out[z][inside] = cast_like(np.clip(moved, plane.min(), plane.max()), out.dtype)[0][inside]
    origin = np.array(volume.origin_mm) + frame[:, :2] @ low + frame[:, 2] * (offsets[0] @ frame[:, 2])
    return _restack(volume, out, frame, origin, offsets @ frame[:, 2])


def _right_angled(direction: np.ndarray) -> np.ndarray:
    unit = direction / np.linalg.norm(direction, axis=0)
    x = unit[:, 0]
    y = unit[:, 1] - x * (x @ unit[:, 1])
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    return np.column_stack([x, y, z if z @ unit[:, 2] > 0 else -z])


def _plane_corners(volume: Volume, frame: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(n·4, 2) corner voxel centres of each slice in the new in-plane frame, mm from the origin."""
    ny, nx = volume.array.shape[1:3]
    ends = np.array([(i, j) for i in (0, nx - 1) for j in (0, ny - 1)]) * volume.spacing_mm[:2]
    points = ends @ volume.direction[:, :2].T
    return ((points[None] + offsets[:, None]) @ frame[:, :2]).reshape(-1, 2)


def _restack(volume: Volume, array: np.ndarray, frame: np.ndarray, origin: np.ndarray, heights: np.ndarray) -> Volume:
    heights = heights - heights[0]
    gaps = np.diff(heights)
    step = float(np.median(gaps)) if len(gaps) else volume.spacing_mm[2]
    even = len(gaps) == 0 or np.abs(gaps - step).max() <= 1e-6 * step + 1e-9
    return volume.with_(
        array=array,
        origin_mm=tuple(origin),
        direction=frame,
        spacing_mm=(*volume.spacing_mm[:2], step),
        positions_mm=None if even else tuple(heights),
    )


def resample_in_plane(volume: Volume, spacing_mm: float) -> Volume:
    """Each slice at another pixel size, by cubic splines, about the same field-of-view centre; values float32. Slices stay.

    A cubic spline overshoots at sharp edges: values may leave the input's range. Nothing is blurred before a coarser pixel.
    """
    ny, nx = volume.array.shape[1:3]
    (dx, dy), size = volume.spacing_mm[:2], []
    weights = []
    for n, d in ((ny, dy), (nx, dx)):
        m = max(1, int(np.floor(n * d / spacing_mm + 0.5)))
        at = ((np.arange(m) - (m - 1) / 2) * spacing_mm / d + (n - 1) / 2).clip(0, n - 1)
        weights.append(spline_weights(np.arange(n), at).astype(np.float32))
        size.append(m)
    array = np.einsum("yj,zjx->zyx", weights[0], volume.array.astype(np.float32), optimize=True) @ weights[1].T
    shift = [((n - 1) * d - (m - 1) * spacing_mm) / 2 for n, d, m in ((nx, dx, size[1]), (ny, dy, size[0]))]
    origin = np.array(volume.origin_mm) + volume.direction[:, :2] @ shift
    return volume.with_(array=array, spacing_mm=(spacing_mm, spacing_mm, volume.spacing_mm[2]), origin_mm=tuple(origin))


def crop_centre(volume: Volume, height: int, width: int) -> Volume:
    """The central height × width pixels of each slice, or all there are where the slice is smaller."""
    ny, nx = volume.array.shape[1:3]
    y, x = max(0, (ny - height) // 2), max(0, (nx - width) // 2)
    origin = np.array(volume.origin_mm) + volume.direction[:, :2] @ (np.array([x, y]) * volume.spacing_mm[:2])
    return volume.with_(array=volume.array[:, y : y + height, x : x + width], origin_mm=tuple(origin))


def linear_weights(positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(m, n) matrix of linear interpolation from increasing `positions` (n,) to `targets` (m,) between its ends."""
    positions, targets = np.asarray(positions, float), np.asarray(targets, float)
    below, alpha = bracket(positions, targets)
    weights = np.zeros((len(targets), len(positions)))
    rows = np.arange(len(targets))
    weights[rows, below] = 1 - alpha
    weights[rows, np.minimum(below + 1, len(positions) - 1)] += alpha
    return weights


def spline_weights(positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(m, n) matrix of the interpolating cubic spline through increasing `positions` (n,), with zero slope at both ends.

    On an even grid this is the cubic B-spline with mirrored ends of ITK and SciPy ("mirror").
    """
    from scipy.interpolate import make_interp_spline

    positions = np.asarray(positions, float)
    if len(positions) < 2:
        return np.ones((len(targets), len(positions)))
    return make_interp_spline(positions, np.eye(len(positions)), k=3, bc_type="clamped")(np.asarray(targets, float))


def bracket(positions: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each target the index of the slice below it (m,), and how far on towards the next one it lies (m,) in [0, 1]."""
    last = max(0, len(positions) - 2)
    below = np.clip(np.searchsorted(positions, targets, side="right") - 1, 0, last)
    above = np.minimum(below + 1, len(positions) - 1)
    gap = np.where(above > below, positions[above] - positions[below], 1.0)
    return below, np.clip((targets - positions[below]) / gap, 0.0, 1.0)


def same_grid(a: Volume, b: Volume, tolerance_mm: float = 0.01) -> bool:
    """Whether two volumes have the same shape and their corner voxels lie within `tolerance_mm` of each other."""
    return a.shape == b.shape and bool(np.abs(corners_mm(a) - corners_mm(b)).max() <= tolerance_mm)


def corners_mm(volume: Volume) -> np.ndarray:
    """(8, 3) LPS positions of the centres of the eight corner voxels."""
    nz, ny, nx = volume.shape
    return np.array([world_mm(volume, (i, j, k)) for k in (0, nz - 1) for j in (0, ny - 1) for i in (0, nx - 1)])


def world_mm(volume: Volume, index: tuple[int, int, int]) -> np.ndarray:
    """(3,) LPS position of the centre of voxel (i, j, k), by the slices' true positions."""
    i, j, k = index
    along = np.array([i * volume.spacing_mm[0], j * volume.spacing_mm[1], volume.slice_positions_mm[k]])
    return np.array(volume.origin_mm) + volume.direction @ along


def cast_like(values: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
    """Values as `dtype`, and how many had to be limited to its range. Integers are rounded half to even."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return values >= 0.5, 0
    if dtype.kind not in "iu":
        return values.astype(dtype), 0
    info = np.iinfo(dtype)
    rounded = np.rint(values)
    outside = int(np.count_nonzero((rounded < info.min) | (rounded > info.max)))
    if outside or dtype.itemsize >= 4:
        rounded = _limit(rounded, info)
    return rounded.astype(dtype), outside


def _limit(values: np.ndarray, info: np.iinfo) -> np.ndarray:
    """Values within an integer type's range, also where its largest value has no exact floating-point form."""
    values = values.astype(np.float64)
    high = float(info.max) if float(info.max) <= info.max else np.nextafter(float(info.max), 0)
    return values.clip(float(info.min), high)
