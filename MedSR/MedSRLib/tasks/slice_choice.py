"""Which method serves this volume best: leave acquired slices out, rebuild each from its neighbours, and compare.

Nothing here sees more than the slices it is given. A left-out slice is rebuilt over twice the usual gap, so the figures
are pessimistic, and a method that copes with large motion is favoured over one that needs little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import DependencyError, ModelError
from ..metrics import psnr, ssim
from ..run import Progress
from .slice_cost import cost
from .synthesis import Synthesis

Method = Callable[[np.ndarray, np.ndarray, np.ndarray, Progress], Synthesis]
"""(slices (n, h, w), positions_mm (n,), targets_mm (m,), progress) -> Synthesis."""

MOST_TARGETS, FEWEST_TARGETS = 8, 4
TRIAL_PIXELS = 2**18
"""Slices left out at most, spread evenly: as many as hold TRIAL_PIXELS together (4 of 256², 8 of 181²), within these limits. On 22
volumes 4 slices chose what 8 chose, and calibrated alike. A part of each slice would be no cheaper way to the same figures: in the
middle 160² pixels of large slices the gain over linear was far smaller, as much of it lies where the outline moves."""
FEWEST_SLICES = 3
BACKGROUND = 0.1
"""Share of the grey range (GREY_PERCENTILES) below which a pixel counts as background and is not scored."""
GREY_PERCENTILES = (1, 99)
PSNR_CEILING = 100.0
"""What an exact slice counts in dB, so that one empty slice does not make a mean infinite."""
TINY = 1e-12
MARGIN_DB = 0.25
"""How much better than linear another method has to be. Where slices resemble each other so much that little is gained, linear's
error falls faster than any other's when the gap is halved: of 15 volumes, those with a gain of 0.30 dB and more here kept one in
use, those with 0.00 and 0.15 dB (parts of a smooth isotropic T1) were 1.0 and 0.1 dB worse. One of 3 mm slices that had been
interpolated before (abdomen) looked 0.5 dB better by optical flow here and is 2 dB worse."""
PREFERENCE_DB = 0.3
"""How much better than the model optical flow has to be. Over twice the gap structures move further, which flow is made for and the
model less: where flow was ahead by 0.06 to 0.26 dB here (parts of a T1 brain, a FLAIR brain, the abdomen), the model was 0.1 to
1.3 dB better in use; where flow was right (a fetal atlas), it was ahead by 10 dB. Set on those volumes."""
LEAST_SLOPE = 0.25
"""A fitted slope below this says that the pattern of the expected error was lost over the doubled gap, not that there is none."""


@dataclass(frozen=True)
class Calibration:
    """Expected error = shape·floor + slope·raw, where `shape` is 4α(1 − α) and `raw` what the method itself expects."""

    floor: float = 0.0
    slope: float = 1.0


@dataclass(frozen=True)
class Trial:
    """One method on the left-out slices: figures a slice (dB, index), seconds, its calibration; or why it failed."""

    method: str
    psnr: tuple[float, ...] = ()
    ssim: tuple[float, ...] = ()
    seconds: float = 0.0
    calibration: Calibration = field(default_factory=Calibration)
    failed: str = ""

    def row(self) -> dict[str, object]:
        """JSON form, for the report."""
        score = {"psnr_db": _round(self.psnr, 3), "ssim": _round(self.ssim, 4)}
        return {"method": self.method, **score, "slices": len(self.psnr), "seconds": round(self.seconds, 2), "failed": self.failed}


@dataclass(frozen=True)
class Choice:
    """The method chosen, one sentence why, and every trial it rests on (none where there were too few slices)."""

    method: str
    why: str
    trials: tuple[Trial, ...] = ()

    def calibration(self, method: str) -> Calibration:
        """How to scale the expected error of a method on this volume; as it is where it was not tried."""
        return next((t.calibration for t in self.trials if t.method == method and not t.failed), Calibration())


def _round(values: tuple[float, ...], digits: int) -> float | None:
    return round(float(np.mean(values)), digits) if values else None


def left_out(count: int, most: int = MOST_TARGETS) -> np.ndarray:
    """Indices of the interior slices to leave out, at most `most`, spread evenly."""
    interior = np.arange(1, count - 1)
    if len(interior) <= most:
        return interior
    return interior[np.unique(np.linspace(0, len(interior) - 1, most).round().astype(int))]


def tried(slices: np.ndarray, most: int = MOST_TARGETS) -> np.ndarray:
    """Indices of the slices (n, h, w) that are left out to try methods; none below 3 slices."""
    return left_out(len(slices), min(most, max(FEWEST_TARGETS, TRIAL_PIXELS // slices[0].size)))


def try_methods(
    slices: np.ndarray,
    positions_mm: np.ndarray,
    methods: Mapping[str, Method],
    progress: Progress = Progress(),
    most: int = MOST_TARGETS,
) -> tuple[Trial, ...]:
    """Rebuild left-out interior slices by every method, each from the slices of the other parity. Empty below 3 slices."""
    targets = tried(slices, most)
    if not len(targets):
        return ()
    low, high = (float(p) for p in np.percentile(slices, GREY_PERCENTILES))
    trials = []
    shares = progress.shares([cost(name, len(targets), len(targets)) for name in methods])
    for (name, method), part in zip(methods.items(), shares, strict=True):
        try:
            trials.append(_try(slices, np.asarray(positions_mm, float), targets, name, method, (low, high), part))
        except (ModelError, DependencyError) as error:
            trials.append(Trial(name, failed=error.sentence()))
    return tuple(trials)


def _try(
    slices: np.ndarray,
    positions: np.ndarray,
    targets: np.ndarray,
    name: str,
    method: Method,
    grey: tuple[float, float],
    progress: Progress,
) -> Trial:
    low, high = grey
    data_range = high - low or float(np.ptp(slices)) or 1.0
    began, scores, pairs = time.perf_counter(), [], []
    for parity in (0, 1):
        rows = targets[targets % 2 != parity]
        if not len(rows):
            continue
        kept = np.arange(parity, len(slices), 2)
        kept, rows = kept, rows[(rows > kept[0]) & (rows < kept[-1])]
        if not len(rows):
            continue
        made = method(slices[kept], positions[kept], positions[rows], progress.part(parity / 2, (parity + 1) / 2))
        for truth, value, expected in zip(slices[rows], made.values, made.expected_error, strict=True):
            mask = truth > low + BACKGROUND * (high - low)
            scores.append((min(PSNR_CEILING, psnr(truth, value, data_range, mask)), ssim(truth, value, data_range, mask)))
            pairs.append((expected, np.abs(truth - value)))
    seconds = time.perf_counter() - began
    return Trial(name, tuple(s[0] for s in scores), tuple(s[1] for s in scores), seconds, _calibrate(pairs))


def _calibrate(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Calibration:
    """From (raw expectation, absolute error) of the left-out slices to a calibration for slices over the usual gap.

    Least squares gives error ≈ floor + slope·raw over twice the usual gap; where that loses the pattern (a slope near 0, a
    floor below 0), the ratio of the means. Half of what is owed to the doubled gap is then taken back: half the floor, the
    square root of the slope. On ten volumes (heart, brain, prostate, spine) this brought expected over actual error from
    1.3 (linear, flow) and 1.5 (model) to 1.1, 0.95 and 0.99 on slices that the calibration had not seen.
    """
    raw = np.concatenate([p[0].ravel() for p in pairs]).astype(np.float64)
    error = np.concatenate([p[1].ravel() for p in pairs]).astype(np.float64)
    slope = float(((raw - raw.mean()) * (error - error.mean())).mean() / max(float(raw.var()), TINY))
    floor = float(error.mean() - slope * raw.mean())
    if floor < 0 or slope < LEAST_SLOPE:
        floor, slope = 0.0, float(error.mean() / max(float(raw.mean()), TINY))
    if raw.mean() <= TINY:
        floor, slope = float(error.mean()), 1.0
    return Calibration(floor / 2, float(np.sqrt(slope)))


def choose(trials: tuple[Trial, ...], preferred: tuple[str, ...] = ("model", "flow", "linear"), why_not: str = "") -> Choice:
    """The first of `preferred` unless a later one beats it by PREFERENCE_DB; linear unless that one beats it by MARGIN_DB.

    Both by the mean PSNR of the left-out slices, which lie over twice the gap of those that will be made. why_not: why a method
    could not be tried at all (no torch, say); told in the sentence.
    """
    told = f"; {why_not}" if why_not else ""
    usable = {t.method: float(np.mean(t.psnr)) for t in trials if not t.failed and t.psnr}
    order = [name for name in preferred if name in usable]
    if not order:
        fallback = "flow" if "flow" in preferred else "linear"
        return Choice(fallback, f"too few slices to leave one out and measure, so {fallback} is used{told}", trials)
    chosen = _preferred(order, usable)
    best = max(order, key=lambda name: (round(usable[name], 4), -order.index(name)))
    slices = f"{max(len(t.psnr) for t in trials)} left-out slices"
    if chosen == best:
        others = " and ".join(f"{usable[best] - usable[n]:+.2f} dB over {n}" for n in order if n != best)
        return Choice(best, f"{best} rebuilt {slices} best ({others or 'alone'}){told}", trials)
    leads = " and ".join(f"{n} {usable[n] - usable[chosen]:+.2f} dB" for n in order if usable[n] > usable[chosen])
    return Choice(chosen, f"{chosen} is kept, as the lead over it on {slices} is too small ({leads}){told}", trials)


def _preferred(order: list[str], usable: Mapping[str, float]) -> str:
    """See `choose`; order: the preferred first."""
    chosen = order[0]
    for name in order[1:]:
        if name != "linear" and usable[name] - usable[chosen] > PREFERENCE_DB:
            chosen = name
    beaten = "linear" in usable and chosen != "linear" and usable[chosen] - usable["linear"] < MARGIN_DB
    return "linear" if beaten else chosen
