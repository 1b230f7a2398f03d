"""Lines that name a file or folder, each with the button that opens a dialog for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from slicer.i18n import tr as _

from . import files

OPENED: Mapping[str, Sequence[str]] = {
    "slidePath": (".svs", ".ndpi", ".mrxs", ".tif", ".tiff", ".dcm", ".png", ".jpg", ".geojson", ".xml", ".nrrd", ".nii.gz"),
    "outlinesPath": (".geojson", ".json", ".xml", ".png", ".tif", ".tiff", ".nrrd", ".nii.gz"),
    "landmarksPath": (".csv",),
    "casePath": (".json",),
    "referenceLandmarksPath": (".csv",),
}
"""Parameters that name a file to read: endings of the usual ones."""


def connect(ui: Any, parameters: Callable[[], Any]) -> None:
    """Let each button NAMEButton set the parameter NAME. parameters: gives those that the page shows."""
    for name, endings in OPENED.items():
        _connect(ui, parameters, name, partial(_opened, endings=endings))
    _connect(ui, parameters, "fusedPath", lambda before: files.save_file(_("Fused pyramid"), before, "OME-TIFF (*.ome.tif)"))
    _connect(ui, parameters, "exportPath", lambda before: files.folder(_("Export to"), before))


def _opened(before: str, endings: Sequence[str]) -> str:
    return files.open_file(_("Choose a file"), before, endings)


def _connect(ui: Any, parameters: Callable[[], Any], name: str, choose: Callable[[str], str]) -> None:
    def clicked(checked: bool = False) -> None:
        found = choose(getattr(parameters(), name))
        if found:
            setattr(parameters(), name, found)

    getattr(ui, f"{name}Button").connect("clicked(bool)", clicked)
