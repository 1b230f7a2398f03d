"""The part that every MedSR page has: a main button that becomes Cancel, progress with the time left, one error sentence, a log.

The page's .ui file names its widgets `applyButton`, `progressBar`, `statusLabel`, `errorLabel` and `logText`.
The work is a child process; a QTimer asks it what it has to say, so that Slicer never waits.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import qt
import slicer.util

from ..errors import Cancelled, MedSRError

POLL_MS = 100
REST_SECONDS = 0.005
"""Slicer's event loop keeps Python's lock: the threads that read the child's pipes get on only while Python rests here."""
END_SECONDS = 2.0
"""A cancelled child is gone within this time."""
CANCEL = "Cancel"


def time_left(seconds: float | None) -> str:
    """The remaining time in words that do not flicker: "" where it is not known."""
    if seconds is None or seconds < 0:
        return ""
    if seconds < 5:
        return "a few seconds left"
    if seconds < 90:
        return f"about {5 * round(seconds / 5)} s left"
    return f"about {round(seconds / 60)} min left"


def as_sentence(error: Exception) -> MedSRError:
    """The error itself where it is one of ours; else one that names it, its trace in Slicer's log."""
    if isinstance(error, MedSRError):
        return error
    logging.getLogger("MedSR").error("unexpected error", exc_info=error)
    return MedSRError(f"something unexpected happened ({type(error).__name__}: {error})", fix="please report it with Slicer's log")


def without_flags(sentence: str) -> str:
    """The engine names options as the command does (--spacing); on a page they are words."""
    return re.sub(r"(?<!\S)--(?=[a-z])", "", sentence)


class JobPanel:
    """Runs one job at a time and shows it.

    start: takes a Specification and returns a Job (poll, cancel, wait, finished, outcome); tests pass a stand-in.
    changed: called when a job begins or ends, so that the page can enable and disable its other widgets.
    """

    def __init__(self, ui: Any, start: Callable[[Any], Any], changed: Callable[[], None]) -> None:
        self._ui, self._start, self._changed = ui, start, changed
        self._job: Any = None
        self._done: Callable[[Any], str | None] | None = None
        self._finally: Callable[[], Any] | None = None
        self._warned: list[str] = []
        self._cancelled = False
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.poll)
        self._apply_text = ui.applyButton.text
        self._show_idle()

    @property
    def running(self) -> bool:
        """True while a job works."""
        return self._job is not None

    def run(
        self,
        prepare: Callable[[], Any],
        done: Callable[[Any], str | None],
        finally_: Callable[[], Any] | None = None,
        start: Callable[[Any], Any] | None = None,
    ) -> None:
        """Start the job whose specification `prepare` gives. Errors become a sentence on the page.

        done: gets the job's Outcome; what it returns is the sentence about the result that the page shows.
        finally_: called once the job is over, however it ended; it removes the job's files.
        start: makes another kind of job of what `prepare` gives.
        """
        if self.running:
            return
        self.clear_error()
        self._say("")
        self._finally, self._warned, self._cancelled = finally_, [], False
        try:
            self._job = (start or self._start)(prepare())
        except Exception as error:  # a button must never leave the page half-way
            self._tidy()
            self.show_error(as_sentence(error))
            return
        self._done = done
        self._ui.applyButton.text = CANCEL
        self._ui.progressBar.visible = True
        self._show_progress(0.0, "Starting", None)
        self._timer.start()
        self._changed()

    def cancel(self) -> None:
        """Ask the job to stop; the page is ready again once it has."""
        if self.running:
            self._say("Cancelling…")
            self._cancelled = True
            self._job.cancel()

    def close(self) -> None:
        """Stop the job and forget it: the page goes away, or the scene that it worked on was closed."""
        self._timer.stop()
        if self.running:
            self._job.cancel()
            self._job.wait(END_SECONDS)  # its files are removed next
            self._finish("Cancelled.")

    def poll(self) -> None:
        """Take what the job has said; called by the timer."""
        job = self._job
        if job is None:
            return
        time.sleep(REST_SECONDS)
        for event in job.poll():
            self._hear(event)
        # What was heard may have closed the page.
        if self._job is job and job.finished:
            self._conclude(job)

    def _hear(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "progress":
            self._show_progress(event["fraction"], event.get("message", ""), event.get("remaining_s"))
        elif kind == "warning":
            self.warn(event["text"])
        elif kind == "log":
            self.log(event["text"])

    def _conclude(self, job: Any) -> None:
        done, self._done = self._done, None
        try:
            if self._cancelled:  # the click came when the result was already on its way
                raise Cancelled()
            outcome = job.outcome()
            for warning in outcome.warnings:
                self.warn(warning)
            said = done(outcome) if done is not None else ""
            self._finish(" ".join(part for part in (f"Done in {outcome.seconds:.1f} s.", said, self._warnings()) if part))
        except Cancelled:
            self._finish("Cancelled.")
        except Exception as error:  # whatever happened, the page must be ready again
            self._finish("")
            self.show_error(as_sentence(error))

    def _tidy(self) -> None:
        finally_, self._finally = self._finally, None
        if finally_ is not None:
            finally_()

    def _finish(self, status: str) -> None:
        self._timer.stop()
        self._job = None
        self._tidy()
        self._show_idle()
        self._say(status)
        if status:
            self.log(status)
        self._changed()

    def _warnings(self) -> str:
        count = len(self._warned)
        return f"{count} {'warning' if count == 1 else 'warnings'} in the log." if count else ""

    def _say(self, status: str) -> None:
        """The line under the progress bar; it takes no room where there is nothing to say."""
        self._ui.statusLabel.text = status
        self._ui.statusLabel.visible = bool(status)

    def _show_idle(self) -> None:
        self._ui.applyButton.text = self._apply_text
        self._ui.progressBar.visible = False
        self._say("")
        self.clear_error()

    def _show_progress(self, fraction: float, message: str, remaining_s: float | None) -> None:
        self._ui.progressBar.value = int(round(100 * fraction))
        self._say(" · ".join(part for part in (message, time_left(remaining_s)) if part))

    def show_error(self, error: MedSRError) -> None:
        """One sentence in the page, in Slicer's error display and in the log."""
        sentence = without_flags(error.sentence())
        self._ui.errorLabel.text = sentence
        self._ui.errorLabel.visible = True
        self.log("Error: " + sentence)
        slicer.util.errorDisplay(sentence)

    def clear_error(self) -> None:
        """Take the last sentence away."""
        self._ui.errorLabel.text = ""
        self._ui.errorLabel.visible = False

    def warn(self, text: str) -> None:
        """Add a warning to the log, once a job, however often it is told."""
        if text not in self._warned:
            self._warned.append(text)
            self.log("Warning: " + text)

    def log(self, text: str) -> None:
        """Add a line to the page's log."""
        self._ui.logText.appendPlainText(text.rstrip())
        logging.getLogger("MedSR").info(text.rstrip())
