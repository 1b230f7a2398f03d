"""Figure 2 of Sander et al. 2020 for any slice model: python -m training.figures --models ID … --data FOLDER --out FOLDER.

Mid, apical and basal: three acquired slices; what the model makes of them (the outer ones reconstructed, the middle one
synthesised from them); the differences (blue negative, red positive).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "MedSR"))

from training import protocol  # noqa: E402

PLACES = {"mid": 0.5, "apical": 0.8, "basal": 0.2}
"""Where in the stack, from its first slice on. ACDC stacks begin at the base."""


def remade(slices: np.ndarray, module: Any) -> np.ndarray:
    """(3, h, w) consecutive slices → the first and last reconstructed (alpha 0 and 1), the middle synthesised from them."""
    import torch
    from MedSRLib import motion

    a, b = (torch.from_numpy(slices[k])[None, None] for k in (0, 2))
    flows = [torch.from_numpy(motion.flow_between(slices[i], slices[j])).permute(2, 0, 1)[None] for i, j in ((0, 2), (2, 0))]
    with torch.inference_mode():
        pair = module.pair(a, b, module.encode(a), module.encode(b), *flows)
        return module.at(pair, torch.tensor([0.0, 0.5, 1.0])).value[:, 0].numpy()


def draw(case: protocol.Case, module: Any, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 9, figsize=(13.5, 4.9), dpi=64)
    for block, (place, at) in enumerate(PLACES.items()):
        middle = int(round(at * (len(case.slices) - 1)))
        true = case.slices[middle - 1 : middle + 2]
        made = remade(true, module)
        for column in range(3):
            rows = ((true[column], "gray", 0, 1), (made[column], "gray", 0, 1), (made[column] - true[column], "RdBu_r", -0.5, 0.5))
            for axis, (image, colours, low, high) in zip(axes[:, 3 * block + column], rows, strict=True):
                axis.imshow(image, cmap=colours, vmin=low, vmax=high)
                axis.axis("off")
        axes[0, 3 * block + 1].set_title(place, fontsize=12)
    for row, name in enumerate(("acquired", "made", "difference")):
        figure.text(0.002, 0.78 - 0.31 * row, name, fontsize=10, va="center", rotation=90)
    figure.subplots_adjust(0.018, 0.0, 1, 0.93, 0.02, 0.06)
    figure.savefig(path)
    plt.close(figure)
    _shrunk(path)


def _shrunk(path: Path) -> None:
    """The picture in 128 greys and 128 blues to reds: a repository holds it for ever."""
    from matplotlib import colormaps
    from PIL import Image

    ramp = np.linspace(0, 1, 128)
    colours = np.concatenate([colormaps["gray"](ramp), colormaps["RdBu_r"](ramp)])[:, :3]
    palette = Image.new("P", (1, 1))
    palette.putpalette((colours * 255).round().astype(np.uint8).ravel().tolist())
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main(arguments: list[str] | None = None) -> None:
    from MedSRLib import models

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder; one figure2.png a model in a folder of its name")
    parser.add_argument("--subject", default="patient096")
    options = parser.parse_args(arguments)
    case = next(c for c in protocol.cases(options.data) if c.name == options.subject)
    for name in options.models:
        (options.out / name).mkdir(parents=True, exist_ok=True)
        draw(case, models.build(name), options.out / name / "figure2.png")


if __name__ == "__main__":
    main()
