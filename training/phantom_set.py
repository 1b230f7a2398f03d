"""The phantoms that train, validate and test: which seeds, and the frozen test set with its checksums.

    python -m training.phantom_set --verify    # is the test set that of splits/lung_phantom.json? (anew: --cache EMPTY_FOLDER)
    python -m training.phantom_set --train 24  # fill training/cache beforehand; training does it as well

A test case is one phantom seen through two kernels that nothing was trained on, at two levels of noise. All arrays are rounded to
whole HU, as CT is stored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from . import degrade, lung_phantom  # noqa: E402

HERE = Path(__file__).parent
SPLIT = HERE / "splits/lung_phantom.json"
CACHE = Path("training/cache")
SLICES = 5
"""Clinical slices of a phantom that trains; those that test have 3, and the middle one is scored."""
TOLERANCE_HU = 1.0
"""Processors round differently: a case whose sha256 differs is still the same where all its block means are this close."""


@dataclass(frozen=True)
class View:
    """One clinical CT of a test case. clinical: (3, h, w) int16 HU, of kernel `kernel` with noise of `noise_hu`."""

    kernel: str
    noise_hu: float
    clinical: np.ndarray


@dataclass(frozen=True)
class Case:
    """micro: (3, 8h, 8w) int16 HU. labels: the same, uint8 (lung_phantom.LABELS). views: each kernel at each noise level."""

    seed: int
    micro: np.ndarray
    labels: np.ndarray
    clinical_mm: float
    thickness_mm: float
    views: tuple[View, ...]


@lru_cache(maxsize=1)
def split() -> dict[str, Any]:
    """The committed split: first seeds and counts of training and validation, the test cases with their checksums."""
    return json.loads(SPLIT.read_text(encoding="utf-8"))


def seeds(which: str, count: int | None = None) -> list[int]:
    """The first `count` seeds that train, or validate, or test."""
    entry = split()[which]
    if which == "test":
        return [case["seed"] for case in entry["cases"]][:count]
    if count is not None and count > entry["count"]:
        raise ValueError(f"{which} has {entry['count']} seeds, not {count}")
    return [entry["first_seed"] + k for k in range(entry["count"] if count is None else count)]


def phantom(seed: int, slices: int = SLICES, cache: Path = CACHE) -> lung_phantom.Slices:
    """The rendered phantom of a seed, from the cache where it is already in it; micro is int16 HU."""
    path = cache / f"lung_phantom_{split()['version']}_{slices}_{seed}.npz"
    if not path.exists():
        made = lung_phantom.Phantom(seed, count=slices).render()
        _save(path, micro=_whole(made.micro), labels=made.labels, size=np.array([made.clinical_mm, made.thickness_mm]))
    with np.load(path) as data:
        return lung_phantom.Slices(data["micro"], data["labels"], *map(float, data["size"]))


def _whole(hu: np.ndarray) -> np.ndarray:
    return np.rint(hu).astype(np.int16)


def _save(path: Path, **arrays: np.ndarray) -> None:
    """Written beside, then renamed: another process may want the same one."""
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)


def case(seed: int, cache: Path = CACHE) -> Case:
    """A test case with all its views."""
    return viewed(seed, phantom(seed, 3, cache))


def small_case() -> Case:
    """A ninth of a test case in size: a quick check that the generator still makes what it made."""
    seed = split()["small"]["seed"]
    return viewed(seed, lung_phantom.Phantom(seed, field=32).render())


def viewed(seed: int, made: lung_phantom.Slices) -> Case:
    """A phantom of three slices through each test kernel at each noise level."""
    micro, test, views = _whole(made.micro), split()["test"], []
    for k, kernel in enumerate(test["kernels"]):
        clean = degrade.projected(micro.astype(np.float32), degrade.KERNELS[kernel], made.clinical_mm)
        for n, noise_hu in enumerate(test["noise_hu"]):
            rng = np.random.default_rng((seed, k, n))
            noisy = clean + degrade.noise(clean.shape, degrade.KERNELS[kernel], made.clinical_mm, noise_hu, rng)
            views.append(View(kernel, noise_hu, _whole(noisy)))
    return Case(seed, micro, made.labels, made.clinical_mm, made.thickness_mm, tuple(views))


def sha256(case: Case) -> str:
    """Of the bytes of all arrays of a case, little-endian."""
    digest = hashlib.sha256()
    for array in (case.micro, case.labels, *(view.clinical for view in case.views)):
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def block_means(case: Case) -> list[float]:
    """16 means of the middle micro-CT slice and of each view's, in HU, to a tenth."""
    images = [case.micro[1], *(view.clinical[1] for view in case.views)]
    return [round(float(part.mean()), 1) for image in images for rows in np.array_split(image, 4) for part in np.array_split(rows, 4, 1)]


def differences(case: Case) -> str:
    """Empty where the case is the frozen one, to the bit or to rounding; else what differs."""
    entry = next(e for e in [*split()["test"]["cases"], split()["small"]] if e["seed"] == case.seed)
    if sha256(case) == entry["sha256"]:
        return ""
    worst = float(np.abs(np.subtract(block_means(case), entry["block_means"])).max())
    return "" if worst <= TOLERANCE_HU else f"test case {case.seed}: block means differ by up to {worst:.1f} HU"


def freeze(first_seed: int, count: int, kernels: list[str], noise_hu: list[float]) -> None:
    """Write the split. Done once, before any training; a new version is a new test set, and old figures no longer compare."""
    content: dict[str, Any] = {
        "version": 1,
        "train": {"first_seed": 1000, "count": 200},
        "validation": {"first_seed": 5000, "count": 4},
        "test": {"kernels": kernels, "noise_hu": noise_hu, "cases": [{"seed": first_seed + k} for k in range(count)]},
        "small": {"seed": 8000},
    }
    SPLIT.write_text(json.dumps(content), encoding="utf-8")
    split.cache_clear()
    for entry, made in [*((entry, case(entry["seed"])) for entry in content["test"]["cases"]), (content["small"], small_case())]:
        entry |= {"sha256": sha256(made), "block_means": block_means(made)}
    SPLIT.write_text(_readable(content), encoding="utf-8")
    split.cache_clear()


def _readable(content: dict[str, Any]) -> str:
    """JSON with one line for each case."""
    rows = ",\n   ".join(json.dumps(entry) for entry in content["test"]["cases"])
    short = content | {"test": content["test"] | {"cases": "CASES"}, "small": "SMALL"}
    text = json.dumps(short, indent=1).replace('"CASES"', f"[\n   {rows}\n  ]")
    return text.replace('"SMALL"', json.dumps(content["small"])) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verify", action="store_true", help="generate the test set and compare it with the committed checksums")
    parser.add_argument("--train", type=int, default=0, help="generate so many training phantoms, and those that validate")
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args(arguments)
    for seed in seeds("train", options.train) + (seeds("validation") if options.train else []):
        phantom(seed, cache=options.cache)
    if not options.verify:
        return 0
    wrong = [text for seed in seeds("test") if (text := differences(case(seed, options.cache)))]
    sys.stdout.write("".join(text + "\n" for text in wrong) or "as committed\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
