"""Where the lungs are in a chest CT.

By threshold and morphology, as Zheng et al., "Multi-modality super-resolution loss", 2020, section 2.5, after Hu, Hoffman and
Reinhardt, "Automatic lung segmentation", IEEE TMI 2001: air, without what touches the border, the largest parts, holes and
vessels closed. Arrays are (z, y, x) in HU.
"""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .intensity import PADDING_HU

AIR_HU = -500.0
"""Between lung and soft tissue; iterated thresholds of chest CT end within 100 HU of it (Hu 2001)."""
CLOSING_MM = 6.0
"""Vessels and walls up to twice as wide are taken into the mask."""
LEAST_ML = 1.0
"""A smaller part is bowel gas or noise."""
LEAST_SHARE = 0.1
"""A part much smaller than the largest is no lung."""


EMPTIEST_HU = -1024
"""What counts as no more than air where means are taken: scanners write noise below −1000 or cut it off here."""
GAS_HU = -950.0
"""Mean of gas in bowel and windpipe lies below it, that of lung above: emphysema is what is below it within a lung (Gevenois 1995)."""


def mask(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """(z, y, x) HU → boolean mask of both lungs with their vessels, airways inside them included.

    spacing_mm: (x, y, z). Padding counts as the air outside; the image itself is not touched. Raises InputError without lung.
    """
    air = (hu < AIR_HU) & (hu >= PADDING_HU)
    inside = _without_outside(air, hu)
    kept = _large_parts(inside, float(np.prod(spacing_mm)) / 1000)
    fix = "give a mask, or check that this is a chest CT in HU"
    if not kept.any():
        raise InputError("no lung was found: no large region of air inside the body", fix=fix)
    level = float(np.maximum(hu[kept], EMPTIEST_HU).mean())
    if level < GAS_HU:
        raise InputError(f"no lung was found: the air inside the body is gas alone ({level:.0f} HU)", fix=fix)
    return _closed(kept, spacing_mm)


def share_of_body(hu: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """(z,): the part of each slice of the body that is lung; 0 where there is no body."""
    body = np.count_nonzero(lungs | (hu >= AIR_HU), axis=(1, 2))
    return np.count_nonzero(lungs, axis=(1, 2)) / np.maximum(body, 1)


OUTSIDE_HU = -970.0
"""Air outside is emptier than lung: its mean lies below."""


def _without_outside(air: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """Without what touches the left, right, front or back border of its slice; nothing is taken off a crop inside a lung.

    Slice by slice, so that lungs cut by the first or last slice stay. A slice is a crop where no air at its border is as empty as
    air outside; where some is, all that touches the border goes, foam under the patient included.
    """
    from scipy import ndimage

    kept = air.copy()
    for z in range(len(air)):
        # Padding joins what it parts: outside air on both sides of it is one.
        labels, _ = ndimage.label(air[z] | (hu[z] < PADDING_HU))
        border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        border = border[border > 0]
        if border.size and min(ndimage.mean(np.maximum(hu[z], EMPTIEST_HU), labels, border)) < OUTSIDE_HU:
            kept[z][np.isin(labels, border)] = False
    return kept


def _large_parts(inside: np.ndarray, voxel_ml: float) -> np.ndarray:
    """Parts, joined in 3-D after an opening, that are at least LEAST_ML and LEAST_SHARE of the largest."""
    from scipy import ndimage

    opened = ndimage.binary_opening(inside, structure=np.ones((1, 3, 3), bool))
    labels, count = ndimage.label(opened)
    if not count:
        return np.zeros(inside.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ((sizes * voxel_ml >= LEAST_ML) & (sizes >= LEAST_SHARE * sizes.max()))[labels]


def _closed(kept: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Closing by a disc of CLOSING_MM in each slice (by distances: as fast at any size), then holes filled slice by slice."""
    from scipy import ndimage

    out = np.zeros(kept.shape, bool)
    plane = spacing_mm[1], spacing_mm[0]
    pad = [int(np.ceil(CLOSING_MM / s)) + 1 for s in plane]
    for z in np.flatnonzero(kept.any((1, 2))):
        box = ndimage.find_objects(kept[z].astype(np.uint8))[0]
        wide = np.pad(kept[z][box], [(p, p) for p in pad])
        grown = ndimage.distance_transform_edt(~wide, sampling=plane) <= CLOSING_MM
        closed = (ndimage.distance_transform_edt(grown, sampling=plane) > CLOSING_MM) | wide
        out[z][box] = ndimage.binary_fill_holes(closed)[pad[0] : -pad[0], pad[1] : -pad[1]]
    return out
