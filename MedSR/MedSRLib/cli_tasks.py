"""A verb for each task: its inputs and outputs become paths, its Options flags. Nothing here knows any one task."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .cli_console import flag_of
from .errors import InputError, OptionError
from .jobs_specification import Outcome, Specification
from .tasks.options import help_of, zero_means_unset

if TYPE_CHECKING:
    from .cli import Parser, Verbs

ENDINGS = {
    "table": ".csv", "figure": ".png", "volume": ".nrrd", "segmentation": ".seg.nrrd",
    "transform": ".h5", "facts": ".json", "dicom_seg": ".dcm", "pyramid": ".ome.tif", "text": ".md", "outlines": ".seg.nrrd",
}  # fmt: skip
METAVARS = {
    "model": "ID",
    "methods": "NAME,NAME",
    "mpp_um": "UM",
    "fused_um": "UM",
    "rotation_deg": "DEGREES",
    "slice": "K",
    "slide_slice": "K",
}
SUMMARY_COLUMNS = {
    "method": "method", "ssim": "SSIM", "psnr_db": "PSNR dB", "vif": "VIF", "snli": "SNLI", "sharpness": "sharpness",
    "departure_rms": "averaged back, RMS", "departure_mean": "averaged back, mean",
    "measure": "measure", "cases": "cases", "mean": "mean", "sd": "sd", "unit": "", "p_ssim": "p (SSIM)", "p_psnr_db": "p (PSNR)",
}  # fmt: skip


def add_task(verbs: Verbs, name: str, task: ModuleType) -> None:
    """Add the verb of one task."""
    parser = verbs.add(task.VERB, task.SUMMARY)
    parser.set_defaults(run=lambda arguments: run_task(name, task, arguments))
    _add_ports(parser, task)
    groups = {False: parser.add_argument_group("options of the task"), True: parser.add_argument_group("advanced")}
    for field in dataclasses.fields(task.Options):
        _add_option(groups[field.metadata["advanced"]], field)
    parser.add_argument("--series", default="", metavar="UID", help="which DICOM series, where the input holds several (see medsr series)")
    parser.add_argument("--json", action="store_true", help="progress and result as JSON lines on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _add_ports(parser: Parser, task: ModuleType) -> None:
    """The inputs that must be given, and the first output where it is an image, stand without a flag."""
    first, *others = task.INPUTS
    many: dict[str, Any] = {"nargs": "+"} if hasattr(task, "score_cohort") else {}
    needed = [port for port in others if port.required]
    batch = hasattr(task, "BATCH_FIGURES")
    maybe: dict[str, Any] = {"nargs": "?", "default": ""} if batch else {}  # --cases takes the folder alone
    parser.add_argument(_place("in", first), metavar=first.name.upper() if needed else "IN", help=_escaped(first.help), **many, **maybe)
    for port in needed:
        parser.add_argument(_place("in", port), metavar=port.name.upper(), help=_escaped(port.help), **maybe)
    files = ", ".join(_file_name(task, port) for port in task.OUTPUTS)
    if makes_folder(task) and not _is_evaluation(task):
        parser.add_argument("out", metavar="OUT_DIR", help=_escaped(f"a folder for {files}"), **maybe)
    elif makes_folder(task):
        parser.add_argument("--out", metavar="DIR", default="", help=f"a folder for {files}")
    else:
        parser.add_argument(_place("out", task.OUTPUTS[0]), metavar="OUT", help=_escaped(task.OUTPUTS[0].help))
    if batch:
        _add_batch(parser, task)
    for port in (p for p in others if not p.required):
        flag = flag_of(port.name)
        parser.add_argument(flag, dest=_place("in", port), default="", metavar="IN", help=_escaped(port.help))
    for port in () if makes_folder(task) else task.OUTPUTS[1:]:
        taken = port.name in {p.name for p in others}
        flag = f"--{port.name}-out" if taken else f"--{port.name}"
        parser.add_argument(flag, dest=_place("out", port), default="", metavar="OUT", help=_escaped(port.help))


def _add_batch(parser: Parser, task: ModuleType) -> None:
    """A table of cases instead of one: only the folder for all of them stands without a flag then."""
    parser.intermixed = True
    places = " ".join(port.name.upper() for port in task.INPUTS if port.required)
    parser.usage = f"{parser.prog} [options] {places} OUT_DIR\n       {parser.prog} [options] --cases CSV OUT_DIR"
    columns = "the column case names its folder in OUT_DIR, the others are inputs (paths from the table) and options"
    what = f"a table of cases, one row each: {columns}"
    parser.add_argument("--cases", metavar="CSV", default="", help=what)
    parser.add_argument("--overwrite", action="store_true", help="with --cases: run again what is there already")


def makes_folder(task: ModuleType) -> bool:
    """Whether a task gives several files (into a folder) instead of an image: an evaluation only where asked, of several inputs."""
    return task.OUTPUTS[0].kind not in ("volume", "segmentation", "outlines")


def _is_evaluation(task: ModuleType) -> bool:
    """Its figures are for reading: files are written only where asked."""
    return task.VERB.startswith("evaluate ")


def _file_name(task: ModuleType, port: Any) -> str:
    """An evaluation's first output is called after the verb's last word ("slices.csv"), all others after themselves."""
    stem = task.VERB.split()[-1] if port is task.OUTPUTS[0] and _is_evaluation(task) else port.name
    return stem + (port.ending or ENDINGS[port.kind])


def _place(side: str, port: Any) -> str:
    return f"{side}_{port.name}"


def _add_option(group: Any, field: dataclasses.Field[Any]) -> None:
    kind, meta = type(field.default), field.metadata
    how: dict[str, Any] = {"dest": "option_" + field.name, "default": argparse.SUPPRESS, "help": _help(field)}
    if kind is bool:
        how["action"] = argparse.BooleanOptionalAction if field.default else "store_true"
    else:
        how["metavar"] = "{" + ",".join(meta["choices"]) + "}" if meta["choices"] else _metavar(field)
        how["type"] = {tuple: _names, float: _number(float, field), int: _number(int, field)}.get(kind, str)
    group.add_argument(flag_of(field.name), **how)


def _metavar(field: dataclasses.Field[Any]) -> str:
    unit = field.metadata["unit"].upper()
    return METAVARS.get(field.name) or (unit if unit.isalpha() else "K" if unit else "TEXT" if type(field.default) is str else "N")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.replace(",", " ").split() if name)


def _number(kind: type, field: dataclasses.Field[Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError as error:
            what = "whole number" if kind is int else "number"
            raise OptionError(f"{text!r} is not a {what}", where=f"{{{field.name}}}", fix=f"give {_limits(field) or 'one'}") from error
        if zero_means_unset(field) and not value > 0:
            text = f"{value:g} {field.metadata['unit']}".strip()
            raise OptionError(f"{text} is not possible", where=f"{{{field.name}}}", fix="give a number above 0, or leave it out")
        return value

    return read


def _limits(field: dataclasses.Field[Any]) -> str:
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    above = "" if low is None else ("above 0" if zero_means_unset(field) else f"at least {low:g}")
    return " and ".join(part for part in (above, "" if high is None else f"at most {high:g}") if part)


def _help(field: dataclasses.Field[Any]) -> str:
    """The option's own words, then its unit, limits and default."""
    meta, default = field.metadata, field.default
    shown = "" if default in ("", (), False) or zero_means_unset(field) else f"default {default}"
    facts = "; ".join(part for part in (meta["unit"], _limits(field), shown) if part)
    return _escaped(help_of(field, "left out") + (f" [{facts}]" if facts else ""))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def run_task(name: str, task: ModuleType, arguments: argparse.Namespace) -> int:
    """Run the task here, and say what it gave."""
    from .cli_console import choose_console, tell_table
    from .jobs_files import new_folder
    from .jobs_here import run_here

    if getattr(arguments, "cases", "") and hasattr(task, "BATCH_FIGURES"):
        return _run_cases(name, task, arguments)
    _check_given(task, arguments)
    spec = specification(name, task, arguments)
    console = choose_console(arguments.json, arguments.quiet)
    with new_folder(getattr(arguments, "out", "")):
        with console:
            outcome = run_here(spec, console.progress(), console.warn_early)
        console.warn_late(outcome.warnings)
        console.note(_said(task, outcome))
        if "summary" in outcome.report and not arguments.json:
            rows = outcome.report["summary"]
            tell_table(rows, {key: head for key, head in SUMMARY_COLUMNS.items() if any(key in row for row in rows)})
        console.result(outcome)
    return 0


def _run_cases(name: str, task: ModuleType, arguments: argparse.Namespace) -> int:
    """The one word without a flag is the folder."""
    from .cli_batch import run_batch

    places = [*(_place("in", port) for port in task.INPUTS if port.required), "out"]
    given = [getattr(arguments, place) for place in places if getattr(arguments, place)]
    if len(given) != 1:
        raise OptionError("with a table of cases one folder for all is given, and nothing else", where="--cases", fix="give OUT_DIR alone")
    for place in places:
        setattr(arguments, place, "")
    common = specification(name, task, arguments)
    arguments.out = given[0]
    return run_batch(name, task, arguments, common, {port.name: _file_name(task, port) for port in task.OUTPUTS})


def _check_given(task: ModuleType, arguments: argparse.Namespace) -> None:
    """What argparse does where nothing may be left out. Raises OptionError for the first that is missing."""
    if not hasattr(task, "BATCH_FIGURES"):
        return
    places = [(_place("in", port), port.name.upper()) for port in task.INPUTS if port.required] + [("out", "OUT_DIR")]
    missing = [word for place, word in places if not getattr(arguments, place)]
    if missing:
        fix = f"see medsr {task.VERB} --help"
        raise OptionError("the following arguments are required: " + ", ".join(missing), where=f"medsr {task.VERB}", fix=fix)
    if arguments.overwrite:
        raise OptionError("there is no table of cases", where="--overwrite", fix="give --cases, or leave it out")


def _said(task: ModuleType, outcome: Outcome) -> str:
    report = outcome.report
    method = f" by {report['method']} ({report['why']})" if report.get("method") and report.get("why") else ""
    words = f": {task.in_words(report)}" if hasattr(task, "in_words") else ""
    return f"{task.TITLE}: done{method} in {outcome.seconds:.1f} s{words}."


def specification(name: str, task: ModuleType, arguments: argparse.Namespace) -> Specification:
    """The job that the flags describe. Only options that were given are in it."""
    given = vars(arguments)
    options = {key.removeprefix("option_"): value for key, value in given.items() if key.startswith("option_")}
    if options.get("model") and "method" not in options and "method" in {f.name for f in dataclasses.fields(task.Options)}:
        options["method"] = "model"
    inputs = {port.name: _one_or_many(given[_place("in", port)]) for port in task.INPUTS if given[_place("in", port)]}
    return Specification(name, inputs, _outputs(task, given), options, arguments.series)


def _one_or_many(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len({Path(path).resolve() for path in value}) < len(value):
        raise InputError("the same input was given twice", where=str(value[0]), fix="give each once")
    return value[0] if len(value) == 1 else value


def _outputs(task: ModuleType, given: Mapping[str, Any]) -> dict[str, str]:
    if makes_folder(task):
        return {port.name: str(Path(given["out"]) / _file_name(task, port)) for port in task.OUTPUTS} if given["out"] else {}
    return {port.name: given[_place("out", port)] for port in task.OUTPUTS if given[_place("out", port)]}
