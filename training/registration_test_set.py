"""The frozen test sets of slide-to-MRI registration: right pairs with known truth, and wrong pairs that must be flagged.

    python -m training.registration_test_set --data FOLDER --verify   # is it that of splits/registration.json?
    python -m training.registration_test_set --data FOLDER --measure  # does mutual information fail often enough? (SimpleITK)

Right: 200 pseudo-MRIs of real H&E that nothing is trained on (splits/slides.json, "test"), each mirrored or not, turned, shifted,
sheared and scaled at random. Wrong, 100: the MRI or pseudo-MRI of another gland ("other"); an MRI that shows one half of the tissue
and a slide with the other half ("apart"); a slide or MRI of which half is blank ("half"). Pictures are square, FIELD_MM a side.
The set counts only if mutual information, started at the identity, fails on at least half of the right pairs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from . import affine_warps, pseudo_mri, slide_sources, volumes  # noqa: E402

SPLIT = Path(__file__).parent / "splits/registration.json"
SLIDE_MM = 0.1
"""Pixels of the slides of the test."""
STEP = 1000
"""Pseudo-MRIs are rounded to whole thousandths, as integers are stored."""
TOLERANCE = 4.0
"""Processors round differently: a case whose sha256 differs is still the same where all its block means are this close."""
LEAST_FAILURES = 0.5
"""Share of right pairs on which mutual information must fail."""


@dataclass(frozen=True, eq=False)
class Case:
    """fixed: (h, w) uint16 MRI of fixed_mm pixels. slide: the moving picture. kind: "right", "other", "apart" or "half".
    affine: (2, 3), fixed → moving in mm (training.affine_warps); for wrong pairs none. tissue: (h, w) bool of the fixed picture."""

    seed: int
    kind: str
    fixed: np.ndarray
    fixed_mm: float
    slide: slide_sources.Picture
    tissue: np.ndarray
    affine: np.ndarray | None = None


@lru_cache(maxsize=1)
def split() -> dict[str, Any]:
    """The committed split: cases in order, each with seed, kind, source and checksum."""
    return json.loads(SPLIT.read_text(encoding="utf-8"))


def pictures(root: Path) -> dict[str, slide_sources.Picture]:
    """The test slides by name."""
    return {s.name: slide_sources.picture(s, root, SLIDE_MM) for s in slide_sources.sources("test")}


def stored(image: np.ndarray) -> np.ndarray:
    return np.rint(image * STEP).astype(np.uint16)


def right(seed: int, slide: slide_sources.Picture) -> Case:
    """A pseudo-MRI of the slide, at a random affine."""
    rng = np.random.default_rng((1, seed))
    made = pseudo_mri.pseudo_mri(slide, affine_warps.drawn(rng).affine(), rng)
    return Case(seed, "right", stored(made.image), pseudo_mri.Recipe.pixel_mm, slide, made.tissue, made.affine)


def other(seed: int, slide: slide_sources.Picture, shown: slide_sources.Picture) -> Case:
    """The pseudo-MRI of another piece of tissue than the slide's."""
    made = right(seed, shown)
    return Case(seed, "other", made.fixed, made.fixed_mm, slide, made.tissue)


def other_mri(seed: int, slide: slide_sources.Picture, root: Path) -> Case:
    """A real T2 slice of another patient, cut around the gland, up to 15 pixels beside its middle, in one of the eight flips and
    quarter turns; its pixels stay as they are."""
    entry = slide_sources.split()["mri_test"]
    volume, spacing = volumes.read(root / entry["path"])
    mask, _ = volumes.read(root / entry["mask"])
    k, pixel_mm = entry["slices"][seed % len(entry["slices"])], float(spacing[1])
    half, (y, x) = round(slide_sources.FIELD_MM / pixel_mm) // 2, np.argwhere(mask[k] > 0).mean(0).round().astype(int)
    rng = np.random.default_rng((4, seed))
    y, x = np.array([y, x]) + rng.integers(-15, 15, 2, endpoint=True)
    box, turn = np.s_[y - half : y + half, x - half : x + half], int(rng.integers(8))
    image, gland = (turned(a[k][box], turn) for a in (volume, mask > 0))
    return Case(seed, "other", stored(np.maximum(volumes.normalised(image), 0)), pixel_mm, slide, gland)


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight flips and quarter turns of (h, w); `turn` from 0 to 7."""
    made = np.rot90(image, turn % 4)
    return made[:, ::-1] if turn >= 4 else made


def apart(seed: int, slide: slide_sources.Picture) -> Case:
    """Tissue cut in two through its middle in a random direction: one part in the pseudo-MRI, the other in the slide, both centred."""
    rng = np.random.default_rng((2, seed))
    side = beyond(slide.tissue, rng.uniform(0, 2 * np.pi))
    parts = [slide_sources.centred(slide.rgb, slide.tissue & half, SLIDE_MM, SLIDE_MM) for half in (side, ~side)]
    made = pseudo_mri.pseudo_mri(parts[0], affine_warps.drawn(rng).affine(), rng)
    return Case(seed, "apart", stored(made.image), pseudo_mri.Recipe.pixel_mm, parts[1], made.tissue)


def half(seed: int, slide: slide_sources.Picture) -> Case:
    """A right pair, half of whose tissue is then blanked, on one side of its middle: in the slide (odd seeds) or the MRI."""
    made, rng = right(seed, slide), np.random.default_rng((3, seed))
    direction = rng.uniform(0, 2 * np.pi)
    if seed % 2:
        kept = slide.tissue & beyond(slide.tissue, direction)
        rgb = np.where(kept[..., None], slide.rgb, slide_sources.GLASS).astype(np.uint8)
        return Case(seed, "half", made.fixed, made.fixed_mm, slide_sources.Picture(rgb, kept, SLIDE_MM), made.tissue)
    kept = beyond(made.tissue, direction)
    return Case(seed, "half", np.where(kept, made.fixed, 0).astype(np.uint16), made.fixed_mm, slide, made.tissue & kept)


def beyond(tissue: np.ndarray, direction: float) -> np.ndarray:
    """(h, w) bool: the side of a line through the middle of the tissue that `direction` (radians, from x to y) points to."""
    middle = np.argwhere(tissue).mean(0)
    rows, columns = np.ogrid[: tissue.shape[0], : tissue.shape[1]]
    return (columns - middle[1]) * np.cos(direction) + (rows - middle[0]) * np.sin(direction) > 0


def made(entry: dict[str, Any], root: Path) -> Case:
    """The case of an entry of the split: kind, seed, source and, for the other gland, `shown`."""
    slides, seed, kind = pictures(root), entry["seed"], entry["kind"]
    slide = slides[entry["source"]]
    if kind == "other":
        return other_mri(seed, slide, root) if entry["shown"] == "T2" else other(seed, slide, slides[entry["shown"]])
    return {"right": right, "apart": apart, "half": half}[kind](seed, slide)


def cases(root: Path, kind: str = "", count: int | None = None) -> Iterator[Case]:
    """The cases in order: all, or "right", or "wrong"; only the first `count`."""
    wanted = [e for e in split()["cases"] if not kind or (e["kind"] == "right") == (kind == "right")]
    return (made(entry, root) for entry in wanted[:count])


def sha256(case: Case) -> str:
    """Of the bytes of both pictures and the truth, to a thousandth of a mm."""
    digest = hashlib.sha256()
    truth = np.zeros((2, 3)) if case.affine is None else case.affine
    for array in (case.fixed.astype("<u2"), case.slide.rgb, np.rint(truth * 1000).astype("<i4")):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def block_means(case: Case) -> list[float]:
    """16 means of the MRI in thousandths, then 16 of the slide, 0 to 255, to a tenth."""
    images = case.fixed, case.slide.rgb.mean(-1)
    return [round(float(part.mean()), 1) for image in images for rows in np.array_split(image, 4) for part in np.array_split(rows, 4, 1)]


def differences(case: Case, entry: dict[str, Any]) -> str:
    """Empty where the case is the frozen one, to the bit or to rounding; else what differs."""
    if sha256(case) == entry["sha256"]:
        return ""
    worst = float(np.abs(np.subtract(block_means(case), entry["block_means"])).max())
    return "" if worst <= TOLERANCE else f"case {case.seed} ({case.kind}): block means differ by up to {worst:.1f}"


def planned() -> list[dict[str, Any]]:
    """The entries of version 1, without checksums: 200 right, then 34 + 33 + 33 wrong, the sources in turn."""
    names = [s.name for s in slide_sources.sources("test")]
    found: list[dict[str, Any]] = [{"seed": 1000 + k, "kind": "right", "source": names[k % 3]} for k in range(200)]
    for k in range(34):
        shown = "T2" if k % 2 else names[(k // 2 + 1) % 3]
        found.append({"seed": 2000 + k, "kind": "other", "source": names[k // 2 % 3], "shown": shown})
    return found + [{"seed": 3000 + k, "kind": "apart" if k < 33 else "half", "source": names[k % 3]} for k in range(66)]


def freeze(root: Path) -> None:
    """Write the split. Done once, before any training; a new version is a new test set, and old figures no longer compare."""
    content = {"version": 1, "cases": planned()}
    for entry in content["cases"]:
        case = made(entry, root)
        entry |= {"sha256": sha256(case), "block_means": block_means(case)}
    write(content)


def write(content: dict[str, Any]) -> None:
    """JSON with one line for each case."""
    rows = ",\n  ".join(json.dumps(entry) for entry in content["cases"])
    text = json.dumps(content | {"cases": "CASES"}, indent=1).replace('"CASES"', f"[\n  {rows}\n ]")
    SPLIT.write_text(text + "\n", encoding="utf-8")
    split.cache_clear()


def measure(root: Path) -> dict[str, Any]:
    """How often mutual information fails on the right pairs, started at the identity."""
    from . import matching_methods, slide_matching

    errors = [matching_methods.error(matching_methods.mutual_information(case).affine, case) for case in cases(root, "right")]
    failed = float(np.mean(np.array(errors) > slide_matching.SUCCESS))
    return {"failures": round(failed, 4), "median_error": round(float(np.median(errors)), 4), "counts": failed >= LEAST_FAILURES}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--verify", action="store_true", help="generate the test set and compare it with the committed checksums")
    parser.add_argument("--measure", action="store_true", help="measure mutual information on the right pairs, and commit what it says")
    options = parser.parse_args(arguments)
    if options.measure:
        write(split() | {"mutual_information": measure(options.data)})
    if not options.verify:
        return 0
    wrong = [text for entry in split()["cases"] if (text := differences(made(entry, options.data), entry))]
    sys.stdout.write("".join(text + "\n" for text in wrong) or "as committed\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
