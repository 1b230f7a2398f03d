"""The one error family: every message says what is wrong, where, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Self

OPTION = re.compile(r"\{([a-z]\w*)\}")
"""How a text speaks of an option: its field's name in braces, "choose another {axis}". Each door says it in its own way."""


LABELS = {"mri_mask": "the gland on the MRI"}
"""Names that a form does not make of the option's own."""


def label_of(option: str) -> str:
    """An option's name where no door has one of its own, as a form shows it: "spacing_mm" → "Spacing"."""
    return LABELS.get(option) or option.removesuffix("_mm").removesuffix("_um").replace("_", " ").capitalize()


class MedSRError(Exception):
    """A failure that a user can act on.

    what: the problem, one clause without a full stop.
    where: the file, node, series or option it concerns, the last as OPTION says ("" where there is none).
    fix: what the user can do about it; may speak of options as OPTION says ("" where nothing can be done).
    exit_code: what the command returns to the shell.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """The error as one readable line: "where: what; fix.". What a damaged file's header holds may not be printable."""
        where, fix = self._said(label_of)
        text = f"{where}: {self.what}" if where else self.what
        text = f"{text}; {fix}" if fix else text
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if text.endswith((".", "?", "!")) else text + "."

    def named(self, name_of: Callable[[str], str]) -> Self:
        """The same error with its options named as `name_of` names them (the command: "--spacing")."""
        where, fix = self._said(name_of)
        return type(self)(self.what, where=where, fix=fix)

    def _said(self, name_of: Callable[[str], str]) -> tuple[str, str]:
        """`where` and `fix` with their options named; a path that holds braces of its own stays as it is."""
        alone = OPTION.fullmatch(self.where)
        where = name_of(alone[1]) if alone else self.where
        return where, OPTION.sub(lambda match: name_of(match[1]), self.fix)

    def to_dict(self) -> dict[str, str]:
        """JSON form, for the pipe between a child process and its door."""
        return {"kind": type(self).__name__, "what": self.what, "where": self.where, "fix": self.fix}


class InputError(MedSRError):
    """The image, file or folder that was given cannot be used."""

    exit_code = 2


class OptionError(MedSRError):
    """An option has a value that makes no sense, alone or with this image."""

    exit_code = 3


class ModelError(MedSRError):
    """A model is unknown, incomplete, altered or does not fit the image."""

    exit_code = 4


class OutputError(MedSRError):
    """The result cannot be written where it was asked for."""

    exit_code = 5


class ResourceError(MedSRError):
    """Not enough memory, disk or device for this job."""

    exit_code = 6


class DependencyError(MedSRError):
    """A library that this job needs is not installed."""

    exit_code = 7


class Cancelled(MedSRError):
    """The user stopped the job; nothing was written."""

    exit_code = 130

    def __init__(self, what: str = "cancelled", *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)


def from_dict(data: dict[str, str]) -> MedSRError:
    """Rebuild the error that another process reported with to_dict."""
    family = {c.__name__: c for c in MedSRError.__subclasses__()}
    kind = family.get(data.get("kind", ""), MedSRError)
    return kind(data.get("what", "unknown error"), where=data.get("where", ""), fix=data.get("fix", ""))
