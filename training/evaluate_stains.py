"""Score the registration of one stain on another at people's landmarks:

    python -m training.evaluate_stains --data FOLDER --out DIR

FOLDER holds pairs/histo_landmarks (Borovec et al., serial sections of mouse lung; landmarks by two people). Each pair of stains of a
tissue is registered by MedSRLib.registration_slides from the pictures alone, and measured at the landmarks after the linear step:
the median distance as a share of the moving picture's diagonal. Beside it stands what the best affine through those very landmarks
leaves (least squares), which no linear step can be far below, and what was there before. Writes stains.md and stains.json. CPU, minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from MedSRLib import registration_slides  # noqa: E402

from training import affine_warps  # noqa: E402
from training.slide_sources import read_rgb  # noqa: E402

WITHIN = 1.0
"""Percentage points of the diagonal above the best affine that are allowed."""


@dataclass(frozen=True)
class Tissue:
    """folder: of the pictures. landmarks: {who: folder}. reduction: landmarks' pixels for one of the picture's."""

    folder: str
    landmarks: dict[str, str]
    reduction: float


TISSUES = (
    Tissue("lesions", {"one": "lesions"}, 1),
    Tissue("lung-lesion_3", {w: f"lung-lesion_3/landmarks_user-{w}_scale-50pc" for w in ("PS", "JB")}, 10),
)


@dataclass(frozen=True)
class Row:
    """Medians are percent of the moving picture's diagonal."""

    tissue: str
    fixed: str
    moving: str
    landmarks_by: str
    count: int
    before: float
    found: float
    best: float
    orientation: str
    explained: float
    seconds: float

    @property
    def above(self) -> float:
        return self.found - self.best


def landmarks(path: Path, reduction: float) -> np.ndarray:
    """(n, 2) pixels of the picture."""
    with path.open(newline="", encoding="utf-8") as file:
        return np.array([(float(row["X"]), float(row["Y"])) for row in csv.DictReader(file)]) / reduction


def median_percent(points: np.ndarray, goal: np.ndarray, picture: np.ndarray) -> float:
    return float(100 * np.median(np.linalg.norm(points - goal, axis=1)) / np.hypot(*picture.shape[:2]))


def rows(root: Path, tissue: Tissue) -> Iterator[Row]:
    """Each pair of stains once, for each person who marked both."""
    pictures = {path.stem: read_rgb(path) for path in sorted((root / tissue.folder).glob("*.jpg"))}
    for fixed, moving in combinations(pictures, 2):
        start = time.perf_counter()
        laid = registration_slides.between(pictures[fixed], pictures[moving])
        seconds = time.perf_counter() - start
        for who, folder in tissue.landmarks.items():
            paths = [root / folder / f"{name}.csv" for name in (fixed, moving)]
            if not all(path.is_file() for path in paths):
                continue
            here, there = (landmarks(path, tissue.reduction) for path in paths)
            n = min(len(here), len(there))
            here, there = here[:n], there[:n]
            made = [here, affine_warps.applied(laid.affine, here), affine_warps.applied(affine_warps.fitted(here, there), here)]
            before, found, best = (round(median_percent(points, there, pictures[moving]), 3) for points in made)
            given = tissue.folder, fixed, moving, who, n, before, found, best
            yield Row(*given, laid.orientation, round(laid.explained, 3), round(seconds, 1))


def markdown(found: list[Row]) -> str:
    lines = [
        "| tissue | fixed | moving | landmarks (by) | before | registered | best affine | above it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in found:
        cells = f"{r.before:.2f} | {r.found:.2f} | {r.best:.2f} | {r.above:+.2f}"
        lines.append(f"| {r.tissue} | {r.fixed} | {r.moving} | {r.count} ({r.landmarks_by}) | {cells} |")
    middle = [float(np.median([getattr(r, name) for r in found])) for name in ("before", "found", "best", "above")]
    lines.append(f"| **median** | | | | {middle[0]:.2f} | **{middle[1]:.2f}** | {middle[2]:.2f} | **{middle[3]:+.2f}** |")
    within = sum(r.above <= WITHIN for r in found)
    lines.append(
        f"\nMedian distances in percent of the picture's diagonal. {within} of {len(found)} lie within {WITHIN:g} percentage point of "
        f"the best affine. Median of {np.median([r.seconds for r in found]):.1f} s a pair."
    )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tissues", nargs="*", default=[t.folder for t in TISSUES], help="only these")
    o = parser.parse_args(arguments)
    chosen = [tissue for tissue in TISSUES if tissue.folder in o.tissues]
    found = [row for tissue in chosen for row in rows(o.data / "pairs/histo_landmarks", tissue)]
    o.out.mkdir(parents=True, exist_ok=True)
    (o.out / "stains.md").write_text(markdown(found), encoding="utf-8")
    (o.out / "stains.json").write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
