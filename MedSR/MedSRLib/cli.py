"""The command `medsr`. Its verbs are made from the task table and each task's Options; `--help` needs the standard library only."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from . import __version__, tasks
from .errors import Cancelled, MedSRError, OptionError

DEBUG = "MEDSR_DEBUG"
"""Environment variable: when set, errors come with their traceback."""
NEGATIVE_NUMBERS = re.compile(r"-\.?\d")
"""argparse takes a single number only; a region is several, with commas between them."""
BROKEN_PIPE_CODE = 141
TERMINATED_CODE = 143


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage. A word that begins as a negative number does is a value, never a flag.

    intermixed: words without a flag may stand before, between and behind the flags, even where some of them may be left out.
    """

    intermixed = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._negative_number_matcher = NEGATIVE_NUMBERS
        self._is_parsing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As argparse does; what is left over is told by the verb's own parser, whose help says what there is."""
        if self._is_parsing:  # argparse's intermixed parsing comes back here
            return super().parse_known_args(args, namespace)
        self._is_parsing = True
        try:
            found, rest = (
                self.parse_known_intermixed_args(args, namespace) if self.intermixed else super().parse_known_args(args, namespace)
            )
        finally:
            self._is_parsing = False
        if rest and self.get_default("run") is not None:
            self.error("unrecognized arguments: " + " ".join(rest))
        return found, rest

    def error(self, message: str) -> NoReturn:
        raise OptionError(message, where=self.prog, fix=f"see {self.prog} --help")


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: like Ctrl-C, so that the same things are tidied up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. Raises nothing but what MEDSR_DEBUG asks for."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except SystemExit as done:  # --help, --version
        return int(done.code or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_CODE
    except (KeyboardInterrupt, Exception) as error:
        return _failed(error, "--json" in given)


def _run(given: Sequence[str]) -> int:
    arguments = build_parser().parse_args(given)
    with _tidy_signals(), warnings.catch_warnings():
        if not os.environ.get(DEBUG):
            warnings.simplefilter("ignore")
        return int(arguments.run(arguments) or 0)


def _failed(error: BaseException, as_json: bool) -> int:
    from .cli_console import tell_error

    if os.environ.get(DEBUG) and not isinstance(error, KeyboardInterrupt):
        raise error
    code = TERMINATED_CODE if isinstance(error, Terminated) else None
    if isinstance(error, KeyboardInterrupt):
        error = Cancelled(str(error) or "cancelled, nothing was written")
    elif not isinstance(error, MedSRError):
        from .jobs_child import unexpected

        error = unexpected(error)
    tell_error(error, as_json)
    return code or error.exit_code


@contextmanager
def _tidy_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP end the command as Ctrl-C does. Signals can be caught in the main thread only."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.signal(number, _terminate) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: Any) -> NoReturn:
    raise Terminated


def build_parser() -> Parser:
    """The whole command line."""
    from .cli_tasks import add_task
    from .cli_verbs import add_app, add_benchmark, add_completion, add_models, add_series

    about = "See more in the medical images you already have. Research software: not for diagnosis."
    parser = Parser("medsr", description=about, epilog=_exit_codes())
    parser.add_argument("--version", action="version", version=f"medsr {__version__}")
    verbs = Verbs(parser)
    for name in tasks.NAMES:
        add_task(verbs, name, tasks.load(name))
    for add in (add_models, add_series, add_app, add_benchmark, add_completion):
        add(verbs)
    return parser


def _exit_codes() -> str:
    """What the shell gets, from the error family itself."""
    family = sorted(MedSRError.__subclasses__(), key=lambda kind: kind.exit_code)
    parts = [f"{kind.exit_code} {kind.__name__.removesuffix('Error').lower()}" for kind in family]
    return "exit codes: 0 done, 1 anything else, " + ", ".join(parts)


class Verbs:
    """The verbs of a parser, one or two words each; the first word of two becomes a group."""

    GROUPS = {"evaluate": "Measure the methods on your own images.", "models": "List, show and verify the learned models."}

    def __init__(self, parser: Parser) -> None:
        self._prog = parser.prog
        self._top = parser.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
        self._groups: dict[str, Any] = {}

    def add(self, verb: str, summary: str) -> Parser:
        """A parser for the verb, "one" or "one two"."""
        first, _, second = verb.partition(" ")
        place, word = (self._group(first), second) if second else (self._top, first)
        parser = place.add_parser(word, help=_escaped(summary), description=_escaped(summary))
        if second:
            place.metavar = "|".join(place.choices)  # where none is given, the error then names them
        return parser

    def _group(self, word: str) -> Any:
        if word not in self._groups:
            summary = self.GROUPS.get(word, "")
            parser = self._top.add_parser(word, help=summary, description=summary)
            self._groups[word] = parser.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
        return self._groups[word]


def _escaped(text: str) -> str:
    """argparse fills in % itself."""
    return text.replace("%", "%%")
