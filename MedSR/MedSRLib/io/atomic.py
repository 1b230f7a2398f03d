"""Writing that is all or nothing: into a temporary name beside the target, then renamed over it."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REASONS = {
    errno.EACCES: ("this folder may not be written to", "choose another folder"),
    errno.EPERM: ("this folder may not be written to", "choose another folder"),
    errno.EROFS: ("this folder may not be written to", "choose another folder"),
    errno.ENOENT: ("the folder does not exist", "create it first"),
    errno.ENOTDIR: ("the folder is a file", "choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
}


def as_output_error(error: OSError, target: Path) -> OutputError:
    """The sentence for an operating system's refusal to write `target`."""
    if error.errno in _FULL:
        return OutputError("the disk is full, nothing was written", where=str(target), fix="free some space, or choose another folder")
    what, fix = _REASONS.get(error.errno or 0, (f"cannot be written ({error.strerror or error})", "choose another place"))
    return OutputError(what, where=str(target), fix=fix)


def _temporary(target: Path) -> Path:
    """A fresh hidden name in the target's own folder: a rename within one file system is atomic."""
    return target.parent / f".{target.name[:80]}.{uuid.uuid4().hex[:8]}.part"


@contextmanager
def replacing_file(target: Path) -> Iterator[BinaryIO]:
    """A file open for writing that becomes `target` at the end; after a failure (any) `target` is as it was.

    Raises OutputError where the system refuses to write.
    """
    if target.is_dir():
        raise OutputError("is a folder, not a file", where=str(target), fix="give a file name")
    part = _temporary(target)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise as_output_error(error, target) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """A new folder that becomes `target` at the end. `target` may exist when it is empty; after a failure it is as it was.

    Raises OutputError where the system refuses to write, or where `target` already holds files.
    """
    part = _temporary(target)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OutputError("this folder already holds files", where=str(target), fix="choose a new or an empty folder")
        part.mkdir()
        yield part
        if target.exists():
            target.rmdir()
        part.rename(target)
    except OSError as error:
        raise as_output_error(error, target) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
