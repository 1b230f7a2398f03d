"""What a stack of slices must be before it can be interpolated, and the form the methods work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import SAME_SPACING, corners_mm, swap_axis, through_plane_axis, unshear
from ..volume import Volume
from .synthesis import Synthesis

HUGE = 1e30
"""Values beyond this, or ranges below its inverse, are scaled before they become float32."""


@dataclass(frozen=True)
class Stack:
    """A volume whose slices lie along z, on a right-angled grid.

    axis: the voxel axis (0 = i, 1 = j, 2 = k) that was exchanged with k, see geometry.swap_axis.
    resampled: whether the slices had to be shifted in their plane (unsheared), so that none is the acquired one bit for bit.
    warnings: sentences for the user.
    """

    volume: Volume
    axis: int = 2
    resampled: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Working:
    """Slices (n, h, w) float32 with value = offset + scale · working, so that large numbers keep their differences."""

    slices: np.ndarray
    offset: float = 0.0
    scale: float = 1.0

    def restored(self, made: Synthesis) -> np.ndarray:
        """What a method made of these slices, in input units. The offset that was taken off comes back as the method makes it."""
        if self.scale == 1 and self.offset == 0:
            return made.values
        level = np.multiply(made.gain, self.offset)
        return made.values.astype(np.float64) * self.scale + level.reshape(-1, *(1,) * (made.values.ndim - 1))


def prepare(volume: Volume, axis: str = "auto", allow_shear: bool = False, labels: bool = False) -> Stack:
    """Check one frame and turn it into a Stack. Raises InputError, one sentence, for what cannot be interpolated."""
    name = str(volume.meta.get("name", "volume"))
    _check_kind(volume.array, name)
    if volume.shape[0] == 1:
        raise InputError("there is a single slice, so nothing lies in between", where=name, fix="give the whole series")
    chosen = through_plane_axis(volume, axis)
    stack = swap_axis(volume, chosen)
    if min(stack.shape) < 2:
        what = "a single slice along that axis" if stack.shape[0] < 2 else "slices that are 1 voxel wide"
        raise InputError(f"the volume has {what}", where=name, fix="choose another {axis}" if axis != "auto" else "give a volume")
    warnings = [str(w) for w in volume.meta.get("warnings", ())]
    if stack.is_sheared and not allow_shear:
        what = "the axes are not at right angles (tilted gantry or sheared affine)"
        raise InputError(what, where=name, fix="allow resampling with {allow_shear}")
    if stack.is_sheared:
        warnings.append("the axes are not at right angles: every slice was shifted within its plane to a right-angled grid")
        return Stack(unshear(stack, order=0 if labels else 3), chosen, True, (*warnings, *_uneven(stack)))
    return Stack(stack, chosen, False, (*warnings, *_uneven(stack)))


def _check_kind(array: np.ndarray, name: str) -> None:
    if array.dtype.kind == "c":
        raise InputError("the voxels are complex numbers", where=name, fix="give the magnitude image")
    if array.ndim == 4:
        raise InputError(f"each voxel has {array.shape[3]} channels (colour or vector)", where=name, fix="give a grey-scale volume")
    if array.dtype.kind not in "buif":
        raise InputError(f"voxels of type {array.dtype} are not numbers", where=name)


def varied_frames(frames: Sequence[Volume]) -> tuple[list[int], tuple[str, ...]]:
    """(indices of the frames that are not constant, a sentence naming those that are).

    Raises InputError where a voxel is no finite number, or where no frame varies.
    """
    name, many = str(frames[0].meta.get("name", "volume")), len(frames) > 1
    for number, frame in enumerate(frames, 1):
        bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in frame.array) if frame.array.dtype.kind == "f" else 0
        if bad:
            where = f"{bad} voxels of frame {number}" if many else f"{bad} voxels"
            raise InputError(f"{where} are NaN or infinite", where=name, fix="replace them by numbers first")
    varied = [i for i, frame in enumerate(frames) if not is_constant(frame.array)]
    if not varied:
        what = "every frame is constant" if many else f"every voxel is {frames[0].array.flat[0]}"
        raise InputError(f"{what}, so there is nothing to interpolate", where=name)
    flat = [str(i + 1) for i in range(len(frames)) if i not in varied]
    if not flat:
        return varied, ()
    which = f"frame {flat[0]} is" if len(flat) == 1 else f"frames {', '.join(flat)} are each"
    return varied, (f"{which} of one value throughout, and so in the result",)


def is_constant(array: np.ndarray) -> bool:
    """Whether all voxels hold one value."""
    return bool(array.min() == array.max())


def _uneven(volume: Volume) -> tuple[str, ...]:
    """A sentence where the steps between slices differ, naming them; a step of whole multiples is a missing slice."""
    gaps = np.diff(volume.slice_positions_mm)
    step = float(np.median(gaps))
    if any("position" in str(warning) for warning in volume.meta.get("warnings", ())):
        return ()  # the reader has already said so
    if step <= 0 or np.abs(gaps - step).max() <= SAME_SPACING * step:
        return ()
    wide = gaps[gaps > step * (1 + SAME_SPACING)]
    missing = np.rint(wide / step) - 1
    if len(wide) and not np.any(gaps < step * (1 - SAME_SPACING)) and np.abs(wide / step - missing - 1).max() <= 0.02:
        count = int(missing.sum())
        return (f"{count} slice{'s are' if count > 1 else ' is'} missing between the others: interpolated by the slices' true positions",)
    return (f"the slices are {gaps.min():.3g} to {gaps.max():.3g} mm apart: interpolated by their true positions",)


SAME_PLACE_MM = 0.01
"""Frames of one image lie at the same place to within this."""


def check_frames(frames: Sequence[Volume]) -> None:
    """Frames of one image hold real numbers and share grid and scalar type. Raises InputError where they do not."""
    if not frames:
        raise InputError("there is no image", where="volume")
    first = frames[0]
    _check_kind(first.array, str(first.meta.get("name", "volume")))
    for number, frame in enumerate(frames[1:], 2):
        if frame.array.shape != first.array.shape or frame.array.dtype != first.array.dtype:
            raise InputError(f"frame {number} differs from the first in size or type", where=str(first.meta.get("name", "volume")))
        elsewhere = np.abs(corners_mm(frame) - corners_mm(first)).max() > SAME_PLACE_MM
        if elsewhere or np.abs(frame.slice_positions_mm - first.slice_positions_mm).max() > SAME_PLACE_MM:
            raise InputError(f"frame {number} lies elsewhere than the first", where=str(first.meta.get("name", "volume")))


def to_working(array: np.ndarray) -> Working:
    """The float32 form of a stack. Types of 4 bytes and more are centred first, as float32 has 24 bits only."""
    if array.dtype.kind == "b" or array.dtype.itemsize <= 2 or array.dtype == np.float32:
        return Working(np.ascontiguousarray(array, dtype=np.float32))
    low, high = float(array.min()), float(array.max())
    offset = low / 2 + high / 2
    reach = max(high - offset, offset - low)
    scale = reach if reach > HUGE or reach < 1 / HUGE else 1.0
    slices = np.empty(array.shape, np.float32)
    for z, plane in enumerate(array):
        slices[z] = (plane.astype(np.float64) - offset) / scale
    return Working(slices, offset, scale)
