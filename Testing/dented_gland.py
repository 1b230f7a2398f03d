"""A gland with dents on an oblique mask, its outline on a slide, and the affine between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from MedSRLib.geometry_plane import Window
from MedSRLib.io import outline_geojson
from MedSRLib.outlines import Outline, Polygon
from MedSRLib.outlines_area import mask
from MedSRLib.volume import Volume
from scipy.spatial.transform import Rotation


def ellipse(centre: tuple[float, float], axes: tuple[float, float], dent: float = 0.12) -> np.ndarray:
    """A ring with a dent, so that no other way round fits as well."""
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 1 - dent * np.exp(-(((turn - 0.9) / 0.35) ** 2)) - dent * np.exp(-(((turn - 3.6) / 0.6) ** 2))
    return np.column_stack([np.cos(turn) * axes[0], np.sin(turn) * axes[1]]) * radius[:, None] + centre


def make_pair(folder: Path) -> tuple[Volume, Path, np.ndarray]:
    """(mask on an oblique grid, outlines of a slide, the true 3x3 from slide mm to plane mm)."""
    true = np.array([[1.05, -0.08, 20.0], [0.12, 0.97, 15.0], [0, 0, 1.0]])
    gland, spot = ellipse((3000.0, 2200.0), (2800.0, 2000.0)), ellipse((4000.0, 2000.0), (300.0, 200.0))
    path = folder / "slide.geojson"
    outline_geojson.write(path, [Outline("prostate", (Polygon(gland),)), Outline("cancer", (Polygon(spot),))])
    in_plane = gland * 0.008 @ true[:2, :2].T + true[:2, 2]
    array = np.zeros((5, 160, 200), np.uint8)
    array[2] = mask(Outline("g", (Polygon(in_plane / 0.5 + 0.5),)), Window((0.0, 0.0, 200.0, 160.0), (160, 200)))
    direction = Rotation.from_euler("xyz", (18, -9, 5), degrees=True).as_matrix()
    return Volume(array, (0.5, 0.5, 3.0), (-40.0, -30.0, 12.0), direction), path, true
