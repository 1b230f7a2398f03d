"""The dialogs in which files and folders are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import qt
import slicer.util
from slicer.i18n import tr as _


def open_file(title: str, before: str, endings: Sequence[str]) -> str:
    """An existing file, "" where the user chose none. before: what was chosen last. endings: of the usual files; all are offered."""
    wanted = _("Usual files ({endings})").format(endings=" ".join(f"*{ending}" for ending in endings))
    return str(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, _folder(before), f"{wanted};;{_('All files (*)')}") or "")


def save_file(title: str, before: str, pattern: str) -> str:
    """A file to write, "" for none."""
    return str(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, before or _folder(before), pattern) or "")


def folder(title: str, before: str) -> str:
    """A folder, "" for none."""
    return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, _folder(before)) or "")


def _folder(before: str) -> str:
    return str(Path(before).parent) if before else ""
