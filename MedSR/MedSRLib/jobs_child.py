"""The child's side of a job: specification in on standard input, events out on standard output as lines of ASCII JSON.

The child ends when its standard input closes, so a parent that crashed leaves no orphan behind.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from .errors import Cancelled, InputError, MedSRError
from .jobs_files import remove_leftovers
from .jobs_here import run_here
from .jobs_specification import Outcome, Specification, plain
from .jobs_time import Remaining
from .run import Progress

REPORT_SECONDS = 0.1
"""Least time between two progress events: a fast loop must not flood the pipe."""
CANCEL = "cancel"


class Worker:
    """One child process with one job."""

    def __init__(self) -> None:
        self._out, self._in = _own_pipes()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._remaining = Remaining()
        self._last_report = 0.0
        self._spec: Specification | None = None

    def main(self) -> None:
        """Run the job that comes on standard input, then leave with its exit code."""
        self.send("pid", pid=os.getpid())
        code = 0
        try:
            self._spec = Specification.from_json(self._first_line())
            threading.Thread(target=self._listen, daemon=True).start()
            outcome = run_here(self._spec, Progress(self._report, self._cancelled.is_set), self._warn)
            self._result(outcome)
        except MedSRError as error:
            code = self._failed(error)
        except Exception as error:
            traceback.print_exc()
            code = self._failed(unexpected(error))
        sys.stderr.flush()
        os._exit(code)  # without waiting for threads of libraries: everything is written and flushed

    def send(self, event: str, **facts: Any) -> None:
        """Write one event. Where nobody reads any more, end."""
        line = json.dumps({"event": event, **plain(facts)})
        with self._lock:
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except OSError:
                self._end()

    def _first_line(self) -> str:
        line = self._in.readline()
        if not line:
            raise InputError("no job came", where="standard input")
        return line

    def _listen(self) -> None:
        """Wait for "cancel"; when the pipe closes, the parent is gone: end at once."""
        for line in iter(self._in.readline, ""):
            if line.strip() == CANCEL:
                self._cancelled.set()
        self._end()

    def _end(self) -> None:
        for path in (self._spec.outputs if self._spec else {}).values():
            remove_leftovers(Path(path).parent, os.getpid())
        os._exit(Cancelled.exit_code)

    def _report(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        remaining = self._remaining.update(fraction, now)
        if now - self._last_report >= REPORT_SECONDS or fraction >= 1:
            self._last_report = now
            self.send("progress", fraction=round(fraction, 4), message=message, remaining_s=remaining)

    def _warn(self, sentence: str) -> None:
        self.send("warning", text=sentence)

    def _result(self, outcome: Outcome) -> None:
        self.send("result", outputs=outcome.outputs, report=outcome.report, seconds=round(outcome.seconds, 3), warnings=outcome.warnings)

    def _failed(self, error: MedSRError) -> int:
        self.send("error", **error.to_dict(), exit_code=error.exit_code)
        return error.exit_code


def unexpected(error: BaseException) -> MedSRError:
    """A failure that nobody foresaw, as one sentence."""
    text = " ".join(str(error).split())
    return MedSRError(f"MedSR failed unexpectedly ({type(error).__name__}: {text})", fix="please report it with the log")


def _own_pipes() -> tuple[TextIO, TextIO]:
    """The pipes to the parent, kept from everything else.

    What libraries print goes to the log (standard error), and nothing else can read from, or block on, the parent's
    pipe: on Windows, loading numpy while another thread waits on the standard input handle can hang.
    """
    out = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    inward = os.fdopen(os.dup(0), "r", encoding="ascii", newline="\n")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return out, inward
