"""Slices made by a learned model: each acquired slice is encoded once, each pair is compared once, then any alpha follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ..geometry import bracket
from ..run import Progress, import_torch, run_batches, run_lanes
from .synthesis import Synthesis

PERCENTILES = (1.0, 99.0)
"""Grey range of the volume that the models see as 0 to 1, linearly; nothing is clamped."""
PIXELS_AT_ONCE = 2**19
"""Pixels in a batch at most (eight slices of 256²): holds a batch within 1 GB whatever the size of the slices."""
LANES_PIXELS = 2 * PIXELS_AT_ONCE
"""Pixels in the batches of all lanes together."""
MOST_LANES = 4
TURNS = tuple((quarter, mirrored) for mirrored in (False, True) for quarter in range(4))
"""The eight quarter turns and mirrored quarter turns of a square."""


def synthesise(
    slices: np.ndarray,
    positions_mm: np.ndarray,
    targets_mm: np.ndarray,
    module: Any,
    *,
    device: str = "cpu",
    batch_size: int = 8,
    self_ensemble: bool = False,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = lambda sentence: None,
) -> Synthesis:
    """Slices at `targets_mm` between acquired ones.

    slices: (n, h, w) float32 in input units, n ≥ 2. positions_mm: (n,) increasing. targets_mm: (m,) within them.
    module: a slice network in evaluation mode (models.build) on `device`. self_ensemble: the mean of eight turned and
    mirrored runs. Memory is bounded by the batches: features of two slices are held at a time, for each lane.
    Raises ResourceError where a single slice does not fit, Cancelled where the user stops.
    """
    below, alpha = bracket(np.asarray(positions_mm, float), np.asarray(targets_mm, float))
    values = np.empty((len(below), *slices.shape[1:]), np.float32)
    error = np.zeros_like(values)
    if not len(below):
        return Synthesis(values, error)
    low, scale = intensity_range(slices)
    pairs, counts = np.unique(below, return_counts=True)
    batch_size = max(1, min(batch_size, counts.max(), PIXELS_AT_ONCE // values[0].size))

    def make(maker: _Maker, index: int) -> None:
        rows = np.flatnonzero(below == index)
        first, second = ((slices[i].astype(np.float32) - low) / scale for i in (index, index + 1))
        made, expected = maker.between(int(index), first, second, alpha[rows].astype(np.float32), int(batch_size), warn)
        values[rows], error[rows] = made * scale + low, expected * scale

    with _lanes(device, min(len(pairs), LANES_PIXELS // (batch_size * values[0].size))) as (lanes, begin):
        makers = [_Maker(module, device, TURNS if self_ensemble else TURNS[:1]) for _ in range(lanes)]
        parts = zip(makers, np.array_split(pairs, lanes), strict=True)
        calls = [[partial(make, maker, index) for index in part] for maker, part in parts]
        run_lanes(calls, begin=begin, progress=progress, message="making the slices between")
    return Synthesis(values, error)


@contextmanager
def _lanes(device: str, most: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """(how many pairs to work on side by side, what the thread of each calls first), within.

    Whole pairs side by side, each on its share of the processors, keep them busier than all on one pair, and come to the same numbers:
    much of the work on a pair does not divide, and on a busy computer the parts of what does wait for each other. An accelerator
    works on one pair at a time.
    """
    torch = import_torch()
    threads = torch.get_num_threads()
    count = max(1, min(threads, MOST_LANES, most)) if device == "cpu" else 1
    try:
        yield count, partial(torch.set_num_threads, max(1, threads // count))
    finally:
        torch.set_num_threads(threads)  # torch gives the number last set, by whatever thread, to every new thread


def intensity_range(slices: np.ndarray) -> tuple[np.float32, np.float32]:
    """(offset, scale) of the linear map to normalised units; the scale is 1 where the volume is constant."""
    low, high = np.percentile(slices, PERCENTILES)
    if high <= low:
        low, high = float(slices.min()), float(slices.max())
    return np.float32(low), np.float32(high - low if high > low else 1.0)


class _Maker:
    """Runs a module over pairs in order; keeps the features of the last slice of each turn, which begins the next pair."""

    def __init__(self, module: Any, device: str, turns: tuple[tuple[int, bool], ...]) -> None:
        self.torch = import_torch()
        self.module, self.device, self.turns = module, device, turns
        self._kept: dict[int, tuple[int, Any]] = {}

    def between(
        self, index: int, a: np.ndarray, b: np.ndarray, alpha: np.ndarray, batch_size: int, warn: Callable[[str], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(values, expected error), (m, h, w) each, normalised units, for a pair of normalised slices."""
        made = np.zeros((2, len(alpha), *a.shape), np.float32)
        flows = self._flows(a, b)
        for number, turn in enumerate(self.turns):
            with self.torch.inference_mode():
                made += self._one_turn(number, turn, index, a, b, flows, alpha, batch_size, warn)
        made /= len(self.turns)
        return made[0], made[1]

    def _flows(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.module.uses_flow:
            nothing = np.zeros((*a.shape, 2), np.float32)
            return nothing, nothing
        from ..motion import flow_between

        return flow_between(a, b), flow_between(b, a)

    def _one_turn(self, number, turn, index, a, b, flows, alpha, batch_size, warn) -> np.ndarray:
        out = np.empty((2, len(alpha), *a.shape), np.float32)
        state: dict[str, Any] = {}

        def batch(start: int, stop: int, device: str) -> None:
            if state.get("device") != device:
                self._move(device)
                state.update(device=device, pair=self._pair(number, turn, index, a, b, flows))
            at = self.torch.from_numpy(alpha[start:stop]).to(device)
            result = self.module.at(state["pair"], at)
            for k, values in enumerate((result.value, result.expected_error)):
                out[k, start:stop] = _turned_back(values[:, 0].float().cpu().numpy(), turn)

        run_batches(batch, len(alpha), batch_size=batch_size, device=self.device, warn=warn)
        return out

    def _move(self, device: str) -> None:
        if device != self.device:
            self.module, self.device = self.module.to(device), device
            self._kept.clear()

    def _pair(
        self, number: int, turn: tuple[int, bool], index: int, a: np.ndarray, b: np.ndarray, flows: tuple[np.ndarray, np.ndarray]
    ) -> Any:
        first, second = (self._tensor(_turned(image, turn)[None]) for image in (a, b))
        kept_index, features = self._kept.get(number, (-1, None))
        features = features if kept_index == index else self.module.encode(first)
        following = self.module.encode(second)
        self._kept[number] = (index + 1, following)
        there, back = (self._tensor(_turned_flow(flow, turn)) for flow in flows)
        return self.module.pair(first, second, features, following, there, back)

    def _tensor(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None].to(self.device)


def _turned(image: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    """(..., h, w) turned by quarters counter-clockwise, after mirroring along x where asked."""
    quarters, mirrored = turn
    return np.rot90(image[..., ::-1] if mirrored else image, quarters, (-2, -1))


def _turned_back(image: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    quarters, mirrored = turn
    back = np.rot90(image, -quarters, (-2, -1))
    return back[..., ::-1] if mirrored else back


def _turned_flow(flow: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    """A flow (h, w, 2) as channels (2, h, w), turned with its image: the vectors turn along."""
    x, y = (_turned(flow[..., k], turn) for k in (0, 1))
    quarters, mirrored = turn
    x = -x if mirrored else x
    for _ in range(quarters):
        x, y = y, -x
    return np.stack([x, y])
