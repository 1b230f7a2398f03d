"""What the command says: progress on standard error, results on standard output, or JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import MedSRError
from .jobs_specification import Outcome, plain
from .jobs_time import Remaining
from .run import Progress

LINE_SECONDS = 5.0
"""Where there is no terminal, a line of progress this often."""
COLUMN_GAP = "  "


def flag_of(option: str) -> str:
    """An option's field as the command names it: "spacing_mm" → "--spacing", "mpp_um" → "--mpp"."""
    return "--" + option.removesuffix("_mm").removesuffix("_um").removesuffix("_deg").replace("_", "-")


def tell_error(error: MedSRError, as_json: bool) -> None:
    """One sentence on standard error; for programs the same as an event on standard output."""
    error = error.named(flag_of)
    print(error.sentence(), file=sys.stderr, flush=True)
    if as_json:
        tell_event("error", **error.to_dict(), exit_code=error.exit_code)


def tell_event(event: str, **facts: Any) -> None:
    """One line of ASCII JSON on standard output."""
    print(json.dumps({"event": event, **plain(facts)}), flush=True)


def tell_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> None:
    """Rows with the same keys as aligned text on standard output. columns: {key: heading}."""
    columns = columns or {key: key for key in (rows[0] if rows else {})}
    lines = [list(columns.values())] + [[_cell(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print(COLUMN_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def readable_seconds(seconds: float | None) -> str:
    """ "about 1 min 20 s left", or nothing while it is unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"about {minutes} min {rest} s left" if minutes else f"about {rest} s left"


class Console:
    """Says nothing of progress; the others tell it their way. Use as a context, so that a bar is taken away at the end."""

    def __init__(self) -> None:
        self._remaining = Remaining()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def progress(self) -> Progress:
        """What a job reports to."""
        return Progress(lambda fraction, message: self.report(fraction, message, self._remaining.update(fraction, time.monotonic())))

    def report(self, fraction: float, message: str, remaining: float | None) -> None:
        """One step of progress."""

    def warn_early(self, sentence: str) -> None:
        """Called as soon as a warning is known; says nothing, as an error that follows shall stand alone."""

    def warn_late(self, sentences: Sequence[str]) -> None:
        """The warnings of a job that succeeded, on standard error."""
        for sentence in sentences:
            print(f"Warning: {sentence.rstrip('.')}.", file=sys.stderr, flush=True)

    def note(self, sentence: str) -> None:
        """A remark, on standard error."""
        print(sentence, file=sys.stderr, flush=True)

    def failed(self, sentence: str) -> None:
        """One of several jobs failed, on standard error; whoever wants no remarks wants this."""
        print(sentence, file=sys.stderr, flush=True)

    def result(self, outcome: Outcome) -> None:
        """The paths of what was written, on standard output, one a line."""
        for path in outcome.outputs.values():
            print(path, flush=True)


class Quiet(Console):
    """Warnings, errors and results only."""

    def note(self, sentence: str) -> None:
        """Nothing."""


class Lines(Console):
    """A line now and then: for logs."""

    def __init__(self) -> None:
        super().__init__()
        self._last = time.monotonic()

    def report(self, fraction: float, message: str, remaining: float | None) -> None:
        """A line each LINE_SECONDS."""
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self.note(COLUMN_GAP.join(part for part in (f"{fraction:4.0%}", message, readable_seconds(remaining)) if part))


class Bar(Console):
    """A bar with the remaining time: for people at a terminal."""

    def __enter__(self) -> Console:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"))
        self._rich = RichProgress(*columns, console=RichConsole(stderr=True), transient=True)
        self._rich.start()
        self._message = "Starting"
        self._bar = self._rich.add_task(self._message, total=1.0, left="")
        return self

    def __exit__(self, *exception: object) -> None:
        self._rich.stop()

    def report(self, fraction: float, message: str, remaining: float | None) -> None:
        """Move the bar."""
        self._message = message or self._message
        self._rich.update(self._bar, completed=fraction, description=self._message, left=readable_seconds(remaining))


class JsonLines(Console):
    """The events of a child process, on standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -1.0

    def report(self, fraction: float, message: str, remaining: float | None) -> None:
        """An event each hundredth."""
        if fraction - self._last >= 0.01 or fraction >= 1 > self._last:
            self._last = fraction
            tell_event("progress", fraction=round(fraction, 4), message=message, remaining_s=remaining)

    def warn_early(self, sentence: str) -> None:
        """An event."""
        tell_event("warning", text=sentence)

    def warn_late(self, sentences: Sequence[str]) -> None:
        """Nothing: they are told, and part of the result."""

    def note(self, sentence: str) -> None:
        """An event."""
        tell_event("log", text=sentence)

    def failed(self, sentence: str) -> None:
        """An event like a remark: the summary holds the error itself."""
        tell_event("log", text=sentence)

    def result(self, outcome: Outcome) -> None:
        """The whole outcome, as the last event."""
        tell_event("result", **vars(outcome))


def choose_console(as_json: bool, quiet: bool) -> Console:
    """The one that fits who is listening."""
    if as_json:
        return JsonLines()
    if quiet:
        return Quiet()
    return Bar() if sys.stderr.isatty() else Lines()
