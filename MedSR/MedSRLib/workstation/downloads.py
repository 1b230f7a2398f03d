"""What a download link stands for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..errors import InputError
from ..io import formats
from ..io.series import stem_of
from ..jobs_files import provenance_path
from .entries import Entries, Entry
from .evaluation_logic import EvaluationLogic


class Downloads:
    """Finds, or writes on request, the file behind download/<entry>/<what>."""

    def __init__(self, entries: Entries, evaluation: EvaluationLogic) -> None:
        self._entries, self._evaluation = entries, evaluation

    async def find(self, entry_id: str, what: str) -> Path:
        """Raises InputError where there is no such file."""
        if entry_id == "evaluation":
            return _there(self._evaluation.file(what))
        entry = self._entries.get(entry_id)
        if entry is None or not entry.is_result:
            raise InputError("this result is no longer open", fix="compute it again")
        if what == "provenance":
            return _there(provenance_path(entry.outputs["volume"]))
        port, _, suffix = what.partition(".")
        path = _there(entry.outputs.get(port))
        return path if path.name.endswith("." + suffix) else await self._converted(entry, port, suffix)

    async def _converted(self, entry: Entry, port: str, suffix: str) -> Path:
        """The same image in another format, written beside it once."""
        if suffix not in ("nii.gz", "nrrd", "mha"):
            raise InputError(f"there is no {suffix!r} of this image")
        source = entry.outputs[port]
        path = source.with_name(f"{stem_of(source)}.{suffix}")
        if not path.exists():
            await asyncio.to_thread(formats.write, path, entry.frames if port == "volume" else entry.fidelity)
        return path


def _there(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise InputError("there is no such file", fix="compute it again")
    return path
