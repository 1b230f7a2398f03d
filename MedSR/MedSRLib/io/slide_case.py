"""What a case's description says of its slides: the JSON that fusion programs of the prostate share.

Each entry has "filename" (the slide's picture) and "transform": {"flip": 0 or 1, "rotation_angle": degrees}; older files have "flip" and
"rotate" beside it. The slide is mirrored left to right first, then turned clockwise. "resolution_x_um" and "resolution_y_um" are the size
of its pixels, where they are there, and "mri_slice" the MRI slice that it lies on, counted from 0.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class CaseEntry:
    """mirrored, degrees: how the slide is flipped and then turned clockwise. slice, mpp_um (x, y): None where they are not said."""

    mirrored: bool
    degrees: float
    slice: int | None = None
    mpp_um: tuple[float, float] | None = None


def read_case(path: str | Path, slide: str | Path) -> CaseEntry:
    """The entry with the slide's file name. Raises InputError where there is none, or it cannot be read."""
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        found = {_name(entry["filename"]): entry for entry in entries.values()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise InputError("is no description of a case's slides", where=str(path), fix="give JSON of slides with their filename") from error
    entry = found.get(_name(str(slide)))
    if entry is None:
        raise InputError(f"does not describe the slide {Path(slide).name}", where=str(path), fix="it has " + ", ".join(sorted(found)))
    return CaseEntry(*_transform(entry, path), _slice(entry, path), _mpp(entry, path))


def _name(filename: str) -> str:
    """The file's name as it is compared: without folders, ending, case; a space may have become an underscore."""
    return filename.replace("\\", "/").rpartition("/")[2].partition(".")[0].casefold().replace(" ", "_")


def _transform(entry: dict[str, Any], path: Path) -> tuple[bool, float]:
    try:
        stated = entry.get("transform", entry)
        flip, degrees = int(stated["flip"]), float(stated.get("rotation_angle", stated.get("rotate")) or 0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("does not say how the slide is flipped and turned", where=str(path), fix="give {orientation}") from error
    if flip not in (0, 1) or not math.isfinite(degrees):
        raise InputError(f"says flip {flip} and {degrees:g} degrees, which is no orientation", where=str(path), fix="give {orientation}")
    return flip == 1, degrees


def _slice(entry: dict[str, Any], path: Path) -> int | None:
    value = entry.get("mri_slice")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"says mri_slice {value!r}, which is no slice counted from 0", where=str(path), fix="mend it, or leave it out")
    return value


def _mpp(entry: dict[str, Any], path: Path) -> tuple[float, float] | None:
    found = [entry.get(f"resolution_{axis}_um") for axis in "xy"]
    if None in found:
        return None
    try:
        x, y = (float(value) for value in found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        x = y = math.nan
    if not (0 < x < math.inf and 0 < y < math.inf):
        raise InputError(f"says a resolution of {found} µm, which is none", where=str(path), fix="mend it, or give {mpp}")
    return x, y
