"""What is open in the workstation: images and files of outlines that were loaded, and results that belong to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..scene.registration_results import RegistrationResults
from ..volume import Volume

VOLUME, SLIDE, OUTLINES = "volume", "slide", "outlines"


@dataclass
class Entry:
    """One open image.

    path, series: where it was read from (what a job is given). frames: one Volume a time point.
    source: the entry it was made from, "" for a loaded one. fidelity: expected |error|, the frames' grid; may be empty.
    outputs: the files of a result by port. report: what the task said of it.
    own_window: (black, white) that the file asks for. window: what the user saw last; both None where there is none.
    task: what a result was made by, or what the user chose for a loaded one; "" until then.
    kind: of a loaded one; outlines have no frames. texts: (size, spacing) of what is no volume.
    registration: a slide laid on the source; its node is None, since the source itself is shown below the slide.
    """

    id: str
    name: str
    path: Path
    frames: tuple[Volume, ...]
    series: str = ""
    source: str = ""
    node: Any = None
    fidelity: tuple[Volume, ...] = ()
    fidelity_node: Any = None
    shown_frame: int = 0
    outputs: Mapping[str, Path] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    own_window: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    task: str = ""
    kind: str = VOLUME
    texts: tuple[str, str] | None = None
    registration: RegistrationResults | None = None

    @property
    def is_result(self) -> bool:
        return bool(self.source)

    @property
    def is_region(self) -> bool:
        """Whether it is a result of only a part of its original."""
        return bool((self.report.get("options") or {}).get("roi"))

    @property
    def is_dicom(self) -> bool:
        return bool(self.frames and self.frames[0].meta.get("dicom_files"))

    @property
    def size_text(self) -> str:
        """Columns × rows × slices, and frames where there are several."""
        if self.texts is not None:
            return self.texts[0]
        z, y, x = self.frames[0].shape
        return f"{x} × {y} × {z}" + (f" · {len(self.frames)} time points" if len(self.frames) > 1 else "")

    @property
    def spacing_text(self) -> str:
        """The same order, in mm; three figures are enough to recognise it."""
        if self.texts is not None:
            return self.texts[1]
        return " × ".join(f"{s:.3g}" for s in self.frames[0].spacing_mm) + " mm"

    def row(self) -> dict[str, Any]:
        """Its line in the page's list."""
        modality = str(self.frames[0].meta.get("modality") or "") if self.frames else ""
        return {
            "id": self.id,
            "name": self.name,
            "size": self.size_text,
            "spacing": self.spacing_text,
            "modality": modality,
            "kind": self.kind,
            "is_result": self.is_result,
            "source": self.source,
        }


class Entries:
    """The open images in the order of the page's list: each loaded volume, its results behind it."""

    def __init__(self) -> None:
        self._all: dict[str, Entry] = {}
        self._count = 0

    def new_id(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def add(self, entry: Entry) -> Entry:
        self._all[entry.id] = entry
        return entry

    def get(self, entry_id: str) -> Entry | None:
        return self._all.get(entry_id)

    def remove(self, entry_id: str) -> list[Entry]:
        """Take an entry out, with the results made from it; gives what left."""
        gone = [e for e in self._all.values() if entry_id in (e.id, e.source)]
        for entry in gone:
            del self._all[entry.id]
        return gone

    def results_of(self, entry_id: str) -> list[Entry]:
        return [e for e in self._all.values() if e.source == entry_id]

    def loaded(self) -> list[Entry]:
        return [e for e in self._all.values() if not e.is_result]

    def all(self) -> list[Entry]:
        return list(self._all.values())

    def rows(self) -> list[dict[str, Any]]:
        return [e.row() for first in self.loaded() for e in (first, *self.results_of(first.id))]
