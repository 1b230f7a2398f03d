"""Registration on the page: what it is given, its job and its result, and the slide moved by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trame_slicer.app.logic import BaseLogic
from undo_stack import Signal

from ..errors import InputError, MedSRError, OptionError
from ..jobs_specification import Outcome, Specification
from ..scene import nudge
from ..scene.checkerboard import ROLE as SQUARES_ROLE
from ..scene.registration_results import SLIDE as SLIDE_ROLE
from ..scene.registration_results import RegistrationResults
from ..scene.registration_words import slice_words
from ..scene.slide_transform import hang, lay
from .entries import OUTLINES, SLIDE, VOLUME, Entries, Entry
from .slide_card import PYRAMID
from .slide_job import SlideJob
from .slide_ui import INPUTS, STEPS, SlideState, SlideUI

TASK = "register_slide"
KINDS = {
    "slide": (SLIDE, OUTLINES, VOLUME),
    "mri_mask": (VOLUME,),
    "outlines": (OUTLINES, SLIDE, VOLUME),
    "landmarks": (),
    "transform": (),
    "case": (),
}
"""What is offered for each input, the likeliest first."""


class SlideLogic(BaseLogic[SlideState]):
    """Emits `changed` when another choice was made, `moved` when the slide lies elsewhere, `made` with a new entry,
    `scoring` when the position is to be scored.

    slice_shown: gives the MRI slice that is looked at.
    """

    changed = Signal()
    moved = Signal()
    made = Signal(object)
    scoring = Signal()

    def __init__(self, server, slicer_app, entries: Entries, folder: Path, slice_shown: Callable[[], int]) -> None:
        super().__init__(server, slicer_app, SlideState)
        self._entries, self._folder, self._slice_shown = entries, folder, slice_shown
        self._original: Entry | None = None
        self._result: Entry | None = None
        self._job: SlideJob | None = None
        self._choices: dict[str, dict[str, str]] = {}
        self._new_id = ""
        self._is_scoring = False
        self._say: Callable[[str, str], None] = lambda _kind, _text: None
        self.bind_changes({tuple(getattr(self.name, port) for port in INPUTS): lambda *_values: self.changed.emit()})

    def set_ui(self, ui: SlideUI, say: Callable[[str, str], None]) -> None:
        """say: adds a sentence to the panel, (kind, text)."""
        self._say = say
        ui.moved.connect(lambda way: self._tell(lambda: self._move(way)))
        ui.undo_clicked.connect(lambda: self._tell(self._undo))
        ui.lay_clicked.connect(lambda: self._tell(self._lay))
        ui.score_clicked.connect(self._score)

    def show(self, original: Entry | None, result: Entry | None) -> None:
        """Another pair: what can be chosen for it, and its slide under its own transform."""
        if original is not self._original:
            self._recall(original)
        self._original, self._result = original, result
        self._offer()
        results = self._placed
        if results is not None and results.slide is not None:
            hang(results.slide, results.transform, results.mri)
        elif original is not None and original.kind == SLIDE:
            original.node.SetAndObserveTransformNodeID(None)
        self._say_place()

    def _recall(self, original: Entry | None) -> None:
        """Each MRI keeps what was chosen for it."""
        if self._original is not None:
            self._choices[self._original.id] = {port: self._chosen(port) for port in INPUTS}
        kept = self._choices.get(original.id, {}) if original is not None else {}
        for port in INPUTS:
            setattr(self.data, port, kept.get(port, ""))

    @property
    def _placed(self) -> RegistrationResults | None:
        return self._result.registration if self._result else None

    def _offer(self) -> None:
        """Every open image that an input could be; the only slide is taken, and the only file of outlines with it."""
        others = [e for e in self._entries.loaded() if e is not self._original]
        self.data.open_images = {port: [_choice(e) for kind in kinds for e in others if e.kind == kind] for port, kinds in KINDS.items()}
        ids = {e.id for e in others}
        for port in INPUTS:
            if _is_id(chosen := self._chosen(port)) and chosen not in ids:
                setattr(self.data, port, "")
        is_mri = self._original is not None and self._original.kind == VOLUME
        slides, drawn = ([e.id for e in others if e.kind == kind] for kind in (SLIDE, OUTLINES))
        if not is_mri or len(slides) != 1:
            return
        self.data.slide = self._chosen("slide") or slides[0]
        if len(drawn) == 1 and self._chosen("slide") == slides[0]:
            self.data.outlines = self._chosen("outlines") or drawn[0]

    def _chosen(self, port: str) -> str:
        return str(getattr(self.data, port) or "").strip()

    def given(self) -> dict[str, Entry | Path]:
        """The chosen inputs. Raises InputError for a file that is not there."""
        found: dict[str, Entry | Path] = {}
        for port in INPUTS:
            text = self._chosen(port)
            entry = self._entries.get(text) or next((e for e in self._entries.loaded() if e.name == text), None)
            if entry is not None:
                found[port] = entry
            elif text:
                found[port] = _file(text, INPUTS[port][0])
        return found

    def sentence(self, original: Entry, options: Mapping[str, Any]) -> str:
        """What a click would do. Raises InputError where it would do nothing."""
        if original.kind == SLIDE:
            raise InputError("this is a slide", fix="choose the MRI in the list, and the slide as its input")
        given = self.given()
        if "slide" not in given:
            raise InputError("no slide is chosen", fix="open one, or type its path")
        where = slice_words(options["slice"], original.frames[0].shape[0], "case" in given)
        by = ", guided by the gland's mask" if "mri_mask" in given else ""
        return f"{_name(given['slide'])} is laid on {where} of {original.name}{by}."

    def specification(self, original: Entry, options: Mapping[str, Any]) -> Specification:
        """The job's; the files of the one before go."""
        self.close()
        self.sentence(original, options)
        given = self.given()
        slide = given.pop("slide")
        placed, extra = self._from_here()
        paths = {port: one.path if isinstance(one, Entry) else one for port, one in given.items()}
        if placed is not None:
            paths = {port: path for port, path in paths.items() if port not in ("landmarks", "transform")}
        node = slide.node if isinstance(slide, Entry) and slide.kind == SLIDE else None
        source: Any = node or (slide.path if isinstance(slide, Entry) else slide)
        pyramid = self._new_folder() / PYRAMID
        self._job = SlideJob(original, {**options, **extra}, self._folder, slide=source, paths=paths, placed=placed, fused_slide=pyramid)
        return self._job.specification()

    def _new_folder(self) -> Path:
        """Where the files of the next result stay."""
        self._new_id = self._entries.new_id()
        folder = self._folder / self._new_id
        folder.mkdir()
        return folder

    def _from_here(self) -> tuple[Any, dict[str, Any]]:
        """(the transform that the job begins with or scores, the options for that)."""
        scoring, self._is_scoring = self._is_scoring, False
        if self._placed is None or not (scoring or self.data.start_here):
            return None, {}
        # What a hand laid is scored where it lies, however bad: nothing bends it into place.
        if scoring:
            return self._placed.transform, {"transform_as": "result", "accept_any": True, "deformable": False}
        return self._placed.transform, {"transform_as": "start"}

    async def read(self, event: Mapping[str, Any]) -> Any:
        """What the child wrote."""
        assert self._job is not None
        outcome = Outcome(event["outputs"], event["report"], event["seconds"], tuple(event.get("warnings") or ()))
        return outcome, await self._job.read(outcome)

    def entry(self, original: Entry, read: Any) -> Entry:
        """The result in the scene and in the list."""
        assert self._job is not None
        outcome, files = read
        results = self._job.show(files, outcome)
        outputs = {port: Path(outcome.outputs[port]) for port in ("fused_slide",) if port in outcome.outputs}
        new_id, report = self._new_id, {**results.facts, "seconds": outcome.seconds}
        self.close()
        return self._entry(new_id, original, results, report, outputs)

    def _entry(
        self, new_id: str, original: Entry, results: RegistrationResults, report: Mapping[str, Any], outputs: Mapping[str, Path]
    ) -> Entry:
        name = results.slide.GetName() if results.slide else results.transform.GetName().partition(" to ")[0]
        count = len(self._entries.results_of(original.id)) + 1
        texts = (f"on {original.name}", _texts(report))
        return Entry(
            new_id,
            f"{name} registered {count}" if count > 1 else f"{name} registered",
            self._folder / new_id / "registration.zip",
            original.frames,
            source=original.id,
            outputs=outputs,
            report=report,
            task=TASK,
            texts=texts,
            registration=results,
        )

    def close(self) -> None:
        """Remove the files of the last job, but for those of its result."""
        if self._job is not None:
            self._job.close()
            self._job = None
            with contextlib.suppress(OSError):  # a result's folder is not empty
                (self._folder / self._new_id).rmdir()

    def _tell(self, action: Callable[[], None]) -> None:
        """What cannot be done is said on the page."""
        try:
            with self.state:
                action()
        except MedSRError as error:
            self._say("error", error.sentence())

    def _move(self, way: Mapping[str, int]) -> None:
        results = self._placed
        if results is None:
            return
        turn, shift, percent = (_number(getattr(self.data, name), label) for name, (label, _) in STEPS.items())
        nudge.nudge(
            results.transform,
            turn_deg=turn * way.get("turn", 0),
            mirror=bool(way.get("mirror")),
            shift_mm=(shift * way.get("right", 0), shift * way.get("down", 0)),
            scale=(1 + percent / 100) ** way.get("grow", 0),
        )
        self._tell_moved()

    def _undo(self) -> None:
        if self._placed is not None and nudge.undo(self._placed.transform):
            self._tell_moved()

    def _tell_moved(self) -> None:
        self._say_place()
        self.moved.emit()

    def _say_place(self) -> None:
        self.data.placed = self._placed is not None and self._placed.slide is not None
        self.data.moved = nudge.nudged(self._placed.transform) if self._placed is not None else 0

    def _lay(self) -> None:
        original, given = self._original, self.given()
        slide = given.get("slide")
        if original is None or original.kind == SLIDE:
            raise InputError("there is no MRI to lay a slide on", fix="choose the MRI in the list")
        if not isinstance(slide, Entry) or slide.kind != SLIDE:
            raise InputError("no open slide is chosen", fix="open the slide, then choose it")
        transform = lay(slide.node, original.node, self._slice_shown())
        transform.SetNodeReferenceID(SLIDE_ROLE, slide.node.GetID())
        self.made.emit(self._entry(self._entries.new_id(), original, RegistrationResults(transform), {}, {}))

    def _score(self) -> None:
        self._is_scoring = self._placed is not None
        if self._is_scoring:
            self.scoring.emit()

    def forget(self, gone: Sequence[Entry]) -> None:
        """Registrations were closed: their nodes leave the scene, but for slides that are open."""
        open_slides = {e.node.GetID() for e in self._entries.loaded() if e.kind == SLIDE}
        for results in [e.registration for e in gone if e.registration is not None]:
            own = results.slide if results.slide is not None and results.slide.GetID() not in open_slides else None
            squares = results.transform.GetNodeReference(SQUARES_ROLE)
            if results.slide is not None:
                results.slide.SetAndObserveTransformNodeID(None)
            for node in (own, results.segmentation, results.table, results.fused, squares, results.warp, results.transform):
                if node is not None:
                    self.scene.RemoveNode(node)


def _choice(entry: Entry) -> dict[str, str]:
    return {"value": entry.id, "title": entry.name}


def _is_id(text: str) -> bool:
    return text.startswith("v") and text[1:].isdigit()


def _file(text: str, label: str) -> Path:
    path = Path(text.strip("'\"")).expanduser()
    if not path.exists():
        raise InputError("there is no such file", where=f"{label}: {text}", fix="choose an open image, or check the path")
    return path


def _name(one: Entry | Path) -> str:
    return one.name


def _number(value: Any, label: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{label}: {value!r} is no number", fix="give a number") from None


def _texts(report: Mapping[str, Any]) -> str:
    if not report:
        return "laid by hand, not scored"
    dice = report.get("dice")
    return f"slice {report['slice']}, {report['grade']}" + (f", Dice {dice:.3f}" if dice is not None else "")
