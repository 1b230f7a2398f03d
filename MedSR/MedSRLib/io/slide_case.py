"""What a case's description says of how its slides lie: the JSON of slides that fusion programs of the prostate share.

Each entry has "filename" (the slide's picture) and "transform": {"flip": 0 or 1, "rotation_angle": degrees}; older files have "flip" and
"rotate" beside it. The slide is mirrored left to right first, then turned clockwise.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..errors import InputError


def read_case(path: str | Path, slide: str | Path) -> tuple[bool, float]:
    """(whether the slide is mirrored, degrees clockwise) of the entry with the slide's file name. Raises InputError where there is none."""
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        found = {_name(entry["filename"]): entry for entry in entries.values()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise InputError("is no description of a case's slides", where=str(path), fix="give JSON of slides with their filename") from error
    entry = found.get(_name(str(slide)))
    if entry is None:
        raise InputError(f"does not describe the slide {Path(slide).name}", where=str(path), fix="it has " + ", ".join(sorted(found)))
    return _transform(entry, path)


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
