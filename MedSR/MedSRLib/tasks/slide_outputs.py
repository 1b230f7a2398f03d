"""What a placement gives: outlines as labels on the MRI's grid, their figures, and the fused image.

The fused image has the slide's colour, and a brightness between the MRI's (opacity 0) and the slide's (opacity 1, where its pixels are
as the slide has them). Outside of the gland it is the MRI alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import OptionError
from ..geometry_plane import window
from ..geometry_slice import slide_frame
from ..geometry_warp import Placement
from ..io.slides import Slide
from ..metrics import dice, hausdorff95
from ..outlines import Outline, Polygon, joined
from ..outlines_area import mask
from ..volume import Volume
from ..volume_layers import layered
from .slide_input import MriSide

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Recommendation ITU-R BT.601."""
GREY_PERCENTILES = (1.0, 99.5)
EDGE_MM = 0.5
"""A straight edge on the slide is cut into such pieces before a warp bends it."""


def carried(outline: Outline, placement: Placement, mpp_um: tuple[float, float]) -> Outline:
    """An outline in level-0 pixels, moved to the picture coordinates of the MRI slice."""
    in_mm, to_picture = outline.moved(slide_frame(mpp_um)), placement.plane.to_picture

    def carry(ring: np.ndarray) -> np.ndarray:
        return placement.to_plane(dense(ring) if placement.warp else ring) @ to_picture[:2, :2].T + to_picture[:2, 2]

    polygons = tuple(Polygon(carry(p.exterior), tuple(carry(hole) for hole in p.holes)) for p in in_mm.polygons)
    return Outline(outline.name, polygons, outline.colour)


def dense(ring: np.ndarray) -> np.ndarray:
    """The ring with no edge longer than EDGE_MM."""
    nxt = np.roll(ring, -1, axis=0)
    count = np.maximum(np.ceil(np.linalg.norm(nxt - ring, axis=1) / EDGE_MM).astype(int), 1)
    edge = np.repeat(np.arange(len(ring)), count)
    along = (np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)) / count[edge]
    return ring[edge] + along[:, None] * (nxt - ring)[edge]


def scores(moved: Outline, placement: Placement, reference: np.ndarray | None = None) -> dict[str, Any]:
    """A row of the table: area and place of a carried outline, and where a mask is there its agreement with it, in mm."""
    plane = placement.plane
    centre = (moved.centroid - 0.5) * plane.spacing_mm
    row: dict[str, Any] = {"outline": moved.name, "area_mm2": moved.area_px * float(np.prod(plane.spacing_mm))}
    row |= {f"centroid_{axis}_mm": float(v) for axis, v in zip("lps", plane.to_patient(centre[None])[0], strict=True)}
    row |= dict.fromkeys(("dice", "hausdorff95_mm", "centroid_distance_mm"))
    if reference is not None:
        there = np.argwhere(reference).mean(0)[::-1] * plane.spacing_mm
        drawn = mask(moved, plane.window)
        row["dice"] = dice(drawn, reference)
        row["hausdorff95_mm"] = hausdorff95(drawn, reference, plane.spacing_mm[::-1])
        row["centroid_distance_mm"] = float(np.linalg.norm(there - centre))
    return row


def labels(moved: Sequence[Outline], placement: Placement, mri: Volume) -> Volume:
    """uint8 on the MRI's acquired grid: pixels of which at least half lies inside, 1 for the first outline, on one slice.

    (z, y, x), or (z, y, x, layer) where outlines overlap, as a gland and the cancer in it do. Raises OptionError above 255 outlines.
    """
    classes = joined(moved)
    if len(classes) > 255:
        raise OptionError(f"{len(classes)} outlines do not fit one label map", fix="join them by class first")
    plane = layered({number: mask(outline, placement.plane.window) for number, outline in enumerate(classes, 1)})
    array = np.zeros((*mri.shape, *plane.shape[2:]), np.uint8)
    array[placement.plane.index] = plane
    names = {number: outline.name for number, outline in enumerate(classes, 1)}
    colours = {number: outline.colour for number, outline in enumerate(classes, 1)}
    return mri.with_(array=array, meta={"segments": names, "segment_colours": colours, "modality": "", "units": ""})


def fused(slide: Slide, mpp_um: tuple[float, float], gland: Outline, placement: Placement, mri: MriSide, opacity: float) -> Volume:
    """(1, y, x, 3) uint8 on the MRI slice's pixels. gland: carried. A mask has no brightness: the slide's own is then taken."""
    plane = placement.plane
    grey = grey_levels(mri.volume.array[plane.index]) if mri.picture else None
    mixed = blended(on_slice(slide, mpp_um, placement), grey, opacity)
    outside = np.zeros(plane.shape) if grey is None else grey
    array = np.where(mask(gland, plane.window)[..., None], mixed, outside[..., None])
    spacing = (*plane.spacing_mm, plane.thickness_mm)
    return Volume(np.rint(array)[None].astype(np.uint8), spacing, tuple(plane.frame[:3, 3]), mri.volume.direction, None, {"name": "fused"})


def blended(colour: np.ndarray, grey: np.ndarray | None, opacity: float) -> np.ndarray:
    """(…, 3) float, 0 to 255: the colour (…, 3) with a brightness between `grey` (…) and its own; its own where grey is None."""
    if grey is None:
        return np.asarray(colour, float)
    return np.clip(colour + (1 - opacity) * (grey - colour @ LUMINANCE)[..., None], 0, 255)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Brightness of an MRI slice as it is shown, 0 to 255: GREY_PERCENTILES are black and white."""
    low, high = np.percentile(image, GREY_PERCENTILES)
    return np.clip((image.astype(float) - low) / max(float(high - low), 1e-9), 0, 1) * 255


def on_slice(slide: Slide, mpp_um: tuple[float, float], placement: Placement) -> np.ndarray:
    """(rows, columns, 3) float: the slide at the MRI slice's pixel centres, from a picture with pixels as large; glass beyond it."""
    from scipy.ndimage import map_coordinates

    plane, scale = placement.plane, np.sqrt(abs(np.linalg.det(placement.in_plane)))
    step = [max(1.0, s / scale / (mpp / 1000)) for s, mpp in zip(plane.spacing_mm, mpp_um, strict=True)]
    grid = window(slide.box, (step[0], step[1]))
    picture = slide.read(grid).astype(float)
    y, x = np.indices(plane.shape)
    at = placement.to_slide(np.column_stack([x.ravel(), y.ravel()]) * plane.spacing_mm) / np.diag(slide_frame(mpp_um))[:2]
    where = (grid.to_picture(at) - 0.5).T[::-1]
    channels = [map_coordinates(picture[..., i], where, order=1, mode="constant", cval=255.0) for i in range(3)]
    return np.stack(channels, -1).reshape(*plane.shape, 3)
