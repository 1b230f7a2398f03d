"""Work beside Slicer's event loop that needs no child process: reading files for nodes that are added when it is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Cancelled


@dataclass(frozen=True)
class Made:
    """What the work gave, with what a job's outcome has too."""

    value: Any
    seconds: float
    warnings: tuple[str, ...] = ()


class ThreadJob:
    """Runs a function in a thread, as the jobs that a JobPanel shows. The function must touch neither the scene nor Qt.

    message: what is said meanwhile.
    """

    def __init__(self, work: Callable[[], Any], message: str) -> None:
        self._work, self._began = work, time.monotonic()
        self._events: list[dict[str, Any]] = [{"event": "progress", "fraction": 0.0, "message": message}]
        self._value: Any = None
        self._error: Exception | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="MedSR", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._work()
        except Exception as error:  # whatever it is, the page says it
            self._error = error

    @property
    def finished(self) -> bool:
        """True once there is an outcome; a cancelled one is not waited for."""
        return self._cancelled or not self._thread.is_alive()

    def poll(self) -> Sequence[dict[str, Any]]:
        """What there is to say, once."""
        events, self._events = self._events, []
        return events

    def cancel(self) -> None:
        """Forget the work: what it gives is not looked at."""
        self._cancelled = True

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it ended within this time, in seconds."""
        self._thread.join(0 if self._cancelled else timeout)
        return self.finished

    def outcome(self) -> Made:
        """Raises what the work raised, or Cancelled."""
        if self._cancelled:
            raise Cancelled()
        if self._error is not None:
            raise self._error
        return Made(self._value, time.monotonic() - self._began, tuple(getattr(self._value, "warnings", ())))
