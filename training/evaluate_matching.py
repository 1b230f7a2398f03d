"""Score ways to register a slide to MRI on the frozen test sets, side by side:

    python -m training.evaluate_matching --data FOLDER --out DIR \\
        --models scratch=CHECKPOINT pretrained=CHECKPOINT ProsRegNet-style=CHECKPOINT --neighbours "pretrained, neighbours=CHECKPOINT" \\
        --functions LABEL=MODULE:FUNCTION

Identity, mutual information and the default always stand beside them. Writes figures.json, table.md and cases.csv (a row for each
method and case). Success: mean error over the tissue of at most 2 % of its width, right flip included. What was scored before into DIR is
not scored again, unless the weights changed; a run that was cut off goes on after the last method, and within a method after the
last case. The test sets are those of training.registration_test_set.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from training import affine_warps, matching_methods, registration_test_set  # noqa: E402
from training.registration_test_set import Case  # noqa: E402
from training.slide_matching import SUCCESS  # noqa: E402

COLUMNS = {
    "success_percent": "success %", "flip_percent": "flip right %", "median_error_percent": "median error, % of width",
    "wrong_flagged_percent": "wrong pairs flagged %", "correct_flagged_percent": "correct results flagged %", "seconds": "s a case",
}  # fmt: skip


def row(found: matching_methods.Found, case: Case, seconds: float) -> dict[str, Any]:
    """The figures of one case; a wrong pair has no error."""
    made = {"seed": case.seed, "kind": case.kind, "flagged": bool(found.flagged), "seconds": round(seconds, 3)}
    if case.affine is None:
        return made
    flip = affine_warps.mirrored(found.affine) == affine_warps.mirrored(case.affine)
    return made | {"error": matching_methods.error(found.affine, case), "flip": bool(flip)}


def scored(method: matching_methods.Method, case: Case) -> dict[str, Any]:
    start = time.perf_counter()
    found = method(case)
    return row(found, case, time.perf_counter() - start)


def succeeded(one: dict[str, Any]) -> bool:
    return bool(one["flip"] and one["error"] <= SUCCESS)


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The columns of the table, each where there are cases for it."""
    right, wrong = ([r for r in rows if (r["kind"] == "right") == true] for true in (True, False))
    correct = [r for r in right if succeeded(r)]
    found = {
        "success_percent": [100 * succeeded(r) for r in right],
        "flip_percent": [100 * r["flip"] for r in right],
        "wrong_flagged_percent": [100 * r["flagged"] for r in wrong],
        "correct_flagged_percent": [100 * r["flagged"] for r in correct],
        "seconds": [r["seconds"] for r in rows],
    }
    figures = {name: float(np.mean(values)) for name, values in found.items() if values}
    return figures | ({"median_error_percent": 100 * float(np.median([r["error"] for r in right]))} if right else {})


def markdown(results: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| method | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, rows in results.items():
        figures = means(rows)
        cells = [f"{figures[c]:.{2 if c in ('median_error_percent', 'seconds') else 1}f}" if c in figures else "" for c in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(results: dict[str, list[dict[str, Any]]], identities: dict[str, str], folder: Path) -> None:
    (folder / "table.md").write_text(markdown(results), encoding="utf-8")
    figures = {n: {"identity": identities[n], "cases": len(r)} | {k: round(v, 4) for k, v in means(r).items()} for n, r in results.items()}
    figures["test set"] = {k: registration_test_set.split().get(k) for k in ("version", "mutual_information")}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    rows = [{"method": name} | one for name, each in results.items() for one in each]
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(k for one in rows for k in one)))
        writer.writeheader()
        writer.writerows(rows)


class Scores:
    """What a method scored so far, in a file of its own: a line for each case, after a line that says what was scored."""

    def __init__(self, name: str, identity: str, folder: Path) -> None:
        self.path = folder / "scores" / (re.sub(r"[^\w.-]+", "_", name) + ".jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"identity": identity, "version": registration_test_set.split()["version"]})
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1] if self.path.is_file() else []
        if lines[:1] != [head]:
            lines = [head]
        # A run that was cut off may have left half a line, which ends without a line break and is dropped.
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.known = {r["seed"]: r for r in map(json.loads, lines[1:])}

    def add(self, one: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(one) + "\n")
        self.known[one["seed"]] = one


def evaluate(methods: dict[str, tuple[matching_methods.Method, str]], entries: list[dict[str, Any]], root: Path, folder: Path) -> dict:
    """{method: rows}; each case is made once and shown to all methods that have not seen it."""
    scores = {name: Scores(name, identity, folder) for name, (_, identity) in methods.items()}
    for entry in entries:
        waiting = [name for name in methods if entry["seed"] not in scores[name].known]
        if waiting:
            case = registration_test_set.made(entry, root)
            for name in waiting:
                scores[name].add(scored(methods[name][0], case))
    results = {name: [one.known[e["seed"]] for e in entries] for name, one in scores.items()}
    write(results, {name: identity for name, (_, identity) in methods.items()}, folder)
    return results


def main(arguments: list[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=[], help="LABEL=CHECKPOINT of training.train")
    parser.add_argument("--neighbours", nargs="*", default=[], help="LABEL=CHECKPOINT of a slide_matcher: by its features' neighbours")
    parser.add_argument("--functions", nargs="*", default=[], help="LABEL=MODULE:FUNCTION of a Case that gives a Found")
    parser.add_argument("--cases", type=int, default=None, help="only so many cases, evenly taken (for tests)")
    o = parser.parse_args(arguments)
    methods = {name: (method, "") for name, method in matching_methods.PLAIN.items()}
    methods |= matching_methods.networks(o.models) | matching_methods.neighbours(o.neighbours) | matching_methods.named(o.functions)
    entries = registration_test_set.split()["cases"]
    return evaluate(methods, entries[:: max(len(entries) // o.cases, 1)] if o.cases else entries, o.data, o.out)


if __name__ == "__main__":
    main()
