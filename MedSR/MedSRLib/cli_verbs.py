"""The verbs that are no task: models, series, app, benchmark, completion."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import DependencyError, InputError, ModelError

if TYPE_CHECKING:
    from .cli import Verbs

HIGHEST_PORT = 65535


def add_models(verbs: Verbs) -> None:
    """`medsr models list|show|verify`."""
    parser = verbs.add("models list", "Which models there are, under which licence, and how large.")
    parser.add_argument("--json", action="store_true", help="the cards as JSON")
    parser.set_defaults(run=list_models)
    parser = verbs.add("models show", "Everything that is known of a model: its card and its licence.")
    parser.add_argument("id", metavar="ID", help="identifier of the model, see medsr models list")
    parser.add_argument("--json", action="store_true", help="the card as JSON")
    parser.set_defaults(run=show_model)
    parser = verbs.add("models verify", "Check the card, the licence, the size and the checksum of one model or of all.")
    parser.add_argument("id", metavar="ID", nargs="?", default="", help="identifier of the model; all where it is left out")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.set_defaults(run=verify_models)


def list_models(arguments: argparse.Namespace) -> int:
    """One line a model."""
    from . import models
    from .cli_console import tell_table

    rows: list[dict[str, Any]] = [
        {"id": c.id, "task": c.task, "default": c.default, "licence": c.licence, "bytes": c.bytes, "title": c.title}
        for c in models.list_cards()
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    elif not rows:
        print("No model is installed; the methods that need none still run.", file=sys.stderr)
    else:
        shown = [{**row, "default": "default" if row["default"] else "", "bytes": f"{row['bytes'] / 1e6:.1f} MB"} for row in rows]
        tell_table(shown, {"id": "ID", "task": "task", "default": "", "licence": "licence", "bytes": "size", "title": "title"})
    return 0


def show_model(arguments: argparse.Namespace) -> int:
    """The card as text."""
    from . import models
    from .jobs_specification import plain

    card = models.card(arguments.id)
    facts = plain(vars(card))
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        _tell_fact(name.replace("_", " "), value, 0)
    print(f"\nLicence text: {card.folder / 'LICENSE'}")
    return 0


def _tell_fact(name: str, value: Any, depth: int) -> None:
    """One fact of a card as indented text; empty ones are left out."""
    indent = "  " * depth
    if value in (None, "", [], {}):
        return
    if isinstance(value, dict):
        print(f"{indent}{name}:")
        for key, inner in value.items():
            _tell_fact(str(key), inner, depth + 1)
    elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
        print(f"{indent}{name}:")
        for item in value:
            print(f"{indent}  - " + "; ".join(f"{k}: {v}" for k, v in item.items() if v not in (None, "", [], {})))
    elif isinstance(value, list) and any(isinstance(item, str) and len(item) > 30 for item in value):
        print(f"{indent}{name}:")
        print("\n".join(f"{indent}  - {item}" for item in value))
    else:
        print(f"{indent}{name}: " + (", ".join(map(str, value)) if isinstance(value, list) else str(value)))


def verify_models(arguments: argparse.Namespace) -> int:
    """A line a model; the exit code of the first that fails."""
    from . import models
    from .cli_console import tell_table

    rows, code = [], 0
    for name in [arguments.id] if arguments.id else list(models.folders()):
        try:
            models.verify(name)
            rows.append({"id": name, "valid": True, "why": ""})
        except ModelError as error:
            if arguments.id and not arguments.json:
                raise
            rows.append({"id": name, "valid": False, "why": error.sentence()})
            code = error.exit_code
    if arguments.json:
        print(json.dumps(rows, indent=2))
    elif not rows:
        print("No model is installed.", file=sys.stderr)
    else:
        tell_table([{**row, "valid": "valid" if row["valid"] else "NOT VALID"} for row in rows], {"id": "ID", "valid": "", "why": "why"})
    return code


def add_series(verbs: Verbs) -> None:
    """`medsr series PATH`."""
    parser = verbs.add("series", "Which images a file or a DICOM folder holds, to choose one by --series.")
    parser.add_argument("path", metavar="PATH", help="a file or a DICOM folder")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    parser.set_defaults(run=list_series)


def list_series(arguments: argparse.Namespace) -> int:
    """One line an image."""
    from .cli_console import tell_table
    from .io import formats

    rows = [
        {"uid": s.uid, "modality": s.modality, "frames": s.shape[0], "slices": s.shape[1], "size": f"{s.shape[3]}×{s.shape[2]}",
         "files": len(s.files), "description": s.description}
        for s in formats.list_series(arguments.path)
    ]  # fmt: skip
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        tell_table(rows)
    return 0


def add_app(verbs: Verbs) -> None:
    """`medsr app [FILES…]`."""
    parser = verbs.add("app", "Open the workstation in the browser, on this computer only.")
    parser.add_argument("files", metavar="FILE", nargs="*", help="images to open")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="the port to listen on; a free one where it is left out")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.set_defaults(run=run_app)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{number} is not a port")
    return number


def run_app(arguments: argparse.Namespace) -> int:
    """Serve until it is ended."""
    from pathlib import Path

    for name in arguments.files:
        if not Path(name).expanduser().exists():
            raise InputError("there is no such file or folder", where=name, fix="check the path")
    try:
        from . import workstation
    except ImportError as error:
        raise DependencyError(f"the workstation needs {error.name}", fix="install it by pip install 'medsr[app]'") from error
    return workstation.run(arguments.files, port=arguments.port, open_browser=not arguments.no_browser)


def add_benchmark(verbs: Verbs) -> None:
    """`medsr benchmark`."""
    from .cli_benchmark import SUBJECTS

    parser = verbs.add("benchmark", "Seconds and memory of each method of a task, as ratios to a plain one on this computer.")
    parser.add_argument(
        "task", metavar="TASK", nargs="?", choices=SUBJECTS, default="interpolate-slices", help="one of " + ", ".join(SUBJECTS)
    )
    parser.add_argument("--quick", action="store_true", help="a smaller volume, once: a minute instead of several")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where the models run")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.set_defaults(run=run_benchmark)


def run_benchmark(arguments: argparse.Namespace) -> int:
    """Measure and tell."""
    from .cli_benchmark import benchmark, tell_benchmark

    tell = partial(print, file=sys.stderr, flush=True)
    found = benchmark(arguments.task, quick=arguments.quick, device=arguments.device, tell=tell)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        tell_benchmark(found)
    return 0


def add_completion(verbs: Verbs) -> None:
    """`medsr completion SHELL`."""
    parser = verbs.add("completion", "Print a script that completes this command in your shell.")
    parser.add_argument(
        "shell",
        choices=("bash", "zsh", "fish"),
        help="for example: medsr completion bash > ~/.local/share/bash-completion/completions/medsr",
    )
    parser.set_defaults(run=print_completion)


def print_completion(arguments: argparse.Namespace) -> int:
    """The script of one shell."""
    from .cli import build_parser
    from .cli_completion import SCRIPTS

    print(SCRIPTS[arguments.shell](build_parser()), end="")
    return 0
