"""Is the map of what to trust right? The task's own expected error against the true one, on the frozen phantoms:

    python -m training.ct_calibration --models ID … --out DIR     # "bicubic" is one, too

Writes calibration.json and calibration.png: for each model, expected over true mean absolute error (1 is right) of all, of walls and
vessels, of foam, and for each kernel and noise level; and the true error of ten equal parts of the voxels, ordered by what is expected.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402

from training import ct_metrics, phantom_set  # noqa: E402

PARTS = 10
REGIONS = ("all", "walls_vessels", "foam")


def enlarged(case: phantom_set.Case, view: phantom_set.View, model: str) -> tuple[np.ndarray, np.ndarray]:
    """The middle slice of a view as the task makes it, and the error that it expects; (8h, 8w) HU each."""
    spacing = (case.clinical_mm, case.clinical_mm, case.thickness_mm)
    method = {"method": "bicubic"} if model == "bicubic" else {"model": model}
    volume = Volume(view.clinical, spacing_mm=spacing, meta={"modality": "CT"})
    made = super_resolve_ct(volume, Options(region="all", **method))  # type: ignore[arg-type]
    return made.volume[0].array[1].astype(np.float32), made.fidelity[0].array[1]


def of_view(case: phantom_set.Case, view: phantom_set.View, model: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Region → (expected, true) absolute error of its pixels."""
    made, expected = enlarged(case, view, model)
    true, inside = np.abs(made - case.micro[1]), ct_metrics.regions(case.labels[1])
    return {name: (expected[inside[name]], true[inside[name]]) for name in REGIONS}


def calibrated(model: str, cases: list[phantom_set.Case]) -> dict[str, Any]:
    """See the module. mean_expected_hu and mean_true_hu: of each tenth, from what is trusted most to what is trusted least."""
    views = [(f"{v.kernel}, {v.noise_hu:g} HU", of_view(case, v, model)) for case in cases for v in case.views]
    out: dict[str, Any] = {f"ratio_{region}": _ratio([pixels[region] for _, pixels in views]) for region in REGIONS}
    out["ratio_by_view"] = {kind: _ratio([p["all"] for k, p in views if k == kind]) for kind in sorted({k for k, _ in views})}
    expected, true = (np.concatenate([pixels["all"][k] for _, pixels in views]) for k in (0, 1))
    tenths = np.array_split(np.argsort(expected), PARTS)
    out["mean_expected_hu"] = [round(float(expected[part].mean()), 1) for part in tenths]
    return out | {"mean_true_hu": [round(float(true[part].mean()), 1) for part in tenths]}


def _ratio(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return round(float(sum(e.sum() for e, _ in pairs) / sum(t.sum() for _, t in pairs)), 3)


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Expected against true error, a line a model; on the diagonal it is right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.2), layout="constrained")
    axes = figure.subplots()
    most = max(max(r["mean_expected_hu"] + r["mean_true_hu"]) for r in results.values())
    axes.plot((0, most), (0, most), color="0.7", label="right")
    for name, result in results.items():
        axes.plot(result["mean_expected_hu"], result["mean_true_hu"], "o-", label=name)
    axes.set(xlabel="expected |error|, HU", ylabel="true |error|, HU", title="Frozen lung phantoms, tenths of the voxels")
    axes.legend()
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, help="identifiers of installed models, or bicubic")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=phantom_set.CACHE)
    parser.add_argument("--cases", type=int, default=None, help="only the first few cases (for tests)")
    o = parser.parse_args(arguments)
    cases = [phantom_set.case(seed, o.cache) for seed in phantom_set.seeds("test", o.cases)]
    results = {model: calibrated(model, cases) for model in o.models}
    o.out.mkdir(parents=True, exist_ok=True)
    (o.out / "calibration.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, o.out / "calibration.png")
    return results


if __name__ == "__main__":
    main()
