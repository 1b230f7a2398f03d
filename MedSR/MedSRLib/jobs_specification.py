"""What a job is and what it gave, in words that travel as one line of ASCII. Standard library only."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import OptionError


def plain(value: Any) -> Any:
    """The value as JSON can hold it: tuples become lists, paths and enums text, numpy scalars numbers, NaN and infinity None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


@dataclass(frozen=True)
class Specification:
    """One job. inputs and outputs: {port: path}; options: {field of the task's Options: value}; series: UID among several.

    The first input of a task that scores cohorts may be several paths.
    """

    task: str
    inputs: Mapping[str, str | Sequence[str]]
    outputs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    series: str = ""

    def to_json(self) -> str:
        """One line of ASCII."""
        return json.dumps(plain(vars(self)))

    @classmethod
    def from_json(cls, text: str) -> Specification:
        """Raises OptionError where the text is not a specification."""
        try:
            data = json.loads(text)
            return cls(**{"options": {}, "outputs": {}, "series": "", **data})
        except (ValueError, TypeError) as error:
            raise OptionError("the job's specification cannot be read", fix="send what Specification.to_json gives") from error

    @property
    def input_paths(self) -> tuple[str, ...]:
        """All the paths that are read."""
        return tuple(path for value in self.inputs.values() for path in ((value,) if isinstance(value, str) else value))

    def absolute(self) -> Specification:
        """The same job, whatever folder it is run in."""
        return replace(
            self,
            inputs={
                port: _absolute(value) if isinstance(value, str) else [_absolute(path) for path in value]
                for port, value in self.inputs.items()
            },
            outputs={port: _absolute(path) for port, path in self.outputs.items()},
        )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


@dataclass(frozen=True)
class Outcome:
    """What a finished job gave. outputs: {port: path} of what was written; report: the task's JSON-able facts."""

    outputs: Mapping[str, str]
    report: Mapping[str, Any]
    seconds: float
    warnings: tuple[str, ...] = ()
