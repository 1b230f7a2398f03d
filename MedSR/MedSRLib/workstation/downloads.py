"""What a download link stands for."""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError, MedSRError
from ..io import formats
from ..io.atomic import replacing_file
from ..io.series import stem_of
from ..jobs_files import provenance_path
from ..scene import registration_export
from ..scene.registration_results import RegistrationResults
from ..volume import Volume
from .entries import Entries, Entry
from .slide_card import PYRAMID, TRANSFORM, ZIP

DICOM_ZIP = "dicom.zip"
"""Ending of a whole series in one file."""
CONVERTED = ("nii.gz", "nrrd", "mha", DICOM_ZIP)


class Downloads:
    """Finds, or writes on request, the file behind download/<entry>/<what>.

    evaluation: gives a file of the last evaluation by name. say: told why there is none, as the browser shows no reason.
    """

    def __init__(self, entries: Entries, evaluation: Callable[[str], Path | None], say: Callable[[str], None]) -> None:
        self._entries, self._evaluation, self._say, self._turn = entries, evaluation, say, asyncio.Lock()

    async def find(self, entry_id: str, what: str) -> Path:
        """Raises InputError where there is no such file, OutputError where it cannot be made."""
        try:
            async with self._turn:  # two clicks must not write one file
                return await self._find(entry_id, what)
        except MedSRError as error:
            self._say(error.sentence())
            raise

    async def _find(self, entry_id: str, what: str) -> Path:
        if entry_id == "evaluation":
            return _there(self._evaluation(what))
        entry = self._entries.get(entry_id)
        if entry is None or not entry.is_result:
            raise InputError("this result is no longer open", fix="compute it again")
        if entry.registration is not None:
            return _registration(entry, entry.registration, what)
        if what == "provenance":
            return _there(provenance_path(entry.outputs["volume"]))
        port, _, suffix = what.partition(".")
        path = _there(entry.outputs.get(port))
        return path if path.name.endswith("." + suffix) else await asyncio.to_thread(self._converted, entry, port, suffix)

    def _converted(self, entry: Entry, port: str, suffix: str) -> Path:
        """The same image in another format, written beside it once."""
        frames = {"volume": entry.frames, "fidelity": entry.fidelity}.get(port)
        if suffix not in CONVERTED or not frames:
            raise InputError(f"there is no {suffix!r} of this image")
        source = entry.outputs[port]
        path = source.with_name(f"{stem_of(source)}.{suffix}")
        if path.exists():
            return path
        if suffix == DICOM_ZIP:
            write_dicom_zip(path, frames, self._acquired(entry))
        else:
            formats.write(path, frames)
        return path

    def _acquired(self, entry: Entry) -> Sequence[Volume]:
        original = self._entries.get(entry.source)
        if original is None or not original.is_dicom:
            raise InputError("only what was made from DICOM can be written as derived DICOM", fix="take NRRD")
        return original.frames


def write_dicom_zip(path: Path, frames: Sequence[Volume], sources: Sequence[Volume]) -> None:
    """A derived DICOM series in one file, all of it or nothing; patient and study are those of `sources`, frame by frame.

    Raises OutputError where the series cannot be written.
    """
    derived = [frame.with_(meta=source.meta) for frame, source in zip(frames, sources, strict=True)]
    name = path.name.removesuffix("." + DICOM_ZIP)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        series = Path(folder) / name
        series.mkdir()  # an existing folder is DICOM, whatever dots its name has
        formats.write(series, derived)
        with replacing_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in sorted(series.iterdir()):
                archive.write(one, f"{name}/{one.name}")


def _registration(entry: Entry, results: RegistrationResults, what: str) -> Path:
    """All files of a registration in one, or its transform alone, as the slide lies now; or the fused pyramid, as it was registered.

    It touches the scene: no thread may do it.
    """
    if what == PYRAMID:
        return _there(entry.outputs.get("fused_slide"))
    if what not in (ZIP, TRANSFORM):
        raise InputError(f"there is no {what!r} of a registration")
    folder = entry.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        files = registration_export.export(results, Path(scratch) / "files")
        if what == TRANSFORM:
            return next(f for f in files if f.name == TRANSFORM).replace(folder / TRANSFORM)
        with replacing_file(entry.path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in [*files, *entry.outputs.values()]:
                archive.write(one, one.name)
    return entry.path


def _there(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise InputError("there is no such file", fix="compute it again")
    return path
