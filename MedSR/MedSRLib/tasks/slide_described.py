"""What is said of a slide beside its pictures: by the case's description, and by the report of an earlier registration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..io.landmarks import Landmarks
from ..io.slide_case import CaseEntry, read_case
from .register_slide import Options, Paths
from .slide_input import Noted
from .slide_report import read_untold
from .slide_search import Found

MPP_DIFFERS = 0.01
"""Two sayings of a pixel size differ where they are so far apart, relative to each other."""


def described(options: Options, paths: Paths) -> tuple[Options, Noted | None, tuple[str, ...]]:
    """(the options with what the case's description says and they leave open, the pixel size that it or the transform's report says,
    sentences where the options say otherwise than the description)."""
    entry = None if paths.case is None else read_case(paths.case, paths.slide)
    noted = None if paths.transform is None else Noted.beside(paths.transform, paths.slide)
    if entry is None:
        return options, noted, ()
    differs = _differs(entry, options)
    if options.orientation == "auto":
        options = replace(options, orientation="f0" if entry.mirrored else "r0", rotation_deg=options.rotation_deg + entry.degrees)
    if options.slice < 0 and entry.slice is not None and paths.transform is None:
        options = replace(options, slice=entry.slice)
    return options, noted or (None if entry.mpp_um is None else Noted(entry.mpp_um, "case", sure=False)), differs


def _differs(entry: CaseEntry, options: Options) -> tuple[str, ...]:
    said = []
    if entry.slice is not None and options.slice >= 0 and options.slice != entry.slice:
        said.append(f"the case's description says slice {entry.slice}; the one given, {options.slice}, is taken")
    lies = f"{'f' if entry.mirrored else 'r'}{round(entry.degrees / 90) % 4 * 90}"
    if options.orientation not in ("auto", lies):
        said.append(f"the case's description says that the slide lies {lies}; the orientation given, {options.orientation}, is taken")
    if entry.mpp_um is not None and options.mpp_um and abs(options.mpp_um / float(np.mean(entry.mpp_um)) - 1) > MPP_DIFFERS:
        said.append(f"the case's description says {entry.mpp_um[0]:.4g} µm a pixel; what is given, {options.mpp_um:.4g} µm, is taken")
    return tuple(said)


def with_earlier(found: Found, paths: Paths, points: Landmarks | None, options: Options) -> Found:
    """What the registration that a transform is of left open is still open, where nothing new says it."""
    if paths.transform is None:
        return found
    now = {"orientation": options.orientation != "auto" or points is not None, "slice": options.slice >= 0, "scale": options.mpp_um > 0}
    told, untold = read_untold(paths.transform, paths.slide)
    earlier = {what: sentence for what, sentence in untold.items() if not now.get(what)}
    return replace(found, determined=found.determined and (told or now["orientation"]), earlier=earlier)
