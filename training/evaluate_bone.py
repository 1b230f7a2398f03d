"""Score networks trained by training.bone against bicubic and Wiener deconvolution, on a slab and on a specimen never seen:

    python -m training.evaluate_bone --models bone=training/runs/bone/version_0/checkpoints/last.ckpt --data FOLDER --out DIR

Writes table.md and figures.json. The data range of PSNR and SSIM is that of 8 bits. Structure: bone is above Otsu's threshold of
the true slices; its area, and its thickness as twice the area over the perimeter (plates, Parfitt 1987), over the true ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from MedSRLib import metrics  # noqa: E402
from scipy import ndimage  # noqa: E402

from training import bone, ct_methods, ct_metrics, lesions  # noqa: E402

COLUMNS = ("psnr", "ssim", "psnr_edges", "distance", "area", "thickness")


def thickness(solid: np.ndarray) -> float:
    """Mean width in pixels of what is solid: 2·area / perimeter; the perimeter by Crofton along rows and columns (· π / 4)."""
    steps = np.count_nonzero(np.diff(solid, axis=0)) + np.count_nonzero(np.diff(solid, axis=1))
    return 2 * float(solid.sum()) / max(np.pi / 4 * steps, 1)


def score(method: ct_methods.Method, cases: list[bone.Case]) -> dict[str, float]:
    """Means over slices, kernels and noise levels."""
    distance, rows, features = ct_metrics.SlicedWasserstein(256), [], ([], [])
    threshold = lesions.otsu(np.stack([case.micro for case in cases]))
    for key, case in enumerate(cases):
        solid = case.micro > threshold
        rim = ndimage.binary_dilation(solid, iterations=3) ^ ndimage.binary_erosion(solid, iterations=3)
        for view in case.views:
            made = method(ct_methods.Scan(view.clinical, view.kernel, bone.PIXEL_MM, view.noise_hu)).astype(np.float32)
            rows.append([
                metrics.psnr(case.micro, made, 1000), metrics.ssim(case.micro, made, 1000), metrics.psnr(case.micro, made, 1000, rim),
                (made > threshold).sum() / solid.sum(), thickness(made > threshold) / thickness(solid),
            ])  # fmt: skip
            for kept, image in zip(features, (case.micro, made), strict=True):
                kept.append(distance.features(image, key))
    means = dict(zip(("psnr", "ssim", "psnr_edges", "area", "thickness"), map(float, np.mean(rows, 0)), strict=True))
    return means | {"distance": float(distance.distances(*features).mean())}


def markdown(results: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = ["| specimen | method | PSNR dB | SSIM | PSNR at edges | distance | area / true | thickness / true |", "|---" * 8 + "|"]
    for specimen, methods in results.items():
        lines += [f"| {specimen} | {name} | " + " | ".join(f"{means[c]:.3f}" for c in COLUMNS) + " |" for name, means in methods.items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[], help="checkpoints of training.train, or identifiers of installed models")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds microct")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    methods = ct_methods.PLAIN | {name: method for name, (method, _) in ct_methods.networks(options.models).items()}
    specimens = {"human, slab not trained on": "test", "mouse skull, unseen": "mouse"}
    loaded = {title: bone.cases(options.data, which) for title, which in specimens.items()}
    results = {title: {name: score(method, cases) for name, method in methods.items()} for title, cases in loaded.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(markdown(results), encoding="utf-8")
    (options.out / "figures.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
