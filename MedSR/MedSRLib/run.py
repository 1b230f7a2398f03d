"""Running a job: progress, cancel, device, batch size. The standard library at import; torch inside functions."""

from __future__ import annotations

from collections.abc import Callable

from .errors import Cancelled


class Progress:
    """What a task calls as it goes: reports a fraction of the whole, and stops the task when the user cancels.

    report: called with (fraction in [0, 1], message); cancelled: asked before each report.
    """

    def __init__(
        self,
        report: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        start: float = 0.0,
        end: float = 1.0,
    ) -> None:
        self._report, self._cancelled, self._start, self._end = report, cancelled, start, end

    def __call__(self, fraction: float, message: str = "") -> None:
        """Report `fraction` of this part. Raises Cancelled where the user asked to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled()
        if self._report is not None:
            self._report(self._start + min(max(fraction, 0.0), 1.0) * (self._end - self._start), message)

    def part(self, start: float, end: float) -> Progress:
        """A progress whose 0 to 1 is `start` to `end` of this one."""
        width = self._end - self._start
        return Progress(self._report, self._cancelled, self._start + start * width, self._start + end * width)
