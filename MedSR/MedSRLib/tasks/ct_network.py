"""A network from clinical CT to eight times finer, run on tiles: what it reads, how far it looks, and how far off it may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import models
from ..errors import ModelError
from ..run import Progress, choose_device, import_torch, run_batches
from .turns import TURNS, turned, turned_back

if TYPE_CHECKING:
    from ..models import Card

TASK = "super_resolve_ct"
INSTEAD = "use {method} bicubic"
MOST_CONTEXT, LEAST_CONTEXT = 24, 4
"""Pixels that a tile reads beyond what is kept of it, at most and at least."""
PROBE = 64
"""Side of the noise in which it is measured how far a network looks."""
UNSEEN = 1e-3
"""Share of what a pixel depends on that may lie beyond the context."""
PIXELS_AT_ONCE = 2**15
"""Input pixels in a batch at most (two tiles of 128²): holds a batch within some 1 GB."""


class Network:
    """A model of this task, built and verified, on its device.

    Raises ModelError where there is none, or where it is for something else, DependencyError without torch.
    """

    def __init__(self, model_id: str, *, device: str, self_ensemble: bool, batch_size: int, warn: Callable[[str], None]) -> None:
        self.card: Card = models.for_task(model_id, TASK, INSTEAD)
        self.torch = import_torch()
        self.device = choose_device(device)
        module = models.build(self.card.id, self.device)
        if not hasattr(module, "factor") or not hasattr(module, "slices"):
            raise ModelError(f"the network {self.card.network!r} does not enlarge CT", where=self.card.id, fix="choose another {model}")
        self._module = module.requires_grad_(False)
        self._turns, self._batch_size, self._warn = TURNS if self_ensemble else TURNS[:1], batch_size, warn

    @property
    def factor(self) -> int:
        return int(self._module.factor)

    @property
    def slices(self) -> int:
        """How many neighbouring slices it reads, an odd number."""
        return int(self._module.slices)

    @property
    def gives_error(self) -> bool:
        """Whether the network gives the error that it expects of itself."""
        return hasattr(self._module, "with_error")

    @property
    def intensity(self) -> dict[str, Any] | None:
        """The card's own scale of values, {"offset", "scale", "unit"}; None for HU."""
        return self.card.valid_range.get("intensity")

    def facts(self) -> dict[str, Any]:
        """What the report says of the model."""
        return {"id": self.card.id, "sha256": self.card.sha256, "licence": self.card.licence, "device": self.device}

    @cached_property
    def context(self) -> int:
        """Pixels around a pixel that its result depends on, within MOST_CONTEXT, by the gradients in noise.

        Normalisation over the image and channel attention look at all of a tile; the share of that is small, and not counted.
        """
        torch, n = self.torch, PROBE
        noise = np.random.default_rng(0).random((1, self.slices, n, n), np.float32)
        with torch.enable_grad():
            image = torch.from_numpy(noise).to(self.device).requires_grad_(True)
            c = n // 2 * self.factor
            self._module(image)[..., c : c + self.factor, c : c + self.factor].sum().backward()
        pull = image.grad.abs().sum((0, 1)).double().cpu().numpy()
        distance = np.maximum(*(np.abs(axis - n // 2) for axis in np.mgrid[:n, :n]))
        beyond = 1 - np.cumsum(np.bincount(distance.ravel(), pull.ravel())) / max(pull.sum(), 1e-30)
        reach = int(np.argmax(beyond <= UNSEEN))
        return min(max(reach, LEAST_CONTEXT), MOST_CONTEXT)

    def run(self, windows: Sequence[np.ndarray], progress: Progress = Progress()) -> np.ndarray:
        """(n, 2, factor·h, factor·w) float32 of normalised windows (slices, h, w) of one size: the value, and how far it may be off.

        The latter is the error that the network expects of itself, or the mean departure of the self-ensemble's runs from
        their mean, whichever is larger; 0 where there is neither. Raises ResourceError, Cancelled.
        """
        images = np.stack(windows)
        made = np.empty((len(images), 2, *(self.factor * n for n in images.shape[-2:])), np.float32)
        count = max(1, min(self._batch_size, PIXELS_AT_ONCE // images[0, 0].size))

        def batch(start: int, stop: int, device: str) -> None:
            if device != self.device:
                self._module, self.device = self._module.to(device), device
            made[start:stop] = self._ensemble(images[start:stop])

        run_batches(batch, len(images), batch_size=count, device=self.device, warn=self._warn, progress=progress)
        return made

    def _ensemble(self, images: np.ndarray) -> np.ndarray:
        runs = [self._once(images, turn) for turn in self._turns]
        value, expected = np.mean(runs, axis=0).swapaxes(0, 1)
        if len(runs) > 1:
            expected = np.maximum(expected, np.mean([np.abs(run[:, 0] - value) for run in runs], axis=0))
        return np.stack([value, expected], axis=1)

    def _once(self, images: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
        """(n, 2, H, W): value and own expected error of one run."""
        entered = self.torch.from_numpy(np.ascontiguousarray(turned(images, turn))).to(self.device)
        with self.torch.inference_mode():
            if self.gives_error:
                value, error = self._module.with_error(entered)
            else:
                value = self._module(entered)
                error = self.torch.zeros_like(value)
            both = self.torch.cat([value, error], 1).float().cpu().numpy()
        return turned_back(both, turn)
