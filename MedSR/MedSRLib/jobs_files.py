"""The files of a job: what is checked before it runs, and outputs that appear together or not at all."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, OutputError
from .io.atomic import as_output_error
from .io.series import SUFFIXES, suffix_of

IMAGE_KINDS = ("volume", "segmentation")
WRITABLE = tuple(s for s in SUFFIXES if s not in (".nhdr", ".dcm", ".ima"))
KIND_SUFFIXES = {
    "table": (".csv",), "figure": (".png",), "transform": (".h5", ".tfm"), "facts": (".json",), "dicom_seg": (".dcm",),
    "pyramid": (".tif", ".tiff"), "text": (".md", ".txt"), "outlines": (".geojson", ".dcm", *(s for s in WRITABLE if s != ".seq.nrrd")),
}  # fmt: skip
PROVENANCE_SUFFIX = ".json"
STALE_SECONDS = 86400.0
"""Age after which an unfinished folder is a leftover where the system cannot be asked whether its process still runs."""


def provenance_path(output: str | Path) -> Path:
    """Where the provenance of an output lies: beside it, with .json behind its whole name."""
    output = Path(output)
    return output.with_name(output.name + PROVENANCE_SUFFIX)


def check_inputs(inputs: Iterable[str]) -> None:
    """Raises InputError for the first input that is not there or may not be read."""
    for path in (Path(name).expanduser() for name in inputs):
        try:
            found = path.exists()
        except OSError:
            found = False
        if not found:
            raise InputError("there is no such file or folder", where=str(path), fix="check the path")
        if not os.access(path, os.R_OK):
            raise InputError("may not be read", where=str(path), fix="check its permissions")


def check_outputs(outputs: Mapping[str, str], kinds: Mapping[str, str], inputs: Iterable[str]) -> None:
    """Raises OutputError for the first output that could not be written, before any time is spent on it."""
    taken: dict[Path, str] = {Path(path).resolve(): "the input itself" for path in inputs}
    for port, name in outputs.items():
        path = Path(name)
        _check_ending(path, kinds[port])
        if path.resolve() in taken:
            raise OutputError(f"is {taken[path.resolve()]}", where=name, fix="choose another name")
        taken[path.resolve()] = "asked for twice"
        if path.is_dir():
            _check_folder(path, kinds[port])
        with Staging(path.parent):
            pass


def _check_ending(path: Path, kind: str) -> None:
    suffix = suffix_of(path)
    allowed = KIND_SUFFIXES.get(kind, ("", *WRITABLE))
    if suffix not in allowed and not (kind in IMAGE_KINDS and path.is_dir()):
        names = ", ".join(s or "no ending (a DICOM folder)" for s in allowed)
        raise OutputError(f"{suffix!r} is not an ending that this output ({kind}) can be written with", where=str(path), fix=f"use {names}")
    if not suffix and path.exists() and not path.is_dir():  # without an ending a DICOM folder is meant: never in place of a file
        raise OutputError("is a file, and a name without ending means a DICOM folder", where=str(path), fix="choose another name")


def _check_folder(path: Path, kind: str) -> None:
    if kind not in IMAGE_KINDS:
        raise OutputError("is a folder, not a file", where=str(path), fix="give a file name")
    if any(path.iterdir()):
        raise OutputError("this folder already holds files", where=str(path), fix="choose a new or an empty folder")


@contextmanager
def new_folder(name: str) -> Iterator[None]:
    """Make a folder (and those above it) where it is not there; after a failure those that were made and are empty are gone.

    An empty name makes nothing. Raises OutputError where the system refuses.
    """
    folder = Path(name) if name else Path.cwd()
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with _said(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in made:
            if not any(path.iterdir()):
                path.rmdir()
        raise


class Staging:
    """Outputs on their way: made under their own names in hidden folders beside their targets, then moved there together.

    After a failure, and after an interruption that Python sees, every target is as it was and no hidden folder is left.
    Raises OutputError where the system refuses to write.
    """

    def __init__(self, *folders: Path) -> None:
        name = f".medsr-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.part"
        self._folders = {folder.resolve(): folder.resolve() / name for folder in folders}
        self._staged: list[tuple[Path, Path]] = []
        self._retired: list[Path] = []

    def __enter__(self) -> Staging:
        try:
            for folder, hidden in self._folders.items():
                remove_leftovers(folder)
                with _said(folder):
                    hidden.mkdir()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._remove()

    @contextmanager
    def place(self, target: Path) -> Iterator[Path]:
        """Where to make what will become `target`; a refusal to write is told by the target's name."""
        part = self._folders[target.parent.resolve()] / target.name
        try:
            if target.is_dir():
                part.mkdir()
            yield part
        except OSError as error:
            raise as_output_error(error, target) from error
        except OutputError as error:
            raise OutputError(error.what, where=str(target), fix=error.fix) from error
        self._staged.append((part, target))

    def retire(self, target: Path) -> None:
        """Take away a file that nothing replaces, when everything else moves to its target."""
        self._retired.append(target)

    def commit(self) -> None:
        """Move everything to its target and what is retired away; where one cannot be moved, put the others back."""
        undo: list[tuple[Path, Path]] = []
        try:
            for number, (part, target) in enumerate(self._staged):
                with _said(target):
                    self._move(number, part, target, undo)
            for number, target in enumerate(self._retired, len(self._staged)):
                with _said(target):
                    self._set_aside(number, target, self._folders[target.parent.resolve()], undo)
        except BaseException:
            for now, before in reversed(undo):
                now.replace(before)
            raise

    def _move(self, number: int, part: Path, target: Path, undo: list[tuple[Path, Path]]) -> None:
        self._set_aside(number, target, part.parent, undo)
        part.rename(target)
        undo.append((target, part))

    def _set_aside(self, number: int, target: Path, hidden: Path, undo: list[tuple[Path, Path]]) -> None:
        if os.path.lexists(target):
            old = hidden / f".{number}.old"
            target.rename(old)
            undo.append((old, target))

    def _remove(self) -> None:
        for hidden in self._folders.values():
            shutil.rmtree(hidden, ignore_errors=True)


def remove_leftovers(folder: Path, pid: int | None = None) -> None:
    """Remove the hidden folders of processes of this computer that are gone, or of process `pid`."""
    pattern = re.compile(rf"\.medsr-{_host()}-(\d+)-[0-9a-f]{{8}}\.part")
    try:
        found = [(path, pattern.fullmatch(path.name)) for path in folder.iterdir() if path.name.startswith(".medsr-")]
    except OSError:
        return
    for path, match in found:
        if match and (int(match[1]) == pid if pid is not None else _is_stale(path, int(match[1]))):
            shutil.rmtree(path, ignore_errors=True)


def _is_stale(path: Path, pid: int) -> bool:
    if sys.platform == "win32":  # there, os.kill(pid, 0) ends the process
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _host() -> str:
    """Eight digits for this computer: process numbers mean nothing to another one that shares the folder."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextmanager
def _said(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise as_output_error(error, target) from error
