"""`--cases CSV`: a task that writes a folder, run for every row of a table. A row that fails is told, and the rest goes on.

The table's columns are the task's inputs and options, one row a case; what the command line gives beside it holds for all.
A case whose files are there is not run again, so a batch that was stopped goes on where it was; but a row that names other inputs or
options than those that made the files is.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .cli_console import Console, choose_console, flag_of
from .errors import InputError, MedSRError, OptionError
from .io.case_table import FAILED, SUMMARY
from .io.series import file_meta
from .jobs_specification import Specification, plain
from .tasks.options import from_dict

if TYPE_CHECKING:
    from .run import Progress

EVALUATION_COLUMNS = ("reference", "reference_landmarks")
"""What only the evaluation of the same table reads."""
PORT_COLUMNS = {"case": "case_file"}
"""Inputs whose own name is taken: the column "case" names the case's folder."""
YES, NO = ("true", "yes", "1"), ("false", "no", "0")
DONE, KEPT = "done", "done before"


def run_batch(name: str, task: ModuleType, arguments: argparse.Namespace, common: Specification, files: Mapping[str, str]) -> int:
    """Run every case. common: inputs and options for all. files: {output port: file name}. Gives the exit code of the first that failed."""
    from .io.case_table import read_cases
    from .jobs_files import new_folder

    table, out = Path(arguments.cases).expanduser(), Path(arguments.out).expanduser()
    cases = read_cases(table)
    specs = {case: _specification(name, task, row, table, common, out / case, files) for case, row in cases.items()}
    rows: list[dict[str, Any]] = []
    console, code = choose_console(arguments.json, arguments.quiet), 0
    with new_folder(str(out)), _stopped(rows, len(specs), out):
        for number, (case, spec) in enumerate(specs.items()):
            row, failed = _case(case, spec, task, arguments.overwrite, console, (number / len(specs), (number + 1) / len(specs)))
            rows.append(row)
            code = code or failed
            _write(out / SUMMARY, rows)
    counts = {status: sum(row["status"] == status for row in rows) for status in (DONE, KEPT, FAILED)}
    console.note(f"{task.TITLE}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count) + f"; see {out / SUMMARY}")
    return code


@contextmanager
def _stopped(rows: Sequence[Any], count: int, out: Path) -> Iterator[None]:
    """Ctrl-C and its like say what stays: the cases before it are whole."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not rows:
            raise
        raise type(stop)(
            f"cancelled after {len(rows)} of {count} cases, which stay in {out}; the same command goes on from there"
        ) from None


def _specification(
    name: str, task: ModuleType, row: Mapping[str, str], table: Path, common: Specification, folder: Path, files: Mapping[str, str]
) -> Specification:
    """One row as a job. Raises InputError for a column that is none of the task's, OptionError for a value that is none."""
    from .io.case_table import beside

    ports = {PORT_COLUMNS.get(port.name, port.name): port.name for port in task.INPUTS}
    fields = {key: f for f in dataclasses.fields(task.Options) for key in (f.name, flag_of(f.name)[2:].replace("-", "_"))}
    inputs, options = dict(common.inputs), dict(common.options)
    for column, text in row.items():
        key = column.strip().replace("-", "_")
        if key in ports:
            inputs[ports[key]] = str(beside(table, text))
        elif key in fields:
            options[fields[key].name] = _value(fields[key], text, folder.name)
        elif key not in EVALUATION_COLUMNS:
            known = ", ".join(["case", *sorted(ports), *sorted({flag_of(f.name)[2:] for f in fields.values()}), *EVALUATION_COLUMNS])
            raise InputError(f"the column {column!r} is no input or option of {task.VERB}", where=str(table), fix=f"use {known}")
    return Specification(name, inputs, {port: str(folder / file) for port, file in files.items()}, options, common.series)


def _value(field: dataclasses.Field[Any], text: str, case: str) -> Any:
    kind: Any = type(field.default)
    try:
        if kind is bool:
            return (*YES, *NO).index(text.casefold()) < len(YES)
        return tuple(text.replace(",", " ").split()) if kind is tuple else kind(text)
    except ValueError as error:
        raise OptionError(f"{text!r} is no value for it in the case {case!r}", where=f"{{{field.name}}}") from error


def _case(
    case: str, spec: Specification, task: ModuleType, overwrite: bool, console: Console, share: tuple[float, float]
) -> tuple[dict[str, Any], int]:
    """(row of the summary, exit code)."""
    from .jobs_files import new_folder
    from .jobs_here import run_here

    needed = [Path(spec.outputs[port.name]) for port in task.OUTPUTS if port.required]
    if not overwrite and all(path.is_file() for path in needed):
        facts = _facts(spec, task)
        if not _is_other(spec, task, facts):
            return _row(case, KEPT, task, facts), 0
        console.note(f"{case}: what is there was made from other inputs or options than the row has now; it is run again")
    try:
        with _unforeseen(), new_folder(str(needed[0].parent)), console:
            outcome = run_here(spec, _progress(console, case, share), console.warn_early)
    except MedSRError as error:
        if error.exit_code == 130:  # the user's own wish ends the batch
            raise
        sentence = error.named(flag_of).sentence()
        console.failed(f"{case}: {sentence}")
        return _row(case, FAILED, task, {}, error=sentence), error.exit_code
    console.warn_late([f"{case}: {sentence}" for sentence in outcome.warnings])
    console.result(outcome)
    return _row(case, DONE, task, outcome.report, seconds=round(outcome.seconds, 1)), 0


def _progress(console: Console, case: str, share: tuple[float, float]) -> Progress:
    """The console's, of which this case is a part, its name before each message."""
    from .run import Progress

    whole = console.progress().part(*share)
    return Progress(lambda fraction, message: whole(fraction, f"{case}: {message}"))


@contextmanager
def _unforeseen() -> Iterator[None]:
    """A failure that nobody foresaw is that of its case, and the others still run."""
    from .jobs_child import unexpected

    try:
        yield
    except MedSRError:
        raise
    except Exception as error:
        raise unexpected(error) from error


def _facts(spec: Specification, task: ModuleType) -> Mapping[str, Any]:
    """What an earlier run said of itself; {} where the task writes no facts."""
    port = next((port.name for port in task.OUTPUTS if port.kind == "facts"), None)
    try:
        return dict(json.loads(Path(spec.outputs[port]).read_text(encoding="utf-8"))) if port else {}
    except ValueError as error:
        raise InputError("is no report of this task", where=spec.outputs[port or ""], fix="remove it, or give --overwrite") from error


def _is_other(spec: Specification, task: ModuleType, facts: Mapping[str, Any]) -> bool:
    """Whether facts say that they came of other inputs or options than the job's."""
    noted = facts.get("provenance") or {}
    if "inputs" not in noted or "options" not in noted:
        return False
    inputs = {port: one.get("path") for port, one in noted["inputs"].items()}
    options = plain(vars(from_dict(task.Options, dict(spec.options))))
    return inputs != spec.inputs or noted["options"] != options or any(_is_edited(one, noted) for one in noted["inputs"].values())


def _is_edited(noted_input: Mapping[str, Any], noted: Mapping[str, Any]) -> bool:
    """Whether an input's file holds other bytes than those that a result was made from. Only one that is newer is read for it."""
    path, known = Path(str(noted_input.get("path"))), (noted_input.get("identity") or {}).get("sha256")
    if not known or not path.is_file():
        return False
    made = datetime.fromisoformat(str(noted.get("created", "1970-01-01T00:00:00+00:00"))).timestamp()
    return path.stat().st_mtime > made - noted.get("seconds", 0) - 1 and file_meta(path)["identity"]["sha256"] != known


def _row(
    case: str, status: str, task: ModuleType, facts: Mapping[str, Any], *, seconds: float | None = None, error: str = ""
) -> dict[str, Any]:
    figures = {key: facts.get(key) for key in task.BATCH_FIGURES}
    return {"case": case, "status": status, **figures, "seconds": seconds, "error": error}


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The summary so far, whole after every case."""
    import io

    from .io.atomic import replacing_file

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with replacing_file(path) as file:
        file.write(text.getvalue().encode())
