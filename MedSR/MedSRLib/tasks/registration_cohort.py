"""Several registrations together: which they are, and each measure's mean and deviation, as a paper's table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, InputError, OptionError
from ..io import formats
from ..io.case_table import FAILED, NAME, SUMMARY, beside, read_cases
from ..run import Progress
from ..volume import Volume
from .evaluate_registration import Result
from .registration_measures import CASE_COLUMNS, MI_BINS, Case, measure, read_facts

OUTLINE_MEASURES = {"dice": ("Dice", ""), "hausdorff95_mm": ("95 % Hausdorff distance", "mm"), "centroid_distance_mm": ("centroids", "mm")}
CASE_MEASURES = dict(
    zip(
        CASE_COLUMNS,
        (
            ("landmarks, median error", "mm"),
            ("landmarks, largest error", "mm"),
            ("SSIM, whole picture", ""),
            ("SSIM, tissue", ""),
            ("mutual information, whole picture", "bits"),
            ("mutual information, tissue", "bits"),
            ("entropy of the MRI, tissue", "bits"),
            ("least Jacobian of the warp", ""),
            ("share that folds", ""),
        ),
        strict=True,
    )
)


def gather(
    given: Sequence[Path], reference: Volume | None, landmarks: Path | None, mri: Sequence[Volume] | None, table: Path | None
) -> tuple[list[Case], list[str]]:
    """(every registration named with what belongs to it, a sentence for each row of the table that has none).

    Raises InputError, OptionError (one reference for several).
    """
    folders = [folder for path in given for folder in _folders(Path(path))]
    known = {} if table is None else read_cases(table)
    if len(folders) > 1 and (reference is not None or landmarks is not None or mri is not None):
        raise OptionError("one reference, set of landmarks or MRI belongs to one case", fix="give {cases}, a table with those of each")
    missing = [name for name in known if name not in {folder.name for folder in folders}]
    if known and len(missing) == len(known):
        raise InputError(
            f"there is no registration of any of its {len(known)} cases", where=str(table), fix="give the table of this folder"
        )
    said = [f"{name}: there is no registration of it, so it is left out" for name in missing]
    failed = [folder for folder in folders if _failed_since(folder)] if len(folders) > 1 else []
    said += [f"{folder.name}: its last run failed, and what is there is of one before, so it is left out" for folder in failed]
    if failed and len(failed) == len(folders):
        raise InputError("the last run of each of its cases failed", where=str(folders[0].parent), fix="run them again")
    return [_case(f, known.get(f.name, {}), table, reference, landmarks, mri) for f in folders if f not in failed], said


def _failed_since(folder: Path) -> bool:
    """Whether the summary of the batch that made a folder says that its last run failed."""
    try:
        with (folder.parent / SUMMARY).open(newline="", encoding="utf-8") as file:
            return any(row.get(NAME) == folder.name and row.get("status") == FAILED for row in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def _folders(path: Path) -> list[Path]:
    """A registration's folder, or those within a folder of them."""
    path = path.expanduser().absolute()
    if path.is_file():
        return [path.parent]
    if (path / "registration.json").is_file():
        return [path]
    found = sorted(inner.parent for inner in path.glob("*/registration.json"))
    if not found:
        raise InputError("there is no registration.json in it", where=str(path), fix="give the folder that register-slide wrote")
    return found


def _case(
    folder: Path,
    row: Mapping[str, str],
    table: Path | None,
    reference: Volume | None,
    landmarks: Path | None,
    mri: Sequence[Volume] | None,
) -> Case:
    facts = read_facts(folder)
    if table is not None:
        there = {key: beside(table, row[key]) for key in ("reference", "reference_landmarks", "mri") if key in row}
        reference = formats.read_labels(there["reference"])[0] if "reference" in there else reference
        landmarks, mri = there.get("reference_landmarks", landmarks), formats.read(there["mri"]) if "mri" in there else mri
    return Case(folder.name, folder, facts, reference, landmarks, mri if mri is not None else _noted_mri(facts))


def _noted_mri(facts: Mapping[str, Any]) -> Sequence[Volume] | None:
    """The MRI in the place that the registration notes, None where it is there no longer."""
    noted = facts.get("provenance", {})
    path = noted.get("inputs", {}).get("mri", {}).get("path", "")
    return formats.read(path, noted.get("series", "")) if path and Path(path).exists() else None


def score(cases: Sequence[Case], said: list[str], progress: Progress) -> Result:
    """Measure each, then all together. said: warnings so far, those of the measures are added."""
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        progress(number / len(cases), case.name)
        try:
            rows += measure(case, said)
        except InputError as error:
            if len(cases) == 1:
                raise
            said.append(f"{case.name} is left out: {error.sentence()}")
    if not rows:
        raise InputError("none of the cases can be measured", where="registration", fix="measure one alone to be told why")
    table1 = summary(rows)
    report = {
        "task": "evaluate_registration",
        "cases": len(cases),
        "summary": table1,
        "definitions": {"mutual_information": {"bins": MI_BINS, "log": "base 2", "bounds": "0 to the smaller of both entropies"}},
        "warnings": said,
    }
    plot = _plot(rows, said) if len(cases) > 1 else None
    return Result(tuple(rows), tuple(table1), markdown(table1, len(cases)), plot, report)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a measure (of each outline): cases that have it, mean, standard deviation (n - 1; None of one case)."""
    names = list(dict.fromkeys(row["outline"] for row in rows))
    found = []
    for key, (words, unit) in OUTLINE_MEASURES.items():
        for name in names:
            found.append(_over(f"{words}, {name}", unit, [row[key] for row in rows if row["outline"] == name]))
    found += [_over(words, unit, [row[key] for row in rows]) for key, (words, unit) in CASE_MEASURES.items()]
    return [row for row in found if row["cases"]]


def _over(words: str, unit: str, values: Sequence[float | None]) -> dict[str, Any]:
    there = [float(v) for v in values if v is not None and np.isfinite(v)]
    mean = float(np.mean(there)) if there else None
    sd = float(np.std(there, ddof=1)) if len(there) > 1 else None
    return {"measure": words, "cases": len(there), "mean": mean, "sd": sd, "unit": unit}


def markdown(table1: Sequence[Mapping[str, Any]], cases: int) -> str:
    """The summary as a table, mean ± standard deviation."""
    lines = [
        f"Registration of {cases} case{'s' * (cases != 1)}: mean ± standard deviation.",
        "",
        "| measure | cases | mean ± sd |",
        "|---|---|---|",
    ]
    for row in table1:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
        lines.append(f"| {row['measure']} | {row['cases']} | {row['mean']:.3f}{spread} {row['unit']} |".replace("  |", " |"))
    return "\n".join(lines) + "\n"


def _plot(rows: Sequence[Mapping[str, Any]], said: list[str]) -> bytes | None:
    """Boxes of each outline over the cases; None where there is nothing to draw, or nothing to draw with."""
    from ..report import box_plot

    scores: dict[str, dict[str, list[float]]] = {}
    for key, (words, unit) in OUTLINE_MEASURES.items():
        there = [row for row in rows if row[key] is not None and np.isfinite(row[key])]
        groups = {name: [row[key] for row in there if row["outline"] == name] for name in dict.fromkeys(row["outline"] for row in there)}
        if groups:
            scores[f"{words}, {unit}".rstrip(", ")] = groups
    try:
        return box_plot(scores, next(iter(rows))["outline"]) if scores else None
    except DependencyError as error:
        said.append(error.sentence())
        return None
