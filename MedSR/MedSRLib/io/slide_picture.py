"""PNG, JPEG and BMP pictures through Pillow: decoded whole, so only up to a limit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, InputError, ResourceError
from .slide_mpp import from_dots
from .slide_source import LARGEST_PIECE, Facts, Level, as_rgb, damaged, positive_pair


def library(path: Path) -> Any:
    """The module `PIL.Image`. Raises DependencyError where it is missing."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DependencyError("Pillow is missing, which reads PNG and JPEG", where=str(path), fix="install pillow") from error
    return Image


class PictureSource:
    """A picture of one level. Raises InputError where it is none, ResourceError where it is too large to be decoded whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        image = _opened(path)
        width, height = image.size
        if width * height * 3 > LARGEST_PIECE:
            raise _too_large(path)
        self.levels: tuple[Level, ...] = (Level(width, height),)
        self.facts = _facts(image)
        self._image = image
        self._pixels: np.ndarray | None = None

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See Source.read."""
        if self._pixels is None:
            values = self.values()
            self._pixels = as_rgb(values.astype(np.uint8) * 255 if values.dtype == bool else values, self.path)
        return self._pixels[y : y + height, x : x + width]

    def values(self) -> np.ndarray:
        """(h, w) or (h, w, channels) as stored; palette, CMYK and transparency as RGB or RGBA. Raises InputError where damaged."""
        try:
            image = self._image
            if image.mode in ("P", "PA", "CMYK", "YCbCr", "LA"):
                image = image.convert("RGBA" if "transparency" in image.info or image.mode in ("PA", "LA") else "RGB")
            return np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise damaged(self.path, 0, 0, error) from error

    def close(self) -> None:
        self._image.close()
        self._pixels = None


def _opened(path: Path) -> Any:
    library_ = library(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own limit is below LARGEST_PIECE, and only warns there
        try:
            return library_.open(path)
        except library_.DecompressionBombError as error:
            raise _too_large(path) from error
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError("is not a picture that can be read", where=str(path), fix="copy or export it again") from error


def _too_large(path: Path) -> ResourceError:
    what = f"a picture of more than {LARGEST_PIECE // 3 // 10**6} megapixels in this format must be decoded whole"
    return ResourceError(what, where=str(path), fix="save it as a tiled TIFF, for example with QuPath or vips")


def _facts(image: Any) -> Facts:
    dots = image.info.get("dpi", (None, None))
    pair = positive_pair(*dots)
    mpp, said = from_dots((25400 / pair[0], 25400 / pair[1]) if pair and min(pair) > 1 else None, f"{image.format} resolution")
    return Facts(mpp, f"{image.format} resolution" if mpp else "", str(image.format).lower(), warnings=said)
