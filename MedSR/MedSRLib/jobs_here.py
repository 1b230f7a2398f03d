"""Running a job in this process: read, run the task, write everything or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from . import tasks
from .errors import DependencyError, MedSRError, OptionError, OutputError, ResourceError
from .io.series import file_meta, stem_of
from .jobs_files import IMAGE_KINDS, Staging, check_inputs, check_outputs, provenance_path
from .jobs_results import write_result
from .jobs_specification import Outcome, Specification, plain
from .run import Progress, check_disk, is_out_of_memory
from .tasks.options import from_dict

READ_END, TASK_END = 0.02, 0.95
"""Fractions of the whole at which reading and the task end; writing is the rest."""
PYRAMID_SHARE = 20.0
"""How much longer a pyramid takes to write than another output."""

Warn = Callable[[str], None]


def run_here(spec: Specification, progress: Progress = Progress(), warn: Warn = lambda sentence: None) -> Outcome:
    """Run one job: read its inputs, call its task, write the outputs that were asked for, provenance beside each.

    Everything that can be known beforehand is checked before the task runs. After an error or a cancellation no output,
    no temporary file and no empty folder is left. Raises the MedSRError family; torch's and numpy's out of memory becomes
    ResourceError, a missing library DependencyError.
    """
    started = time.perf_counter()
    task = tasks.load(spec.task)
    _check_ports(task, spec)
    options = from_dict(task.Options, dict(spec.options))
    check_inputs(spec.input_paths)
    kinds = {port.name: port.kind for port in task.OUTPUTS}
    check_outputs(spec.outputs, kinds, spec.input_paths)
    heard = Heard(warn)
    with _said_clearly():
        values = _read(task, spec, progress.part(0.0, READ_END))
        heard.take(_image_warnings(values))
        _check_room(task, spec, values, options)
        result = _call(task, options, values, progress.part(READ_END, TASK_END))
        heard.take(result.report.get("warnings", ()))
        heard.take(_doubts(kinds, spec, result))
        outputs = _present(task, spec, result, heard)
        stale = _stale(kinds, spec, outputs)
        heard.take(f"{path.name} of an earlier run is removed from {path.parent}: this run made none" for path in stale)
        outcome = Outcome(outputs, result.report, time.perf_counter() - started, tuple(heard.sentences))
        _write(kinds, result, outcome, _provenance(spec, options, values, outcome), stale, progress.part(TASK_END, 1.0))
    return outcome


class Heard:
    """Each warning once, told as soon as it is known."""

    def __init__(self, warn: Warn) -> None:
        self.sentences: list[str] = []
        self._warn = warn

    def take(self, sentences: Any) -> None:
        """Tell those not yet told."""
        for sentence in map(str, sentences):
            if sentence not in self.sentences:
                self.sentences.append(sentence)
                self._warn(sentence)


def _check_ports(task: ModuleType, spec: Specification) -> None:
    for given, ports, what in ((spec.inputs, task.INPUTS, "input"), (spec.outputs, task.OUTPUTS, "output")):
        names = [port.name for port in ports]
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise OptionError(f"{task.VERB} has no {what} {unknown[0]!r}", fix="use one of " + ", ".join(names))
    missing = [port.name for port in task.INPUTS if port.required and port.name not in spec.inputs]
    if missing:
        raise OptionError(f"the input {missing[0]!r} is missing", where=task.VERB, fix="give its path")
    several = any(not isinstance(path, str) for path in spec.inputs.values())
    if several and not hasattr(task, "score_cohort"):
        raise OptionError("takes one image at a time", where=task.VERB)
    if several and spec.series:
        raise OptionError("a series can be chosen of one image only", where="{series}", fix="give one input at a time")


def _read(task: ModuleType, spec: Specification, progress: Progress) -> dict[str, Any]:
    """{port: value}: the frames of a volume, the one image of a segmentation, a file's path, {name: frames} of a cohort."""
    from .io import formats

    values: dict[str, Any] = {}
    for number, port in enumerate(p for p in task.INPUTS if p.name in spec.inputs):
        path, part = spec.inputs[port.name], progress.part(number / len(spec.inputs), (number + 1) / len(spec.inputs))
        if not isinstance(path, str):
            several_files = port.kind == "file"
            values[port.name] = {one: Path(one).expanduser() for one in path} if several_files else _read_cohort(path, part)
            continue
        part(0.0, f"Reading {Path(path).name}")
        if port.kind == "file":
            values[port.name] = Path(path).expanduser()
            continue
        frames = formats.read_labels(path) if port.layers else formats.read(path, spec.series if port.kind == "volume" else "")
        values[port.name] = frames if port.kind == "volume" else frames[0]
    progress(1.0)
    return values


def _read_cohort(paths: Sequence[str], progress: Progress) -> dict[str, Any]:
    """The frames of several volumes, by names that differ: the file's, or with its folder's before it."""
    from .io import formats

    stems = [stem_of(Path(path)) for path in paths]
    found = {}
    for number, (path, stem) in enumerate(zip(paths, stems, strict=True)):
        progress(number / len(paths), f"Reading {Path(path).name}")
        name = stem if stems.count(stem) == 1 else f"{Path(path).absolute().parent.name}/{stem}"
        found[name if name not in found else path] = formats.read(path)
    return found


def _frames(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Path):
        return ()
    if isinstance(value, dict):
        return tuple(frame for one in value.values() for frame in _frames(one))
    return value if isinstance(value, tuple) else (value,)


def _image_warnings(values: Mapping[str, Any]) -> list[str]:
    return [str(w) for value in values.values() for frame in _frames(value) for w in frame.meta.get("warnings", ())]


def _check_room(task: ModuleType, spec: Specification, values: Mapping[str, Any], options: Any) -> None:
    """A result is at least as large as what it is made from; a task that knows better has a function `output_bytes`."""
    needed = sum(frame.array.nbytes for value in values.values() for frame in _frames(value))
    if hasattr(task, "output_bytes"):
        sizes = task.output_bytes(values[task.INPUTS[0].name], options)
        needed = sum(sizes.get(port, 0) for port in spec.outputs)
    for folder in {Path(path).resolve().parent for path in spec.outputs.values()}:
        check_disk(folder, needed)


def _call(task: ModuleType, options: Any, values: Mapping[str, Any], progress: Progress) -> Any:
    """The task's function: its first input and the options by place, the other inputs by name."""
    first, *others = (port.name for port in task.INPUTS)
    name = "score_cohort" if isinstance(values[first], dict) else task.__name__.rpartition(".")[2]
    function = getattr(task, name)
    return function(values[first], options, **{name: values[name] for name in others if name in values}, progress=progress)


def _present(task: ModuleType, spec: Specification, result: Any, heard: Heard) -> dict[str, str]:
    """The outputs that were asked for and that the task made; a warning for one that it could not make."""
    missing = [port for port in spec.outputs if getattr(result, port) is None or _is_empty(getattr(result, port))]
    required = {port.name for port in task.OUTPUTS if port.required}
    silent = set(getattr(result, "not_asked_for", ()))
    for port in missing:
        if port in required:
            raise OutputError(f"the task made no {port}", where=spec.outputs[port])
        if port not in silent:
            heard.take([f"There is no {port} to write to {spec.outputs[port]}."])
    return {port: str(path) for port, path in spec.outputs.items() if port not in missing}


def _stale(kinds: Mapping[str, str], spec: Specification, outputs: Mapping[str, str]) -> list[Path]:
    """Files of an earlier run that the facts written now would no longer tell of: asked for again, and not made."""
    if all(kinds[port] != "facts" for port in outputs):
        return []
    return [Path(path) for port, path in spec.outputs.items() if port not in outputs and Path(path).is_file()]


def _doubts(kinds: Mapping[str, str], spec: Specification, result: Any) -> list[str]:
    """What the formats of the outputs cannot say as it is."""
    from .io import formats

    made = {port: getattr(result, port) for port in spec.outputs if kinds[port] in IMAGE_KINDS}
    return [
        d for port, value in made.items() if value is not None and not _is_empty(value) for d in formats.doubts(spec.outputs[port], value)
    ]


def _is_empty(value: Any) -> bool:
    return isinstance(value, (tuple, list, bytes)) and len(value) == 0


def _provenance(spec: Specification, options: Any, values: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """JSON-able: how the outputs were made, and from what. Inputs are named by path and by UIDs or sha256, not by patient."""
    from . import report

    inputs = {port: {"path": spec.inputs[port], "identity": _identity(value)} for port, value in values.items()}
    facts = report.provenance(
        spec.task, outcome.report, inputs=inputs, options=vars(options), seconds=outcome.seconds, warnings=outcome.warnings
    )
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {**facts, "created": created, "series": spec.series, "outputs": outcome.outputs}


def _identity(value: Any) -> Any:
    if isinstance(value, Path):
        return file_meta(value)["identity"] if value.is_file() else {}
    if isinstance(value, dict):
        return {name: _identity(frames) for name, frames in value.items()}
    return _frames(value)[0].meta.get("identity", {})


def _write(
    kinds: Mapping[str, str], result: Any, outcome: Outcome, provenance: Mapping[str, Any], stale: Sequence[Path], progress: Progress
) -> None:
    """Make every output and its provenance under hidden names, then move them all to their places, and what is stale away.

    Where facts are among the outputs, the provenance is in them, and not once more beside each file.
    """
    beside = all(kinds[port] != "facts" for port in outcome.outputs)
    text = json.dumps(plain(provenance), indent=2) + "\n"
    with Staging(*(Path(name).parent for name in outcome.outputs.values()), *(path.parent for path in stale)) as staging:
        for path in stale:
            staging.retire(path)
        parts = progress.part(0.0, 0.99).shares([PYRAMID_SHARE if kinds[port] == "pyramid" else 1.0 for port in outcome.outputs])
        for step, (port, name) in zip(parts, outcome.outputs.items(), strict=True):
            step(0.0, f"Writing {Path(name).name}")
            with staging.place(Path(name)) as part:
                write_result(kinds[port], getattr(result, port), part, provenance, step)
            if beside:
                with staging.place(provenance_path(name)) as part:
                    part.write_text(text, encoding="ascii")
        progress(0.99)
        staging.commit()
    progress(1.0, "Done")


@contextmanager
def _said_clearly() -> Iterator[None]:
    """Failures of the libraries beneath, as the error family."""
    try:
        yield
    except MedSRError:
        raise
    except ImportError as error:
        raise _missing_library(error) from error
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError("memory ran out", fix="ask for a coarser spacing, crop the volume, or close other programs") from error


def _missing_library(error: ImportError) -> MedSRError:
    name = (error.name or "a library").partition(".")[0]
    if name == (__package__ or "").partition(".")[0]:
        return MedSRError(f"this part of MedSR is missing ({error.name})", fix="install MedSR again")
    return DependencyError(f"{name} is not installed", fix=f"{sys.executable or 'python'} -m pip install {name}")
