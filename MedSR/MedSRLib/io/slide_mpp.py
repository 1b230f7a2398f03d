"""How large a slide's pixels are, and whether to believe it: micrometres per pixel against the size of what is on the slide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError

PRINTER_DPI = (72, 75, 90, 96, 100, 120, 150, 180, 200, 240, 300, 360, 400, 600, 1200)
"""Resolutions that programs write where they know none; no microscope has them."""
WHOLE_MOUNT_MM = (15.0, 110.0)
"""Longest side of the tissue on a whole-mount prostate slide: the smallest gland, and the largest slide made."""
SHRINKAGE = 1.3
"""A fixed, cut section may be up to so many times smaller or larger than the gland in the living: 5-20 % is usual."""


@dataclass(frozen=True)
class MppCheck:
    """Whether stated micrometres per pixel fit what is on the slide.

    low_um, high_um: what is plausible. best_um: the best guess, None where no known size tells. warning: a sentence, "" where
    plausible.
    """

    plausible: bool
    low_um: float
    high_um: float
    best_um: float | None
    warning: str


def from_dots(mpp_um: tuple[float, float] | None, source: str) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """What remains of a resolution in dots per inch: nothing, with a warning, where it is a printer's default."""
    if mpp_um is None:
        return None, ()
    dpi = 25400 / mpp_um[0]
    if any(abs(dpi - usual) < 0.015 * usual for usual in PRINTER_DPI):  # 28 dots per cm are meant as 72 per inch
        return None, (f"{source} says {dpi:.0f} dots per inch, a printing default; it is not taken for the slide's pixel size",)
    return mpp_um, ()


def missing_mpp(where: str) -> InputError:
    """What a user is told where a slide does not say how large its pixels are."""
    return InputError("the slide does not say how large its pixels are", where=where, fix="give {mpp} in micrometres per pixel")


def plausible_mpp(
    mpp_um: tuple[float, float] | float | None, tissue_px: tuple[float, float], known_mm: tuple[float, float] | None = None
) -> MppCheck:
    """Check micrometres per level-0 pixel by the size of the tissue.

    mpp_um: as stated, None where it is not. tissue_px: sides of the tissue's box, level-0 pixels, in any order.
    known_mm: sides of the same object where its size is known (the gland on its MRI slice), mm, in any order; without it the
    tissue is only held against what fits on a whole-mount slide.
    """
    long_px, short_px = max(tissue_px), min(tissue_px)
    if known_mm is None:
        low, high, best = WHOLE_MOUNT_MM[0] * 1000 / long_px, WHOLE_MOUNT_MM[1] * 1000 / long_px, None
    else:
        ratios = max(known_mm) * 1000 / long_px, min(known_mm) * 1000 / short_px
        low, high, best = min(ratios) / SHRINKAGE, max(ratios) * SHRINKAGE, float(np.sqrt(ratios[0] * ratios[1]))
    stated = None if mpp_um is None else float(np.sqrt(np.prod(np.broadcast_to(mpp_um, 2))))
    low, high = float(low), float(high)
    plausible = stated is not None and low <= stated <= high
    return MppCheck(plausible, low, high, best, "" if plausible else _warning(stated, long_px, (low, high), best))


def _warning(stated: float | None, long_px: float, limits: tuple[float, float], best: float | None) -> str:
    expected = f"{limits[0]:.3g} to {limits[1]:.3g} µm per pixel are plausible" + (f", {best:.3g} fits best" if best else "")
    if stated is None:
        return f"the slide does not say how large its pixels are; {expected}"
    return f"at the stated {stated:.3g} µm per pixel the tissue would be {long_px * stated / 1000:.3g} mm long; {expected}"
