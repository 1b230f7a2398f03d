"""Slides in the scene: a picture that a view can hold, as a vector volume in the slide's own frame.

The node's own IJK to RAS is the slide frame of geometry_slice.py (mm from the outer corner of the finest level's first pixel), turned to
RAS; the transform above the node carries it into the patient, so that the same .h5 file moves both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer.util

from ..errors import InputError
from ..geometry_plane import Window
from ..geometry_slice import slide_volume
from ..io.slide_mpp import plausible_mpp
from ..run import available_memory_bytes
from ..volume import Volume
from . import attributes
from .nodes import RAS_TO_LPS, add_node, volume_from_node

MOST_BYTES = 48 * 2**20
"""An RGB picture of 4096 x 4096 pixels: what a slice view shows without a pyramid."""
MEMORY_SHARE = 0.02
"""Of the free memory: the picture is copied several times on its way to a view."""
THICKNESS_MM = 1.0
"""Of a slide that has not been laid on an MRI slice."""
ASSUMED_MM = 45.0
"""Longest side of a whole mount whose pixel size nobody says, or says credibly: only for showing it."""
PATH, GRID, MPP = "slide_path", "slide_grid", "mpp_um"


@dataclass(frozen=True)
class Picture:
    """A slide at a size that a view can hold. array: (h, w, 3) uint8 on `grid`. mpp_um: (x, y) as to be shown, of the finest level.

    warnings: sentences a user should see.
    """

    path: Path
    array: np.ndarray
    grid: Window
    mpp_um: tuple[float, float]
    warnings: tuple[str, ...] = ()


def read_picture(path: str | Path, mpp_um: tuple[float, float] | None = None, most_bytes: int | None = None) -> Picture:
    """Read a slide at the level that memory allows; touches no scene, so that a thread may do it.

    mpp_um: micrometres per finest pixel; None takes the file's where they are plausible. Raises InputError, DependencyError.
    """
    from ..io.slides import open_slide

    with open_slide(path) as slide:
        grid = slide.window_within(most_bytes or _budget())
        check = plausible_mpp(slide.mpp_um, (float(slide.size[0]), float(slide.size[1])))
        assumed = ASSUMED_MM * 1000 / max(slide.size)
        shown = mpp_um or (slide.mpp_um if check.plausible else None) or (assumed, assumed)
        said = slide.warnings + ((check.warning,) if check.warning and mpp_um is None else ())
        return Picture(Path(path).expanduser().absolute(), slide.read(grid), grid, shown, said)


def _budget() -> int:
    free = available_memory_bytes()
    return MOST_BYTES if free is None else int(min(MOST_BYTES, max(free * MEMORY_SHARE, 2**20)))


def add_slide(scene: Any, picture: Picture, name: str = "") -> Any:
    """A new vector volume node of a picture, in the slide frame."""
    volume = slide_volume(picture.array, picture.grid, picture.mpp_um, THICKNESS_MM)
    node = add_node(scene, volume, name or picture.path.stem)
    grid = {"box": picture.grid.box, "shape": picture.grid.shape}
    attributes.write(node, {PATH: str(picture.path), GRID: json.dumps(grid), MPP: json.dumps(picture.mpp_um)})
    return node


def load_slide(scene: Any, path: str | Path, mpp_um: tuple[float, float] | None = None) -> Any:
    """Read a slide and add it to the scene. Raises InputError, DependencyError."""
    return add_slide(scene, read_picture(path, mpp_um))


def path_of(node: Any) -> Path | None:
    """The file that a slide's node shows a level of; None for a picture that came into the scene otherwise.

    Raises InputError where the file is gone.
    """
    said = attributes.read(node).get(PATH)
    if said is None:
        return None
    if not Path(said).is_file():
        raise InputError("the slide's file is no longer there", where=said, fix="choose the slide's file again")
    return Path(said)


def grid_of(node: Any) -> Window:
    """Which part of the slide the node's pixels cover; of another picture its own pixels are the finest."""
    said = attributes.read(node).get(GRID)
    if said is None:
        width, height, _ = node.GetImageData().GetDimensions()
        return Window((0.0, 0.0, float(width), float(height)), (height, width))
    facts = json.loads(said)
    return Window(tuple(facts["box"]), tuple(facts["shape"]))


def mpp_of(node: Any) -> tuple[float, float] | None:
    """(x, y) micrometres per finest pixel that the node's own spacing means; None where it is the 1 mm of a picture without one."""
    spacing, step = node.GetSpacing()[:2], grid_of(node).step
    if attributes.read(node).get(GRID) is None and tuple(spacing) == (1.0, 1.0):
        return None
    return tuple(1000 * s / n for s, n in zip(spacing, step, strict=True))  # type: ignore[return-value]


def set_mpp(node: Any, mpp_um: Sequence[float], thickness_mm: float) -> None:
    """Give a slide's node the slide frame of a pixel size, and the thickness of the MRI slice that it lies on."""
    frame = slide_volume(np.empty((1, 1, 3), np.uint8), grid_of(node), (mpp_um[0], mpp_um[1]), thickness_mm)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.ascontiguousarray(RAS_TO_LPS @ frame.affine)))
    attributes.write(node, {MPP: json.dumps(list(mpp_um))})


def pixels_of(node: Any, points_ras: np.ndarray) -> np.ndarray:
    """(n, 3) points of the world, RAS mm, to (n, 2) pixels of the finest level, whatever transform the slide lies under."""
    local = np.array([_from_world(node, point) for point in points_ras]).reshape(-1, 3)
    to_ijk = np.linalg.inv(slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node)))
    at = local @ to_ijk[:3, :3].T + to_ijk[:3, 3]
    return grid_of(node).to_slide(at[:, :2] + 0.5)  # a pixel's centre lies half a pixel from its corner


def _from_world(node: Any, point: Sequence[float]) -> list[float]:
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld([float(v) for v in point], local)
    return local


def _ijk_to_ras(node: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def centre_mm(node: Any) -> np.ndarray:
    """(2,) the middle of the picture in slide mm, LPS."""
    x0, y0, x1, y1 = grid_of(node).box
    mpp = mpp_of(node) or (1000.0, 1000.0)
    return np.array([(x0 + x1) / 2 * mpp[0], (y0 + y1) / 2 * mpp[1]]) / 1000


def colours(node: Any) -> np.ndarray:
    """(h, w, 3) uint8 of a slide's node. Raises InputError where it holds no colour picture of one slice."""
    volume: Volume = volume_from_node(node)
    array = volume.array
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[-1] < 3:
        raise InputError("is not a colour picture of one slice", where=node.GetName(), fix="choose a slide, or its file")
    return np.clip(array[0, ..., :3], 0, 255).astype(np.uint8)
