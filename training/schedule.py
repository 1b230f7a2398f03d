"""How the learning rate goes over a run."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import LightningModule, Trainer


def steps_of(module: LightningModule) -> int:
    """Optimiser steps of the whole run, as the trainer was told or as its epochs make."""
    given = module.trainer.max_steps
    return given if given > 0 else int(module.trainer.estimated_stepping_batches)


def epoch_of(trainer: Trainer | None, steps_per_epoch: int) -> int:
    """The epoch that a loader is made for, by the steps taken: after resuming, `current_epoch` is still that of the checkpoint."""
    return trainer.global_step // steps_per_epoch if trainer else 0


def warm_up_then_cosine(module: LightningModule, learning_rate: float, warm_up: int) -> dict[str, Any]:
    """AdamW on all parameters: a linear rise over `warm_up` steps, times a cosine that ends at zero."""
    steps = steps_of(module)
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=1e-4)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))

    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling, "interval": "step"}}
