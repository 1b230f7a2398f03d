"""Score ways to enlarge CT by 8 on the frozen phantoms and on a real chest CT, against bicubic and Wiener deconvolution:

    python -m training.evaluate_ct --models sr-cyclegan=training/runs/sr-cyclegan/version_0/checkpoints/last.ckpt ID … \\
        --data FOLDER --out DIR

Writes figures.json, table.md, table.csv (means), cases.csv (a row for each method, case, kernel and noise) and figure2.png (crops
beside each other, as Figure 2 of Zheng et al. 2020). What was scored before into DIR is not scored again, unless the weights
changed. Regions, features and measures are those of training.ct_metrics; the test set is that of training.phantom_set.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from MedSRLib import lungs  # noqa: E402
from MedSRLib.tasks import ct_evaluation  # noqa: E402

from training import ct_data, ct_figure, ct_methods, ct_metrics, degrade, lung_phantom, phantom_set, volumes  # noqa: E402

COLUMNS = {
    "psnr_walls_vessels": "PSNR dB walls, vessels", "ssim_walls_vessels": "SSIM walls, vessels",
    "psnr_foam": "PSNR foam", "ssim_foam": "SSIM foam", "psnr_all": "PSNR all", "ssim_all": "SSIM all",
    "distance": "distance", "edge_mm": "edge mm", "wall_mm": "wall mm", "walls_seen": "walls seen",
    "solid_share": "solid / true", "shift_hu": "shift HU", "residual_hu": "residual HU",
}  # fmt: skip
SPECTRUM = {
    f"power_{low:g}_{high:g}": f"power at {low:g} to {high:g} × Nyquist, over the truth's"
    for low, high in pairwise(ct_evaluation.BAND_EDGES)
}
"""Of the scan's pixels: beyond 1 is what they cannot hold."""
REAL_SLICES, REAL_SIDE, ASSUMED_KERNEL = (8, 20, 32), 128, "standard"


@dataclass(frozen=True)
class Prepared:
    """A test case with what does not depend on the method."""

    case: phantom_set.Case
    true: np.ndarray
    regions: dict[str, np.ndarray]
    lung: np.ndarray
    profiles: ct_metrics.Profiles
    walls: np.ndarray
    features: np.ndarray
    powers: np.ndarray


def prepared(case: phantom_set.Case, distance: ct_metrics.SlicedWasserstein) -> Prepared:
    true, labels = case.micro[1].astype(np.float32), case.labels[1]
    profiles = ct_metrics.sharp(true, ct_metrics.wall_profiles(labels, case.clinical_mm / degrade.FACTOR))
    features, powers = distance.features(true, case.seed), ct_evaluation.band_powers(true)
    inside = ct_metrics.regions(labels)
    return Prepared(case, true, inside, labels != lung_phantom.PLEURA, profiles, ct_metrics.walls(true, profiles), features, powers)


def row(item: Prepared, view: phantom_set.View, made: np.ndarray) -> dict[str, float]:
    """The figures of one enlarged slice."""
    mean_hu, solid = ct_metrics.tissue(made, item.lung)
    true_hu, true_solid = ct_metrics.tissue(item.true, item.lung)
    residual = degrade.mean_by_factor(made) - view.clinical[1]
    walls = ct_metrics.walls(made, item.profiles)
    return ct_metrics.fidelity(item.true, made, item.regions) | {
        "shift_hu": mean_hu - true_hu,
        "solid_share": solid / true_solid,
        "residual_hu": float(np.sqrt(np.square(residual).mean())),
        "edge_mm": _median(walls[:, 0]),
        "wall_mm": _median(walls[:, 1]),
        "walls_seen": float(np.isfinite(walls[:, 0]).mean()) if len(walls) else float("nan"),
    }


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def scan(item: Prepared, view: phantom_set.View) -> ct_methods.Scan:
    return ct_methods.Scan(view.clinical, view.kernel, item.case.clinical_mm, view.noise_hu)


def score(method: ct_methods.Method, items: list[Prepared], distance: ct_metrics.SlicedWasserstein) -> dict[str, Any]:
    """{"rows": a row for each view, "means": over all of them, "by_view": over cases, for each kernel and noise}."""
    rows, features, powers = [], [], []
    for item in items:
        for view in item.case.views:
            made = method(scan(item, view)).astype(np.float32)
            rows.append({"seed": item.case.seed, "kernel": view.kernel, "noise_hu": view.noise_hu} | row(item, view, made))
            features.append(distance.features(made, item.case.seed))
            powers.append(ct_evaluation.band_powers(made) / item.powers)
    views = len(items[0].case.views)
    levels = distance.distances([item.features for item in items for _ in range(views)], features)
    means = means_of(rows) | {"distance": float(levels.mean())} | {f"distance_level_{k}": float(d) for k, d in enumerate(levels)}
    means |= {name: float(p) for name, p in zip(SPECTRUM, np.mean(powers, 0), strict=True)}
    kinds = sorted({(r["kernel"], r["noise_hu"]) for r in rows})
    by_view = {f"{k}, {n:g} HU": means_of([r for r in rows if (r["kernel"], r["noise_hu"]) == (k, n)]) for k, n in kinds}
    return {"rows": rows, "means": means, "by_view": by_view}


def means_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean of each figure over the rows that have it."""
    names = dict.fromkeys(name for r in rows for name in r if name not in ("seed", "kernel", "noise_hu"))
    return {name: float(np.nanmean([r.get(name, np.nan) for r in rows])) for name in names}


def truth(items: list[Prepared]) -> dict[str, float]:
    """What the true micro-CT measures, for the columns where it is not 0, 1 or infinity by itself."""
    walls = np.array([[_median(item.walls[:, k]) for k in (0, 1)] for item in items])
    return {"edge_mm": float(np.nanmean(walls[:, 0])), "wall_mm": float(np.nanmean(walls[:, 1])), "walls_seen": 1.0, "solid_share": 1.0}


def real_scans(root: Path) -> Iterator[tuple[ct_methods.Scan, np.ndarray]]:
    """Regions of lung of the real chest CT, three slices each, with the lung mask of the middle one; its kernel is assumed."""
    hu, spacing = volumes.read(root / ct_data.REAL)
    mask = lungs.mask(hu, tuple(spacing[::-1]))
    noise_hu = scan_noise(hu)
    for z in REAL_SLICES:
        for side in (slice(None, hu.shape[2] // 2), slice(hu.shape[2] // 2, None)):
            y, x = (int(round(at)) for at in np.argwhere(mask[z, :, side]).mean(0))
            top, left = y - REAL_SIDE // 2, x + (side.start or 0) - REAL_SIDE // 2
            box = np.s_[top : top + REAL_SIDE, left : left + REAL_SIDE]
            yield ct_methods.Scan(hu[z - 1 : z + 2][:, *box], ASSUMED_KERNEL, float(spacing[1]), noise_hu), mask[z][box]


def scan_noise(hu: np.ndarray, side: int = 12) -> float:
    """Standard deviation in HU of the scan's noise: median over blocks of soft tissue, less a plane, every fourth slice."""
    y, x = np.mgrid[:side, :side]
    plane = np.linalg.qr(np.stack([np.ones(side * side), y.ravel(), x.ravel()], 1).astype(float))[0]
    found = []
    for image in hu[::4]:
        h, w = (n // side for n in image.shape)
        blocks = image[: h * side, : w * side].reshape(h, side, w, side).swapaxes(1, 2).reshape(-1, side * side)
        soft = blocks[(blocks.min(1) > -60) & (blocks.max(1) < 140)].astype(float)
        found += list((soft - soft @ plane @ plane.T).std(1) * side / np.sqrt(side**2 - 3))
    return float(np.median(found))


def consistency(method: ct_methods.Method, scans: list[tuple[ct_methods.Scan, np.ndarray]]) -> dict[str, float]:
    """Of the result averaged back by 8 against a real scan, in its lungs: RMS difference and mean shift, in HU."""
    residuals = [(degrade.mean_by_factor(method(given)) - ct_methods.middle(given))[mask] for given, mask in scans]
    together = np.concatenate(residuals)
    shift = max((float(abs(r.mean())) for r in residuals), default=0.0)
    return {
        "real_residual_hu": float(np.sqrt(np.square(together).mean())),
        "real_shift_hu": float(together.mean()),
        "real_worst_shift_hu": shift,
    }


def markdown(results: dict[str, dict[str, Any]], true: dict[str, float]) -> str:
    """Two tables: the figures, with those of the real scan where it was scored; the spectrum."""
    columns = COLUMNS | {"real_residual_hu": "real: residual HU", "real_worst_shift_hu": "real: shift HU"}
    means = {name: r["means"] for name, r in results.items()}
    return _table(columns, means | {"micro-CT itself": true}) + "\n" + _table(SPECTRUM, means)


def _table(columns: dict[str, str], rows: dict[str, dict[str, float]]) -> str:
    columns = {k: v for k, v in columns.items() if any(k in row for row in rows.values())}
    lines = ["| method | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[c]:.{2 if not c.startswith(('ssim', 'dist', 'edge', 'wall')) else 3}f}" if c in row else "" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def rounded(value: Any) -> Any:
    """To four digits after the point, however deep."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def write(results: dict[str, dict[str, Any]], true: dict[str, float], folder: Path) -> None:
    (folder / "table.md").write_text(markdown(results, true), encoding="utf-8")
    figures = {name: {k: rounded(r[k]) for k in ("sha256", "means", "by_view")} for name, r in results.items()}
    figures |= {"micro-CT itself": rounded(true)}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for file, rows in (
        ("table.csv", [{"method": n} | r["means"] for n, r in results.items()]),
        ("cases.csv", [{"method": n} | one for n, r in results.items() for one in r["rows"]]),
    ):
        with (folder / file).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(k for one in rows for k in one)))
            writer.writeheader()
            writer.writerows(rows)


def scored(name: str, identity: str, folder: Path) -> tuple[Path, dict[str, Any] | None]:
    """Where a method's scores are kept, and what is there of the same weights and test set."""
    path = folder / "scores" / (re.sub(r"[^\w.-]+", "_", name) + ".json")
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return path, known if known.get("sha256") == identity and known.get("version") == phantom_set.split()["version"] else None


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[], help="checkpoints of training.train, or identifiers of installed models")
    parser.add_argument("--consistent", nargs="*", default=[], help="of the methods named: also made consistent with the scan, both ways")
    parser.add_argument("--data", type=Path, default=None, help=f"folder that holds {ct_data.REAL}: also scores the real chest CT")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=phantom_set.CACHE)
    parser.add_argument("--cases", type=int, default=None, help="only the first few cases (for tests)")
    options = parser.parse_args(arguments)
    (options.out / "scores").mkdir(parents=True, exist_ok=True)
    distance = ct_metrics.SlicedWasserstein()
    items = [prepared(phantom_set.case(seed, options.cache), distance) for seed in phantom_set.seeds("test", options.cases)]
    scans = list(real_scans(options.data)) if options.data else []
    methods = {name: (method, "") for name, method in ct_methods.PLAIN.items()} | ct_methods.networks(options.models)
    for name in options.consistent:
        method, identity = methods[name]
        methods |= {f"{name}, {kind}": (change(method), identity) for kind, change in ct_methods.CONSISTENT.items()}
    results = {}
    for name, (method, identity) in methods.items():
        path, known = scored(name, identity, options.out)
        if known is None or known["cases"] != len(items) or known["real"] != bool(scans):
            known = {"sha256": identity, "version": phantom_set.split()["version"], "cases": len(items), "real": bool(scans)}
            known |= score(method, items, distance)
            known["means"] |= consistency(method, scans) if scans else {}
            path.write_text(json.dumps(known), encoding="utf-8")
        results[name] = known
        write(results, truth(items), options.out)
    ct_figure.draw(items, {name: method for name, (method, _) in methods.items()}, options.out / "figure2.png")
    return results


if __name__ == "__main__":
    main()
