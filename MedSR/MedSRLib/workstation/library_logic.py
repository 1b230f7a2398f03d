"""Opening images: upload, path, sample, one of several series; what is open, and what is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from trame_server.utils.asynchronous import create_task
from trame_slicer.app.logic import BaseLogic
from undo_stack import Signal

from ..errors import InputError, MedSRError
from ..io import dicom_window, formats
from ..io.series import SeriesInfo, stem_of, suffix_of
from ..scene.nodes import add_node
from ..scene.samples import STILL, THORAX
from ..scene.samples_pairs import SLIDE as SLIDE_SAMPLE
from .entries import OUTLINES, SLIDE, VOLUME, Entries, Entry
from .library_ui import LibraryState, LibraryUI
from .slide_loading import kind_of, load_outlines, load_slide

SAMPLES = Path(__file__).parents[2] / "Resources" / "SampleData"
SAMPLE_LOOKS = {
    THORAX.file: ("CT sample", "mdi-lungs"),
    STILL.file: ("MR sample", "mdi-heart-outline"),
    SLIDE_SAMPLE.slide: ("Slide sample", "mdi-microscope"),
}
"""What ships, by file: (title, icon)."""
SAMPLE_WITH = {SLIDE_SAMPLE.slide: (SLIDE_SAMPLE.mri.file, SLIDE_SAMPLE.files["outlinesPath"])}
"""What is opened with a sample: the MRI's side of a slide, and what was drawn on it."""
logger = logging.getLogger(__name__)


class LibraryLogic(BaseLogic[LibraryState]):
    """Owns the open images.

    Emits `shown` with (original, result or None) when another pair is to be looked at, `closed` with the images that left.
    """

    shown = Signal(object, object)
    closed = Signal(object)

    def __init__(self, server, slicer_app) -> None:
        super().__init__(server, slicer_app, LibraryState)
        self.entries = Entries()
        self._turn = asyncio.Lock()
        self._waiting: Path | None = None
        self.data.samples = [
            {"file": file, "title": title, "icon": icon} for file, (title, icon) in SAMPLE_LOOKS.items() if (SAMPLES / file).is_file()
        ]

    def set_ui(self, ui: LibraryUI) -> None:
        ui.path_entered.connect(lambda: self.open_path(self.data.path))
        ui.sample_clicked.connect(self._open_sample)
        ui.series_chosen.connect(self._open_chosen_series)
        ui.entry_clicked.connect(self.select)
        ui.entry_closed.connect(self.close)

    def _open_sample(self, file: str) -> None:
        if file in SAMPLE_LOOKS and not self.data.loading:  # the page names it: nothing else of the disk
            create_task(self.load([SAMPLES / one for one in (file, *SAMPLE_WITH.get(file, ()))]))

    def open_path(self, path: str) -> None:
        """Open a file or folder of this computer, in the background."""
        if path.strip() and not self.data.loading:
            create_task(self.load([Path(path.strip().strip("'\"")).expanduser()]))

    def open_upload(self, folder: Path, files: Sequence[Path]) -> None:
        """Open what was uploaded: volumes one by one; anything else is a folder of DICOM."""
        volumes = (".nrrd", ".nii", ".nii.gz", ".mha", ".mhd", ".nhdr", ".seq.nrrd")
        singles = [f for f in files if suffix_of(f) in volumes or kind_of(f)]
        create_task(self.load(singles or (list(files) if len(files) == 1 else [folder])))

    async def load(self, paths: Sequence[Path], series: str = "") -> None:
        """Open each path, after those that are being opened; the first failure is said on the page.

        Of a slide and an MRI that were opened together the MRI is shown: the slide is laid on it.
        """
        async with self._turn:
            await self._load(paths, series)

    async def _load(self, paths: Sequence[Path], series: str) -> None:
        with self.state:
            self.data.loading, self.data.message = True, ""
        before = {entry.id for entry in self.entries.loaded()}
        try:
            for path in paths:
                await self._load_one(path, series)
            self._show_the_mri([e for e in self.entries.loaded() if e.id not in before])
        except MedSRError as error:
            self.data.message = error.sentence()
        except Exception as error:  # a reader's own failure must not leave the page waiting
            logger.exception("cannot open %s", paths)
            self.data.message = InputError(f"cannot be read ({error})", where=paths[0].name if paths else "").sentence()
        finally:
            with self.state:
                self.data.loading = False

    def _show_the_mri(self, opened: Sequence[Entry]) -> None:
        volumes = [entry for entry in opened if entry.kind == VOLUME]
        if volumes and len(volumes) < len(opened):
            self.select(volumes[0].id)

    async def _load_one(self, path: Path, series: str) -> None:
        kind = kind_of(path) if path.is_file() else ""
        if kind:
            new_id = self.entries.new_id()
            self.add(await (load_slide(self.scene, new_id, path) if kind == SLIDE else load_outlines(new_id, path)))
            self.data.path = ""
            return
        choices = [] if series or path.is_file() else await asyncio.to_thread(formats.list_series, path)
        if len(choices) > 1:
            self._ask_series(path, choices)
            return
        frames = await asyncio.to_thread(formats.read, path, series)
        name = str(frames[0].meta.get("name") or stem_of(path))
        own_window = await asyncio.to_thread(dicom_window.window, frames[0])
        entry = Entry(self.entries.new_id(), name, path, frames, series, own_window=own_window)
        self.add(entry)
        self.data.path = ""

    def _ask_series(self, path: Path, choices: Sequence[SeriesInfo]) -> None:
        self._waiting = path
        self.data.series = [_series_choice(c) for c in choices]
        self.data.series_choice = choices[0].uid
        self.data.series_open = True

    def _open_chosen_series(self) -> None:
        self.data.series_open = False
        if self._waiting is not None:
            create_task(self.load([self._waiting], self.data.series_choice))

    def add(self, entry: Entry) -> Entry:
        """List an image, give it a node, and show it; outlines are only listed, a registration has its nodes."""
        if entry.node is None and entry.frames and entry.registration is None:
            entry.node = add_node(self.scene, entry.frames[0], entry.name)
        self.entries.add(entry)
        self.select(entry.id)
        return entry

    def select(self, entry_id: str) -> None:
        """Show an image: a result beside its original, a loaded one with its latest result."""
        entry = self.entries.get(entry_id)
        original = self.entries.get(entry.source) if entry and entry.is_result else entry
        if entry is None or original is None:
            return
        if entry.kind == OUTLINES:  # nothing to look at: the others stay
            self._show(self.entries.get(self.data.original), self.entries.get(self.data.result))
            return
        results = self.entries.results_of(original.id)
        self._show(original, entry if entry.is_result else (results[-1] if results else None))

    def close(self, entry_id: str) -> None:
        """Forget an image and what was made from it; its nodes leave the scene."""
        gone = self.entries.remove(entry_id)
        self.closed.emit(gone)
        kept = self.entries.get(self.data.result) or self.entries.get(self.data.original)
        loaded = [e for e in self.entries.loaded() if e.kind != OUTLINES]
        self.select(kept.id if kept else loaded[-1].id) if kept or loaded else self._show(None, None)
        for node in [n for e in gone for n in (e.node, e.fidelity_node) if n is not None]:
            self.scene.RemoveNode(node)

    def _show(self, original: Entry | None, result: Entry | None) -> None:
        with self.state:
            self.data.rows = self.entries.rows()
            self.data.original = original.id if original else ""
            self.data.result = result.id if result else ""
            self.shown.emit(original, result)


def _series_choice(series: SeriesInfo) -> dict[str, str]:
    return {"uid": series.uid, "description": series.description or "without a description", "detail": _series_detail(series)}


def _series_detail(series: SeriesInfo) -> str:
    frames, z, y, x = series.shape
    size = f"{x} × {y} × {z}" + (f", {frames} time points" if frames > 1 else "") if z else f"{len(series.files)} files"
    return " · ".join(part for part in (series.modality, size, series.uid) if part)
