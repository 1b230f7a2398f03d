"""Evaluating on the shown original: every method, or its result; the CSV and the report as a table, figures beside it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trame_server.utils.asynchronous import create_task
from trame_slicer.app.logic import BaseLogic

from .. import jobs
from ..errors import Cancelled, InputError, MedSRError
from ..scene.registration_evaluation import written
from ..tasks import load
from .entries import Entry
from .evaluation_table import table_of
from .evaluation_ui import EvaluationState
from .runner import Runner
from .task_logic import TaskLogic
from .task_ui import TaskUI
from .transfer import safe_name

SUFFIXES = {"table": ".csv", "figure": ".png", "report": ".json"}
logger = logging.getLogger(__name__)


class EvaluationLogic(BaseLogic[EvaluationState]):
    """Shares the task's progress bar and cancel button: one job at a time."""

    def __init__(self, server, slicer_app, task_logic: TaskLogic, runner: Runner, folder: Path) -> None:
        super().__init__(server, slicer_app, EvaluationState)
        self._task, self._runner, self._folder, self._count = task_logic, runner, folder, 0
        self._original: Entry | None = None
        self._result: Entry | None = None
        self._files: dict[str, Path] = {}

    def set_ui(self, ui: TaskUI) -> None:
        ui.evaluate_clicked.connect(lambda: create_task(self.run()))

    def show(self, original: Entry | None, result: Entry | None) -> None:
        self._original, self._result = original, result

    def file(self, what: str) -> Path | None:
        """A file of the last evaluation by its port's name."""
        return self._files.get(what)

    async def run(self) -> None:
        """One evaluation, from the click to the table. Every failure becomes a sentence on the page."""
        original = self._original
        if original is None or self._task.busy:
            return
        self._task.begin("Evaluating", original)
        try:
            specification = self._specification(original)
            event = await self._runner.run(specification, self._task.follow)
            with self.state:
                self._show_table(original, specification.task, event)
        except Cancelled:
            self._task.note("info", "Evaluation cancelled.")
        except MedSRError as error:
            self._task.note("error", error.sentence())
        except Exception as error:  # the page must not stay busy, whatever happened
            logger.exception("the evaluation failed")
            self._task.note("error", f"The evaluation failed: {error}.")
        finally:
            self._task.end()

    def _specification(self, original: Entry) -> jobs.Specification:
        panel = self._task.panel
        task = load(panel.evaluation)
        self._count += 1
        folder = self._folder / f"evaluation-{self._count}"
        folder.mkdir(parents=True)
        stem = safe_name(original.name)
        inputs = {panel.original_port: str(original.path)}
        if panel.evaluates_result:
            if self._result is None or self._result.task != panel.task:
                raise InputError("there is no result to compare", where=original.name, fix="compute one first")
            inputs[panel.result_port] = str(self._path_of(self._result, folder))
        outputs = {port.name: str(folder / f"{stem}_{port.name}{port.ending or SUFFIXES[port.kind]}") for port in task.OUTPUTS}
        return jobs.Specification(panel.evaluation, inputs, outputs, {}, original.series)

    def _path_of(self, result: Entry, folder: Path) -> Path:
        """A result's file; of a registration, which lies in the scene, a folder of its files as it lies now."""
        if result.registration is None:
            return result.path
        return written(result.registration, folder)

    def _show_table(self, original: Entry, task: str, event: Mapping[str, Any]) -> None:
        kinds = {port.name: port.kind for port in load(task).OUTPUTS}
        self._files = {name: Path(path) for name, path in event["outputs"].items()}
        self.data.heading, self.data.columns, self.data.rows, self.data.note = table_of(event["report"])
        self.data.volume = original.name
        self.data.csv = next((self._url(name) for name in self._files if kinds.get(name) == "table"), "")
        self.data.figures = [self._url(name) for name in self._files if kinds.get(name) == "figure"]
        self.data.count = self._count

    def _url(self, name: str) -> str:
        return f"download/evaluation/{name}?n={self._count}"
