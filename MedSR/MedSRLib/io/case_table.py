"""Tables of cases: one CSV row a case, its name first; the same table serves a batch and its evaluation."""

from __future__ import annotations

import csv
from pathlib import Path

from ..errors import InputError

NAME = "case"
SUMMARY = "summary.csv"
"""What a batch writes beside its cases' folders: a row each."""
FAILED = "failed"
"""Status there of a case whose last run failed."""
RESERVED = ("", ".", "..")


def read_cases(path: str | Path) -> dict[str, dict[str, str]]:
    """{case: {column: text}} in the table's order, empty cells left out. The name is that of a folder.

    Raises InputError where the file is no table, has no column "case", or a name is missing, twice there, or no folder's name.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="check the path")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}, None in row) for row in reader]
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise InputError("cannot be read as a table", where=str(path), fix="save it as CSV in UTF-8") from error
    if len(columns) == 1 and ";" in columns[0]:
        raise InputError("its cells are separated by semicolons", where=str(path), fix="save it with commas")
    if NAME not in columns or not rows:
        raise InputError(f"there is no column {NAME!r}, or no row", where=str(path), fix="give one row a case, with a name for its folder")
    cases: dict[str, dict[str, str]] = {}
    for line, row, is_long in rows:
        name = row.pop(NAME)
        if is_long:
            raise InputError(f"line {line} has more cells than there are columns", where=str(path), fix="put texts with commas in quotes")
        if name in RESERVED or Path(name).name != name or "\\" in name:
            raise InputError(f"line {line}: {name!r} is not a name for a folder", where=str(path), fix="give a name without slashes")
        if name.casefold() in {other.casefold() for other in cases}:
            raise InputError(f"line {line}: the case {name!r} is there twice", where=str(path), fix="give each its own name")
        cases[name] = {k: v for k, v in row.items() if v}
    return cases


def beside(table: str | Path, text: str) -> Path:
    """A path in a table: one that is not absolute begins at the table's folder."""
    return Path(table).expanduser().absolute().parent / Path(text).expanduser()
