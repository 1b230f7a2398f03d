"""The region that is super-resolved: what the option `roi` says, the volume cut or resampled to it, and what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, OptionError
from ..geometry import same_grid
from ..geometry_region import Box, Ranges, crop, hollow_along, is_along, resample_along, voxels_inside
from ..intensity import HOUNSFIELD, PADDING_HU
from ..volume import Volume
from .ct_input import filled, name_of, padding_of

FORMS = "give x,y,z,width,depth,height in LPS mm, the same with three unit axes behind, or ijk,i0,i1,j0,j1,k0,k1 in voxels"
OUTSIDE_HU = -2000.0
"""What stands in a rotated region where there is no scan: read as padding by everything behind it."""


@dataclass(frozen=True)
class Region:
    """The part of a volume that is worked on.

    volume: on the region's own grid. around: an array (z, y, x) that holds the region and what surrounds it, and offset:
    the index in it of the region's first voxel. warnings: sentences for the user.
    """

    volume: Volume
    around: np.ndarray
    offset: tuple[int, int, int]
    warnings: tuple[str, ...] = ()
    box: Box | None = None
    ranges: Ranges | None = None


def parse(text: str) -> Box | Ranges | None:
    """What the option `roi` says: None for all of the volume, a Box in LPS mm, or voxel ranges (z, y, x). Raises OptionError."""
    words = text.replace(",", " ").replace(";", " ").split()
    if not words:
        return None
    voxels = words[0].lower() == "ijk"
    try:
        numbers = np.array([float(word) for word in words[voxels:]])
    except ValueError as error:
        raise OptionError(f"{text!r} is not a region", where="{roi}", fix=FORMS) from error
    if len(numbers) not in ((6,) if voxels else (6, 15)):
        raise OptionError(f"{len(numbers)} numbers are not a region", where="{roi}", fix=FORMS)
    if voxels:
        i, i_end, j, j_end, k, k_end = (int(n) for n in numbers)
        return (k, k_end), (j, j_end), (i, i_end)
    axes = numbers[6:].reshape(3, 3).T if len(numbers) == 15 else np.eye(3)
    return Box(numbers[:3], numbers[3:6], axes)


def roi_text(centre_mm: Sequence[float], size_mm: Sequence[float], axes: np.ndarray | None = None) -> str:
    """The option `roi` of a box in LPS mm; axes: (3, 3), columns are its unit directions. For doors that hold a box as numbers."""
    turned = [] if axes is None or np.allclose(axes, np.eye(3)) else list(np.asarray(axes).T.ravel())
    return ",".join(repr(float(n)) for n in (*centre_mm, *size_mm, *turned))


def hollow(volume: Volume, roi: str) -> Volume:
    """The grid of the region that `roi` names, without looking at a voxel: what a plan is made from. Raises InputError, OptionError."""
    asked = parse(roi)
    if isinstance(asked, Box) and not is_along(volume, asked):
        return hollow_along(volume, asked)
    return cut(volume, roi, (0, 0), in_hu=False).volume


def cut(volume: Volume, roi: str, margin: tuple[int, int], in_hu: bool) -> Region:
    """The region of a volume that `roi` names.

    A box along the voxel axes, or voxel ranges, give whole voxels bit for bit; a rotated box gives a grid along itself, to
    which the scan is resampled first (cubic), `margin` (slices, pixels) further on each side. Raises InputError, OptionError.
    """
    asked = parse(roi)
    if asked is None:
        return Region(volume, volume.array, (0, 0, 0))
    if isinstance(asked, Box) and not is_along(volume, asked):
        return _rotated(volume, asked, margin, in_hu)
    ranges, whole = voxels_inside(volume, asked) if isinstance(asked, Box) else (asked, True)
    said = () if whole else ("the region reaches beyond the volume: it ends where the volume ends",)
    first = tuple(start for start, _ in ranges)
    return Region(crop(volume, ranges), volume.array, first, said, None, ranges)  # type: ignore[arg-type]


def _rotated(volume: Volume, box: Box, margin: tuple[int, int], in_hu: bool) -> Region:
    clean = volume
    padded = in_hu and bool((volume.array < PADDING_HU).any())
    if padded:  # a spline would ring around it
        planes = [filled(plane, padding_of(plane, HOUNSFIELD)) for plane in volume.array]
        clean = volume.with_(array=np.stack(planes).astype(volume.array.dtype))
    wide, inside = resample_along(clean, box, margin=margin)
    if padded:
        inside &= (
            resample_along(volume.with_(array=(volume.array >= PADDING_HU).astype(np.uint8)), box, order=0, margin=margin)[0].array > 0
        )
    array = np.where(inside, wide.array, wide.array.dtype.type(OUTSIDE_HU)) if in_hu else wide.array
    ranges = tuple((m, n - m) for m, n in zip((margin[0], margin[1], margin[1]), wide.shape, strict=True))
    said = ["the region is rotated against the scan: the scan was resampled to a grid along the region first (cubic), which smooths it"]
    within = inside[tuple(slice(*r) for r in ranges)]
    if not within.all():
        said.append(
            f"{100 * (1 - within.mean()):.0f} % of the region lies outside the scan" + (f" and is {OUTSIDE_HU:.0f} HU" if in_hu else "")
        )
    wide = wide.with_(array=array)
    first = tuple(start for start, _ in ranges)
    return Region(crop(wide, ranges), array, first, tuple(said), box)  # type: ignore[arg-type]


def mask_of(mask: Volume, volume: Volume, region: Region) -> np.ndarray:
    """(z, y, x) bool on the region's grid. Raises InputError where the mask is no label volume, elsewhere, or empty in the region."""
    name = str(mask.meta.get("name", "mask"))
    if mask.array.ndim != 3 or mask.array.dtype.kind not in "bui":
        raise InputError("a mask holds whole numbers, one a voxel", where=name)
    if not same_grid(mask, volume):
        raise InputError(f"the mask is not on the grid of {name_of(volume)}", where=name, fix="export it with the volume as its reference")
    labels = mask.with_(array=(mask.array != 0).astype(np.uint8), positions_mm=volume.positions_mm)
    found = on_region(labels, region)
    if not found.any():
        raise InputError("the mask is empty" + (" within the region" if labels.array.any() else ""), where=name, fix="give another mask")
    return found


def on_region(labels: Volume, region: Region) -> np.ndarray:
    """(z, y, x) bool on the region's grid, of a label volume on the grid of the scan."""
    if region.box is not None:
        turned, inside = resample_along(labels, region.box, order=0)
        return turned.array * inside > 0
    return (labels.array if region.ranges is None else crop(labels, region.ranges).array) > 0
