"""What a task says of itself, so that each door makes its flags, form or fields from the same words."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

UNSET_WORDS = re.compile(r"; (?:0|empty) (\w+)")
"""How an option's help tells what its default does where that stands for "not given"."""


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    advanced: bool = False,
) -> Any:
    """A field of an Options dataclass: a scalar, enum (choices) or tuple, with its help, unit and limits."""
    if default is not None and choices and default not in choices:
        raise ValueError(f"default {default!r} is not among {choices}")
    meta = {"help": help, "unit": unit, "choices": choices, "minimum": minimum, "maximum": maximum, "advanced": advanced}
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True)
class Port:
    """One named input or output of a task.

    kind: what the task gives or takes, and the file that a door makes of it: "volume" (a tuple of frames),
    "segmentation" (a label Volume), "table" (a list of dicts with the same keys, written as CSV), "figure" (the bytes of
    a PNG; None where it could not be drawn), "file" (the path itself, of what a task reads in parts or in many formats),
    "transform" (4x4 slide frame to LPS mm, displacement Volume or None), "facts" (JSON-able, written with the provenance),
    "dicom_seg" (a label Volume on a DICOM series' grid), "pyramid" (has `write(path, progress)`, an OME-TIFF), "text" (a str, UTF-8),
    "outlines" (a label Volume, or a tuple of Outlines, see io/outline_write.py).
    A door maps it to a path, or to a MRML node. ending: of the file, where it is not the kind's usual one. layers: whether the segments of
    a label Volume that the task takes may overlap (volume_layers.py); elsewhere a file of such is refused.
    """

    name: str
    kind: str
    help: str
    required: bool = True
    ending: str = ""
    layers: bool = False


def zero_means_unset(field: dataclasses.Field[Any]) -> bool:
    """Whether 0, the default, stands for "not given"."""
    return type(field.default) is float and field.default == 0 and field.metadata["minimum"] == 0


def help_of(field: dataclasses.Field[Any], unset: str) -> str:
    """An option's help where a door does not take "0" or "" for "not given", but has it `unset` ("left out")."""
    return UNSET_WORDS.sub(rf"; {unset}, it \1", field.metadata["help"])


def validate(options: Any) -> None:
    """Check each field of an Options dataclass against its own limits. Raises OptionError for the first that fails."""
    for f in dataclasses.fields(options):
        value, meta = getattr(options, f.name), f.metadata
        if meta["choices"] and value not in meta["choices"]:
            raise OptionError(f"{value!r} is not one of {', '.join(meta['choices'])}", where=f"{{{f.name}}}")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not _within(value, meta):
            number = f"{value:g} {meta['unit']}".rstrip()
            raise OptionError(f"{number} is out of range", where=f"{{{f.name}}}", fix=f"give a number of {_limits(meta)}")


def _within(value: float, meta: Any) -> bool:
    low, high = meta["minimum"], meta["maximum"]
    return value == value and (low is None or value >= low) and (high is None or value <= high)


def _limits(meta: Any) -> str:
    ends = ("at least", meta["minimum"]), ("at most", meta["maximum"])
    return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def from_dict(options_class: type, values: dict[str, Any]) -> Any:
    """Build and validate an Options from JSON. Raises OptionError for an unknown name or a bad value."""
    known = {f.name: f for f in dataclasses.fields(options_class)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"there is no option {unknown[0]!r}", fix="use one of " + ", ".join(known))
    options = options_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    validate(options)
    return options
