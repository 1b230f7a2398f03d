"""The real pictures that slide-to-MRI registration is trained and tested on, by splits/slides.json, and how they are read.

A source states its licence, whether it trains or tests, the width in mm that its tissue is taken to have (true for the
whole-mount prostate; small pieces are taken to be as large as one, so that all fill the picture alike) and, where the tissue
goes on beyond the picture, an ellipse that is cut out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from . import stains

SPLIT = Path(__file__).parent / "splits/slides.json"
GLASS = 245
"""Value of empty glass in pictures that are put together."""
CLASS_MM = 0.15
"""Standard deviation in mm over which stains are smoothed before tissue classes are told apart."""
FIELD_MM = 76.8
"""Width and height of the field that all pictures show, the tissue in the middle: 192 pixels of 0.4 mm."""


@dataclass(frozen=True)
class Source:
    """One picture. outline: centre x, centre y, half-axis x, half-axis y of an ellipse, as shares of width and height; or none.

    width_mm: of its tissue; 0 for textures. reduce: of its pixels, squares of so many a side are averaged at reading.
    """

    name: str
    path: str
    licence: str
    sha256: str
    width_mm: float = 0.0
    outline: tuple[float, ...] = ()
    reduce: int = 1
    stain: str = "H&E"


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb: (h, w, 3) uint8. tissue: (h, w) bool, lumens within it included. pixel_mm: of both directions."""

    rgb: np.ndarray
    tissue: np.ndarray
    pixel_mm: float

    @property
    def width_mm(self) -> float:
        """Of the tissue, from its leftmost pixel to its rightmost."""
        columns = np.flatnonzero(self.tissue.any(0))
        return float(columns[-1] - columns[0] + 1) * self.pixel_mm

    @cached_property
    def rank(self) -> np.ndarray:
        """Of haematoxylin against eosin (stains.haematoxylin_rank)."""
        return stains.haematoxylin_rank(self.rgb, self.tissue, CLASS_MM / self.pixel_mm)


@lru_cache(maxsize=1)
def split() -> dict[str, Any]:
    """The committed split, splits/slides.json."""
    return json.loads(SPLIT.read_text(encoding="utf-8"))


def sources(which: str) -> list[Source]:
    """`which`: "textures" or "test" of the split."""
    rows: list[dict[str, Any]] = split()[which]
    return [Source(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows]


def read_rgb(path: Path, reduce: int = 1) -> np.ndarray:
    """(h, w, 3) uint8 of the whole picture: the first level, averaged over squares of `reduce` pixels."""
    if path.suffix == ".svs":
        import openslide

        with openslide.OpenSlide(str(path)) as slide:
            rgb = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    elif ".tif" in path.suffixes or path.suffix == ".tiff":
        import tifffile

        rgb = tifffile.imread(path)[..., :3]
    else:
        from PIL import Image

        rgb = np.asarray(Image.open(path).convert("RGB"))
    size = rgb.shape[1] // reduce, rgb.shape[0] // reduce
    return np.ascontiguousarray(rgb) if reduce == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tissue_mask(rgb: np.ndarray, close_pixels: int = 9) -> np.ndarray:
    """(h, w) bool: the largest connected piece that is denser than glass, closed over gaps and filled."""
    dense = ndimage.gaussian_filter(stains.optical_density(rgb).mean(-1), 2) > stains.LIGHT_OD / 2
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (close_pixels, close_pixels))
    closed = cv2.morphologyEx(dense.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    labels, _ = ndimage.label(closed)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def ellipse(size: tuple[int, int], outline: tuple[float, ...]) -> np.ndarray:
    """(h, w) bool: inside the ellipse of a Source's outline."""
    x, y, half_x, half_y = np.array(outline) * (size[1], size[0], size[1], size[0])
    rows, columns = np.ogrid[: size[0], : size[1]]
    return ((columns - x) / half_x) ** 2 + ((rows - y) / half_y) ** 2 <= 1


def centred(rgb: np.ndarray, tissue: np.ndarray, pixel_mm: float, wanted_mm: float) -> Picture:
    """The tissue alone on glass, its bounding box in the middle of a field of FIELD_MM at pixels of wanted_mm."""
    rgb = np.where(tissue[..., None], rgb, GLASS).astype(np.uint8)
    side = round(FIELD_MM / wanted_mm)
    rows, columns = (np.flatnonzero(tissue.any(axis)) for axis in (1, 0))
    middle = np.array([columns[0] + columns[-1], rows[0] + rows[-1]]) / 2
    scale = wanted_mm / pixel_mm
    smooth = [ndimage.gaussian_filter(c.astype(np.float32), 0.4 * max(scale - 1, 0)) for c in np.moveaxis(rgb, -1, 0)]
    matrix = np.array([[scale, 0, middle[0] - scale * (side - 1) / 2], [0, scale, middle[1] - scale * (side - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(np.stack(smooth, -1), matrix, (side, side), flags=flags, borderValue=(GLASS,) * 3)
    mask = cv2.warpAffine(tissue.astype(np.float32), matrix, (side, side), flags=flags) > 0.5
    return Picture(np.rint(made).astype(np.uint8), mask, wanted_mm)


def read(source: Source, root: Path) -> np.ndarray:
    """(h, w, 3) uint8. Raises ValueError where the file is not the one of the split."""
    path = root / source.path
    if sha256(path) != source.sha256:
        raise ValueError(f"{source.path} is not the file that splits/slides.json names: its sha256 differs")
    return read_rgb(path, source.reduce)


@lru_cache(maxsize=8)
def picture(source: Source, root: Path, wanted_mm: float) -> Picture:
    """The tissue of a source, in a field of FIELD_MM. Raises ValueError as `read` does."""
    rgb = read(source, root)
    tissue = ellipse(rgb.shape[:2], source.outline) if source.outline else tissue_mask(rgb)
    columns = np.flatnonzero(tissue.any(0))
    return centred(rgb, tissue, source.width_mm / (columns[-1] - columns[0] + 1), wanted_mm)
