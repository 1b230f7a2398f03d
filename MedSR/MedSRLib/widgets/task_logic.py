"""What the logics of all pages share: how a job is started, what it needs first, and how a script waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from .. import jobs
from ..errors import Cancelled, DependencyError
from . import dependencies

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
"""Those of the module MedSR: in the source tree its own, installed those that all modules share."""
POLL_SECONDS = 0.02


class TaskPageLogic(ScriptedLoadableModuleLogic):  # type: ignore[misc]
    """start: how a job is started; tests pass a stand-in. need_libraries, may_use_torch: methods of the task that do."""

    need_libraries: tuple[str, ...] = ()
    may_use_torch: tuple[str, ...] = ()

    def __init__(self, start: Callable[[Any], Any] = jobs.start) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.start = start
        self._asked = False

    def ensure_dependencies(self, method: str, log: Callable[[str], Any] = lambda text: None) -> None:
        """Install what the method needs, after asking; without torch the methods that need none still run.

        Raises DependencyError where the method cannot run.
        """
        if method not in self.need_libraries:
            return
        if method == "auto" and self._asked:
            return
        try:
            dependencies.ensure(RESOURCES / "requirements.txt", "MedSR")
            if method in self.may_use_torch:
                dependencies.ensure_torch()
        except DependencyError as error:
            if method != "auto":
                raise
            log(f"{error.sentence()} Meanwhile the methods that can run are compared.")
        self._asked = True  # once a session: auto runs with what there is

    def finish(self, work: Any, timeout_s: float) -> Any:
        """Run a job and wait for its nodes, for scripts and tests; Slicer stays alive meanwhile. Raises MedSRError."""
        try:
            job = self.start(work.specification())
            deadline = time.monotonic() + timeout_s
            while not job.finished:
                job.poll()
                slicer.app.processEvents()
                time.sleep(POLL_SECONDS)
                if time.monotonic() > deadline:
                    job.cancel()
                    raise Cancelled("the time given ran out")
            return work.collect(job.outcome())
        finally:
            work.close()
