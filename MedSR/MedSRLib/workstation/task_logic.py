"""Running the chosen task on the shown original: specification → child process → result in the scene and on the page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trame_server.utils.asynchronous import create_task
from trame_slicer.app.logic import BaseLogic
from undo_stack import Signal

from .. import jobs
from ..errors import Cancelled, MedSRError
from ..io import formats
from ..scene.aftercare import dress
from ..scene.fidelity import add_fidelity
from ..scene.nodes import add_node
from .cards import card_texts
from .entries import SLIDE, VOLUME, Entries, Entry
from .form import OptionsForm
from .panels import PANELS, Panel
from .result_card import result_card
from .runner import Runner
from .slide_logic import TASK as REGISTRATION
from .slide_logic import SlideLogic
from .task_choice import ANY, TaskChoice
from .task_ui import TaskState, TaskUI
from .transfer import safe_name

REVEAL_DELAY_S = 0.3
logger = logging.getLogger(__name__)


class TaskLogic(BaseLogic[TaskState]):
    """Emits `finished` with the result's entry, `chosen` with the name of the task that the panel shows.

    forms: one a task, by its name. slides: knows a registration's inputs, and what it makes.
    """

    finished = Signal(object)
    chosen = Signal(str)

    def __init__(
        self,
        server,
        slicer_app,
        forms: Mapping[str, OptionsForm],
        runner: Runner,
        entries: Entries,
        folder: Path,
        slides: SlideLogic,
    ) -> None:
        super().__init__(server, slicer_app, TaskState)
        self._choice, self._runner = TaskChoice(forms, {REGISTRATION: slides.sentence}), runner
        self._entries, self._folder, self._slides = entries, folder, slides
        slides.changed.connect(self._preview)
        slides.scoring.connect(lambda: create_task(self.run()))
        self._original: Entry | None = None
        self._result: Entry | None = None
        self._of_job: Entry | None = None
        self.data.task = self._choice.task
        self.data.cards = {task: card_texts(task) for task in forms}
        for form in forms.values():
            self.state.change(*form.keys)(self._preview)
            if form.has(ANY):
                self.state.change(form.key(ANY))(self._offer_models)
        self.bind_changes({self.name.task: self._choose})
        self._say_choice()

    def set_ui(self, ui: TaskUI) -> None:
        ui.start_clicked.connect(lambda: create_task(self.run()))
        ui.cancel_clicked.connect(self.cancel)

    def show(self, original: Entry | None, result: Entry | None) -> None:
        """Another pair is looked at: its card, not the last job's."""
        if original is not self._original:
            self.data.notes = [_note("warning", text) for text in (original.frames[0].meta.get("warnings") or ())] if original else []
            self._choice.show(original, any(e.kind == SLIDE for e in self._entries.loaded()))
            self.data.task = self._choice.task
        self._original, self._result = original, result
        self._offer_labels()
        self._say_choice()
        self.data.result = result_card(result, original) if original and result else {}

    def say_moved(self) -> None:
        """The slide of the shown result lies elsewhere: its card says so."""
        if self._result is not None and self._original is not None:
            self.data.result = result_card(self._result, self._original)

    def _choose(self, task: str) -> None:
        """The user took the other task."""
        if task in PANELS and task != self._choice.task:
            self._choice.choose(task)
            self._say_choice()

    def _offer_models(self, **_values: Any) -> None:
        self._choice.offer_models()
        self._say_choice()

    def _say_choice(self) -> None:
        panel, data = self._choice.panel, self.data
        data.why, data.no_model = self._choice.said_why, self._choice.no_model
        data.button, data.icon, data.labels_title = panel.button, panel.icon, panel.labels_title
        data.labels_hint = panel.labels.help if panel.labels else ""
        data.evaluate = panel.evaluate
        data.can_evaluate = bool(panel.evaluation) and (
            not panel.evaluates_result or bool(self._result and self._result.task == panel.task)
        )
        self.chosen.emit(panel.task)
        self._preview()

    def _offer_labels(self) -> None:
        """Any other loaded image may hold labels on the original's grid; the task says where one does not."""
        others = [e for e in self._entries.loaded() if e is not self._original and e.kind == VOLUME]
        self.data.segmentations = [{"value": "", "title": "None"}, *({"value": e.id, "title": e.name} for e in others)]
        if self.data.segmentation not in [e.id for e in others]:
            self.data.segmentation = ""

    def _preview(self, **_values: Any) -> None:
        """Say what the options would give on the shown original."""
        self.data.estimate, self.data.is_possible, texts = self._choice.plan()
        self._choice.form.say_unset(texts)

    @property
    def panel(self) -> Panel:
        """Of the task that is chosen."""
        return self._choice.panel

    @property
    def busy(self) -> bool:
        """Whether a job runs, or its result is being read."""
        return self.data.busy

    def forget(self, gone: Sequence[Entry]) -> None:
        """Images were closed: a job on one of them has lost its purpose."""
        if self._of_job in gone:
            self.cancel()

    def cancel(self) -> None:
        """Returns at once; the child is killed behind the scenes. Nothing where no job runs: another tab may be late."""
        if self.data.busy:
            self.data.cancelling = True
            self._runner.cancel()

    async def run(self) -> None:
        """One job, from the click to the picture. Every failure becomes a sentence on the page."""
        original = self._original
        if original is None or self.data.busy:
            return
        self.begin("Starting", original)
        try:
            specification = self._specification(original)
            event = await self._runner.run(specification, self.follow)
            entry = await self._made(original, specification.task, event)
            self._choice.learn(entry, specification.options)
            self.finished.emit(entry)
            self._forget_notes(entry.report.get("warnings") or ())
            create_task(self._reveal())
        except Cancelled:
            self.note("info", "Cancelled; nothing was written.")
        except MedSRError as error:
            self.note("error", error.sentence())
        except Exception as error:  # the page must not stay busy, whatever happened
            logger.exception("the job failed")
            self.note("error", f"The job failed: {error}.")
        finally:
            self._slides.close()
            self.end()

    def _forget_notes(self, texts: Sequence[str]) -> None:
        """What stands on the result's card needs no note."""
        self.data.notes = [note for note in self.data.notes if note["text"] not in texts]

    async def _made(self, original: Entry, task: str, event: Mapping[str, Any]) -> Entry:
        """The result in the scene. Raises Cancelled where it is no longer wanted."""
        if task != REGISTRATION:
            return await self._entry(original, task, event)
        read = await self._slides.read(event)
        if self.data.cancelling:
            raise Cancelled()
        return self._slides.entry(original, read)

    def _specification(self, original: Entry) -> jobs.Specification:
        panel, options = self._choice.panel, self._choice.form.values()
        if panel.task == REGISTRATION:
            return self._slides.specification(original, options)
        folder = self._folder / self._entries.new_id()
        folder.mkdir(parents=True)
        stem = safe_name(original.name)
        inputs = {"volume": str(original.path)}
        outputs = {"volume": str(folder / f"{stem}_{panel.suffix}.nrrd"), "fidelity": str(folder / f"{stem}_fidelity.nrrd")}
        labels = self._entries.get(self.data.segmentation)
        if labels is not None and panel.labels is not None:
            inputs[panel.labels.name] = str(labels.path)
            if panel.labels.name in panel.output_names:
                outputs[panel.labels.name] = str(folder / f"{stem}_{panel.labels.name}.nrrd")
        return jobs.Specification(panel.task, inputs, outputs, options, original.series)

    async def _entry(self, original: Entry, task: str, event: Mapping[str, Any]) -> Entry:
        """Read what the child wrote and put it into the scene, dressed like its original."""
        outputs = {port: Path(path) for port, path in event["outputs"].items()}
        report = {**event["report"], "seconds": event["seconds"]}
        frames = await asyncio.to_thread(formats.read, outputs["volume"])
        fidelity = await asyncio.to_thread(formats.read, outputs["fidelity"]) if "fidelity" in outputs else ()
        if self.data.cancelling:  # meanwhile; also where the original was closed
            raise Cancelled()
        panel, alike = PANELS[task], [e for e in self._entries.results_of(original.id) if e.task == task]
        name = f"{original.name} {panel.suffix}" + (f" {len(alike) + 1}" if alike else "")
        if panel.derivation:
            frames = tuple(frame.with_(meta={"derivation": panel.derivation}) for frame in frames)
        made: dict[str, Any] = {"source": original.id, "outputs": outputs, "report": report, "task": task}
        entry = Entry(self._entries.new_id(), name, outputs["volume"], frames, **made)
        entry.node = add_node(self.scene, frames[0], name)
        dress(entry.node, original.node, task=task, report=report)
        if fidelity:
            entry.fidelity, entry.fidelity_node = fidelity, add_fidelity(self.scene, fidelity[0], f"{name} expected error", entry.node)
        return entry

    async def _reveal(self) -> None:
        """Scroll the panel to the result's card, once the page has drawn it."""
        await asyncio.sleep(REVEAL_DELAY_S)
        self.server.js_call("result_card", "scrollIntoView", {"block": "nearest", "behavior": "smooth"})

    def begin(self, step: str, original: Entry) -> None:
        """A job on `original` starts: the page shows its progress until `end`."""
        self._of_job = original
        with self.state:
            data = self.data
            data.busy, data.cancelling, data.percent, data.left, data.step, data.notes = True, False, 0.0, "", step, []

    def end(self) -> None:
        """The job is over, well or not."""
        self._of_job = None
        with self.state:
            self.data.busy, self.data.cancelling = False, False

    def follow(self, event: Mapping[str, Any]) -> None:
        """Show one event of the child."""
        if event["event"] == "warning":
            self.note("warning", event["text"])
        elif event["event"] == "progress":
            with self.state:
                self.data.percent = 100.0 * float(event["fraction"])
                self.data.step = str(event.get("message") or self.data.step)
                self.data.left = _time_left(event.get("remaining_s"))

    def note(self, kind: str, text: str) -> None:
        """Add a sentence to the panel. kind: error, warning, info or success."""
        with self.state:
            if text not in [n["text"] for n in self.data.notes]:
                self.data.notes = [*self.data.notes, _note(kind, text)]


def _note(kind: str, text: str) -> dict[str, str]:
    return {"kind": kind, "text": text}


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left"
