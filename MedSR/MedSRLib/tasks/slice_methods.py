"""Slice methods that need no training: linear, cubic B-spline, Lanczos, and motion-compensated (flow).

Each is a function (slices (n, h, w) float32, positions_mm (n,) increasing, targets_mm (m,), progress) -> Synthesis.
The expected error of each is half the local difference of the two slices that a voxel is made of, times 4α(1 − α):
zero at an acquired slice, largest half-way. `slice_choice` fits it to the volume.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import numpy as np

from ..errors import OptionError
from ..geometry import bracket, linear_weights, spline_weights
from ..run import Progress, run_lanes
from .synthesis import Synthesis

LANCZOS_RADIUS = 5
"""Slices on each side, as SimpleITK's sitkLanczosWindowedSinc has it (found by its impulse response)."""
EVEN = 0.01
"""Largest relative departure from the mean step of slices that count as evenly spaced."""
SMOOTH_PIXELS = 1.0
"""Gaussian width over which the difference of two slices is taken as local."""
MOST_LANES = 4
"""Pairs of slices that flow works on side by side, at most."""
NEGLIGIBLE = 1e-7
"""Weights below this are left out: less than float32 can tell beside the largest."""


def linear(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """The two neighbours mixed by distance."""
    return _by_weights(slices, positions_mm, targets_mm, linear_weights(positions_mm, targets_mm), progress)


def bspline(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """Interpolating cubic spline through the slices' true positions, with zero slope at both ends.

    Where they are evenly spaced this is the cubic B-spline with mirrored ends of SimpleITK's sitkBSpline, whose in-plane
    part is the identity on an unchanged plane grid.
    """
    return _by_weights(slices, positions_mm, targets_mm, spline_weights(positions_mm, targets_mm), progress)


def lanczos(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """Sinc windowed by a sinc of radius 5 slices, edge slices repeated, weights not normalised: as SimpleITK's.

    So the weights of a target sum to 1 within 1 % only, which a large offset of all values would show: Synthesis.gain says by how much.

    Raises OptionError where the slices are not evenly spaced: the kernel is defined on an even grid only.
    """
    steps = np.diff(positions_mm)
    if np.abs(steps - steps.mean()).max() > EVEN * steps.mean():
        raise OptionError("Lanczos needs evenly spaced slices", where="{method}", fix="use bspline, flow or linear")
    at = (np.asarray(targets_mm, float) - positions_mm[0]) / steps.mean()
    floor = np.minimum(np.floor(at + 1e-9), len(positions_mm) - 1).astype(int)
    weights = np.zeros((len(at), len(positions_mm)))
    for shift in range(1 - LANCZOS_RADIUS, LANCZOS_RADIUS + 1):
        column = floor + shift
        distance = at - column
        np.add.at(
            weights,
            (np.arange(len(at)), column.clip(0, len(positions_mm) - 1)),
            np.sinc(distance) * np.sinc(distance / LANCZOS_RADIUS),
        )
    made = _by_weights(slices, positions_mm, targets_mm, weights, progress)
    return replace(made, gain=weights.sum(axis=1))


def flow(slices: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, progress: Progress = Progress()) -> Synthesis:
    """Both neighbours warped along their optical flow to the target and mixed by distance. The flow is found once a pair."""
    from ..motion import flow_between, warps_to

    below, alpha = bracket(np.asarray(positions_mm, float), np.asarray(targets_mm, float))
    values = np.empty((len(below), *slices.shape[1:]), np.float32)
    error = np.zeros_like(values)

    def make(pair: int) -> None:
        a, b = slices[pair], slices[pair + 1]
        there, back = flow_between(a, b), flow_between(b, a)
        for row in np.flatnonzero(below == pair):
            from_a, from_b = warps_to(a, b, there, back, float(alpha[row]))
            values[row] = np.float32(1 - alpha[row]) * from_a + np.float32(alpha[row]) * from_b
            error[row] = _local(from_a - from_b) * _between(alpha[row])

    lanes = np.array_split(np.unique(below), max(1, min(MOST_LANES, os.cpu_count() or 1, len(np.unique(below)))))
    run_lanes([[partial(make, pair) for pair in lane] for lane in lanes], progress=progress, message="finding the motion between slices")
    return Synthesis(values, error)


CLASSICAL = {"linear": linear, "bspline": bspline, "lanczos": lanczos, "flow": flow}


def _by_weights(slices: np.ndarray, positions: np.ndarray, targets: np.ndarray, weights: np.ndarray, progress: Progress) -> Synthesis:
    """A method that is a weighted sum over slices; weights: (m, n)."""
    below, alpha = bracket(np.asarray(positions, float), np.asarray(targets, float))
    values = np.empty((len(below), *slices.shape[1:]), np.float32)
    error = np.zeros_like(values)
    weights = np.where(np.abs(weights) > NEGLIGIBLE, weights, 0).astype(np.float32)
    pairs = np.unique(below)
    for done, pair in enumerate(pairs):
        progress(done / len(pairs), "mixing slices")
        rows = np.flatnonzero(below == pair)
        used = np.flatnonzero(np.any(weights[rows] != 0, axis=0))
        values[rows] = np.tensordot(weights[np.ix_(rows, used)], slices[used], 1)
        difference = _local(slices[pair] - slices[min(pair + 1, len(slices) - 1)])
        error[rows] = difference * _between(alpha[rows])[:, None, None]
    progress(1.0)
    return Synthesis(values, error)


def _local(difference: np.ndarray) -> np.ndarray:
    """Half the absolute difference, averaged over the nearest pixels."""
    from scipy.ndimage import gaussian_filter

    return 0.5 * gaussian_filter(np.abs(difference), SMOOTH_PIXELS, mode="nearest", truncate=3.0)


def _between(alpha: np.ndarray) -> np.ndarray:
    share = np.asarray(alpha, np.float32)
    return 4 * share * (1 - share)
