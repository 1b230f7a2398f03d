"""Pictures of fixed patches, written each epoch: how a network learns, or fails, is seen long before it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning import LightningModule
from torch import Tensor

GREY = (0.0, 1.4)
"""Black and white of a picture, normalised: −1000 to 400 HU, which holds lung and soft tissue."""
PICTURED = 4
"""Patches in a picture."""
GAP = 4
"""Pixels between two patches."""


def grey(image: Tensor, window: tuple[float, float] = GREY) -> np.ndarray:
    """(h, w) → uint8, clamped to the window."""
    low, high = window
    return (255 * ((image.detach().float().cpu() - low) / (high - low)).clamp(0, 1)).round().numpy().astype(np.uint8)


def write(path: Path, columns: list[Tensor]) -> Path:
    """One row for each patch, one column for each tensor (n, 1, h, w), all of one size; a PNG of 8-bit grey."""
    from PIL import Image

    n, _, h, w = columns[0].shape
    page = np.full((n * (h + GAP) - GAP, len(columns) * (w + GAP) - GAP), 255, np.uint8)
    for column, images in enumerate(columns):
        for row in range(n):
            y, x = row * (h + GAP), column * (w + GAP)
            page[y : y + h, x : x + w] = grey(images[row, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.png")
    Image.fromarray(page).save(partial)
    partial.replace(path)
    return path


def write_epoch(module: LightningModule, columns: list[Tensor]) -> None:
    """The first patches of a batch into grids/epoch_NNNN.png beside the run's metrics; by one process only."""
    trainer = module.trainer
    if trainer.is_global_zero and not trainer.sanity_checking:
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "grids"
        write(folder / f"epoch_{trainer.current_epoch:04d}.png", [column[:PICTURED] for column in columns])
