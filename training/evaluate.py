"""Score methods and models by the published protocol: python -m training.evaluate --data FOLDER --models ID … --out FOLDER.

Writes slices.csv (a row for each method, subject and left-out slice), table.md and figures.json (means over subjects; the
one-sided Wilcoxon p that the first model is better than each other method, slice by slice, by PSNR and by SSIM).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from training import baselines, protocol  # noqa: E402

COLUMNS = ("psnr", "ssim", "sharpness")


def learned(kept: np.ndarray, positions: np.ndarray, targets: np.ndarray, module: Any, self_ensemble: bool = False) -> np.ndarray:
    """The slice task's own function, on the kept slices."""
    from MedSRLib.tasks.slices_learned import synthesise

    return synthesise(kept, positions, targets, module, self_ensemble=self_ensemble).values


def network_weights(path: Path) -> dict[str, Any]:
    """The network's float32 weights inside a Lightning checkpoint, or those of a .safetensors file."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}


def from_checkpoint(path: Path) -> Any:
    """The network inside a Lightning checkpoint of training.refiner or training.autoencoder, in evaluation mode."""
    import torch
    from MedSRLib import networks

    h = torch.load(path, map_location="cpu", weights_only=True)["hyper_parameters"]
    module = networks.build(h["network"], **(h["arguments"] or {}))
    module.load_state_dict(network_weights(path))
    return module.to(memory_format=torch.channels_last).eval()


def methods(models: list[str], checkpoints: list[Path], ensemble: bool, classical: bool) -> dict[str, protocol.Rebuild]:
    """Name → method: models first (the first is compared with all others), then checkpoints, then what needs no training."""
    from MedSRLib import models as shelf

    modules = {name: shelf.build(name) for name in models} | {str(p): from_checkpoint(p) for p in checkpoints}
    chosen: dict[str, protocol.Rebuild] = {name: partial(learned, module=module) for name, module in modules.items()}
    if ensemble and modules:
        name, module = next(iter(modules.items()))
        chosen[f"{name}, self-ensemble"] = partial(learned, module=module, self_ensemble=True)
    return chosen | (baselines.METHODS if classical else {})


def scored_before(path: Path) -> dict[str, list[dict]]:
    """Rows of an earlier slices.csv by method; what needs no training is not computed again (Lanczos takes minutes)."""
    found: dict[str, list[dict]] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                figures = {c: float(row[c]) for c in COLUMNS}
                found.setdefault(row.pop("method"), []).append(row | figures | {"slice": int(row["slice"])})
    return found


def table(rows: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """One row a method: means over subjects and the p of the first method against it."""
    from scipy.stats import wilcoxon

    first = next(iter(rows.values()))
    out = []
    for name, own in rows.items():
        row: dict[str, Any] = {"method": name} | {c: round(protocol.means(own, c), 4) for c in COLUMNS} | {"slices": len(own)}
        if own is not first:
            row |= {
                f"p_{c}": float(wilcoxon([r[c] for r in first], [r[c] for r in own], alternative="greater").pvalue) for c in COLUMNS[:2]
            }
        out.append(row)
    return out


def markdown(lines: list[dict[str, Any]]) -> str:
    text = ["| method | PSNR dB | SSIM | sharpness | p (PSNR) | p (SSIM) |", "|---|---|---|---|---|---|"]
    for r in lines:
        p = [f"{r[k]:.1e}" if k in r else "" for k in ("p_psnr", "p_ssim")]
        text.append(f"| {r['method']} | {r['psnr']:.2f} | {r['ssim']:.3f} | {r['sharpness']:.2f} | {p[0]} | {p[1]} |")
    return "\n".join(text) + "\n"


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NIfTI volumes")
    parser.add_argument("--models", nargs="*", default=[], help="identifiers of installed models")
    parser.add_argument("--checkpoints", nargs="*", type=Path, default=[])
    parser.add_argument("--ensemble", action="store_true", help="the first model with self-ensemble, too")
    parser.add_argument("--no-classical", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    subjects = protocol.cases(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    known = scored_before(options.out / "slices.csv")
    rows: dict[str, list[dict]] = {}
    for name, method in methods(options.models, options.checkpoints, options.ensemble, not options.no_classical).items():
        keep = name in known and name in baselines.METHODS
        rows[name] = known[name] if keep else [row for case in subjects for row in protocol.score(case, method)]
    with (options.out / "slices.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["method", "subject", "slice", *COLUMNS])
        writer.writeheader()
        writer.writerows({"method": name} | row for name, own in rows.items() for row in own)
    lines = table(rows)
    (options.out / "table.md").write_text(markdown(lines), encoding="utf-8")
    (options.out / "figures.json").write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    return lines


if __name__ == "__main__":
    main()
