"""Slides through OpenSlide: Aperio, Hamamatsu, Leica, MIRAX, Philips, Sakura, Trestle, Ventana, Zeiss, DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, InputError
from .slide_source import Facts, damaged, levels_of, over, positive_pair

ONLY_OPENSLIDE = (".svs", ".svslide", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".zvi", ".czi")
"""Endings that nothing else reads faithfully."""


def library(path: Path) -> Any:
    """The module `openslide`. Raises DependencyError where it, or its native library, is missing."""
    try:
        import openslide
    except (ImportError, OSError) as error:
        fix = "install openslide-python and openslide-bin"
        raise DependencyError("OpenSlide is missing, which reads this kind of slide", where=str(path), fix=fix) from error
    return openslide


def vendor_of(path: Path) -> str:
    """What OpenSlide takes the file for ("aperio", "dicom", …), "" where for nothing, or where OpenSlide is missing."""
    try:
        return library(path).OpenSlide.detect_format(str(path)) or ""
    except DependencyError:
        if path.suffix.lower() in ONLY_OPENSLIDE:
            raise
        return ""


class OpenSlideSource:
    """Pixels through OpenSlide, laid over the slide's own background colour. Raises InputError where OpenSlide refuses."""

    def __init__(self, path: Path) -> None:
        openslide = library(path)
        self.path, self._error = path, openslide.OpenSlideError
        try:
            self._slide = openslide.OpenSlide(str(path))
        except self._error as error:
            raise InputError(
                f"the slide cannot be opened ({_reason(error, path)})", where=str(path), fix="copy or export it again"
            ) from error
        self.levels = levels_of(self._slide.level_dimensions)
        self.facts = _facts(self._slide)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See Source.read. OpenSlide takes the corner in whole level-0 pixels, and interpolates where its own step is no whole
        number: a picture of a coarser level may lie up to half a level-0 pixel off.
        """
        step = self._slide.level_downsamples[level]  # what OpenSlide divides the corner by, a mean of both axes
        try:
            picture = self._slide.read_region((round(x * step), round(y * step)), level, (width, height))
        except self._error as error:
            raise damaged(self.path, x, y, _reason(error, self.path)) from error
        return over(np.asarray(picture), self.facts.background)

    def close(self) -> None:
        self._slide.close()


def _facts(slide: Any) -> Facts:
    properties = dict(slide.properties)
    mpp = positive_pair(properties.get("openslide.mpp-x"), properties.get("openslide.mpp-y"))
    colour = properties.get("openslide.background-color", "FFFFFF")
    background = tuple(int(colour[i : i + 2], 16) for i in (0, 2, 4))
    source = "openslide.mpp-x" if mpp else ""
    return Facts(mpp, source, properties.get("openslide.vendor", ""), properties, background)  # type: ignore[arg-type]


def _reason(error: Exception, path: Path) -> str:
    """OpenSlide's own words without the path."""
    return str(error).replace(str(path), "").removeprefix("Reading :").strip(" .:")
