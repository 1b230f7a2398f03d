"""Figure 2 of Zheng et al. 2020 on the frozen phantoms: bronchus, nodule and vessel, as scanned, by each method, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from . import ct_methods, degrade, lung_phantom

if TYPE_CHECKING:
    from .evaluate_ct import Prepared

WINDOW_HU = (-1350.0, 150.0)
"""Lung window: level −600, width 1500."""
SIDE = 192
"""Micro-CT pixels of a crop: 24 clinical."""
ROWS = {"bronchus": lung_phantom.WALL, "nodule": lung_phantom.NODULE, "vessel": lung_phantom.VESSEL}
VIEW = 2
"""Which view of a case is shown: the sharper kernel with less noise."""


def crop(items: list[Prepared], label: int) -> tuple[int, slice, slice]:
    """(case, rows, columns) where a square of SIDE holds most of `label`, on clinical pixels."""
    best = (-1.0, 0, 0, 0)
    for index, item in enumerate(items):
        share = ndimage.uniform_filter((item.case.labels[1] == label).astype(np.float32), SIDE, mode="constant")
        half = SIDE // 2
        share[:half] = share[-half:] = share[:, :half] = share[:, -half:] = -1
        y, x = np.unravel_index(int(share.argmax()), share.shape)
        best = max(best, (float(share.max()), index, int(y), int(x)))
    top, left = ((at - SIDE // 2) // degrade.FACTOR * degrade.FACTOR for at in best[2:])
    return best[1], slice(top, top + SIDE), slice(left, left + SIDE)


def columns(item: Prepared, methods: dict[str, ct_methods.Method]) -> dict[str, np.ndarray]:
    """Title → (8h, 8w) HU."""
    view = item.case.views[VIEW]
    given = ct_methods.Scan(view.clinical, view.kernel, item.case.clinical_mm, view.noise_hu)
    scanned = np.kron(view.clinical[1], np.ones((degrade.FACTOR,) * 2, np.float32))
    return {"clinical CT": scanned} | {name: method(given) for name, method in methods.items()} | {"micro-CT": item.true}


def draw(items: list[Prepared], methods: dict[str, ct_methods.Method], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    wide, lines = len(methods) + 2, 1 + max(name.count(", ") for name in methods)
    head = 0.12 * (lines + 1)  # inches
    high = 1.6 * len(ROWS) + head
    figure, axes = plt.subplots(len(ROWS), wide, figsize=(1.6 * wide, high), dpi=110, squeeze=False)
    for number, (line, label) in enumerate(zip(axes, ROWS.values(), strict=True)):
        index, rows, cols = crop(items, label)
        for axis, (title, image) in zip(line, columns(items[index], methods).items(), strict=True):
            axis.imshow(image[rows, cols], cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="nearest")
            axis.set_axis_off()
            if number == 0:
                axis.set_title(title.replace(", ", ",\n"), fontsize=7)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - head / high, 0.02, 0.02)
    figure.savefig(path)
    plt.close(figure)
    _grey(path)


def _grey(path: Path) -> None:
    """8-bit grey: a repository holds the picture for ever."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("L")
    small.save(path, optimize=True)
