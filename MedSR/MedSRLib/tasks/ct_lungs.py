"""Where a model's detail goes: into a mask that was given, into the lungs where there are any, or everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import lungs
from ..errors import InputError
from ..run import check_memory
from ..volume import Volume
from .ct_input import name_of
from .ct_region import Region, mask_of, on_region

BYTES_A_VOXEL = 8
"""Of the scan, while its lungs are found (measured: 6)."""
LEAST_OF_SLICE = 0.15
"""Of the body in some slice that lungs take in a chest CT (LIDC-IDRI-0314: 0.31 in the mean): bowel in an abdomen takes less."""
INSTEAD = "give a mask, or {region} all"


@dataclass(frozen=True)
class Where:
    """inside: (z, y, x) bool on the region's grid; None for everywhere. part: "mask", "lungs" or "all"; why: a clause."""

    inside: np.ndarray | None
    part: str
    why: str

    def facts(self) -> dict[str, object]:
        """What the report says; share: of the region's voxels."""
        share = 1.0 if self.inside is None else round(float(self.inside.mean()), 4)
        return {"part": self.part, "share": share, "why": self.why}


def where(frames: Sequence[Volume], mask: Volume | None, region: Region, asked: str, in_hu: bool) -> Where:
    """A mask that is given comes first; then what was asked for: "auto", "lungs" or "all"; "none" where no detail is added at all.

    "auto" takes the lungs where the volume is a chest CT that shows some within the region, else everything. Raises InputError
    where "lungs" was asked for and there are none, ResourceError.
    """
    if mask is not None:
        return Where(mask_of(mask, frames[0], region), "mask", "a mask was given")
    if asked in ("all", "none"):
        return Where(None, "all", "everything was asked for" if asked == "all" else "bicubic is the same everywhere")
    try:
        found = _lungs(frames, region, in_hu, least=LEAST_OF_SLICE if asked == "auto" else 0.0)
    except InputError as error:
        if asked == "lungs":
            raise
        return Where(None, "all", error.what)
    return Where(found, "lungs", "lungs were asked for" if asked == "lungs" else "the volume is a chest CT")


def _lungs(frames: Sequence[Volume], region: Region, in_hu: bool, least: float) -> np.ndarray:
    """The lungs of any frame, looked for in all of the volume, on the grid of the region. least: of a slice of the body."""
    first, name = frames[0], name_of(frames[0])
    if not in_hu:
        raise InputError("the values are not HU, so lungs cannot be told", where=name, fix=INSTEAD)
    check_memory(BYTES_A_VOXEL * first.array.size, "finding the lungs")
    whole = np.zeros(first.shape, bool)
    for frame in frames:
        try:
            found = lungs.mask(frame.array, frame.spacing_mm)
        except InputError as error:
            raise InputError(error.what, where=name, fix=INSTEAD) from error
        if lungs.share_of_body(frame.array, found).max() < least:
            raise InputError("the volume shows too little lung to be a chest CT", where=name, fix=INSTEAD)
        whole |= found
    inside = on_region(first.with_(array=whole.astype(np.uint8)), region)
    if not inside.any():
        raise InputError("there is no lung within the region", where=name, fix=f"choose another {{roi}}, {INSTEAD}")
    return inside
