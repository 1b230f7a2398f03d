"""How long a job will still take."""

from __future__ import annotations

import math

WARM_UP = 0.05
"""Fraction of a job in which it reads and loads: the pace of that says nothing of the pace of the rest."""
SETTLE_SECONDS = 3.0
"""Nothing is promised before work after the warm-up was watched for this long,"""
SETTLE_FRACTION = 0.03
"""and got this far."""
MEMORY_SECONDS = 8.0
"""How fast an old pace is forgotten."""


class Remaining:
    """A smoothed estimate of the seconds that are left, from fractions of the whole and the times they were reached."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._done = self._seconds = self._step = 0.0

    def update(self, fraction: float, now: float) -> float | None:
        """Seconds left at `fraction` in [0, 1] and time `now` (seconds, any origin); None while it is too early to say."""
        if fraction >= 1:
            return 0.0
        if self._start is None:
            if fraction >= WARM_UP:
                self._start = self._last = (fraction, now)
            return None
        self._learn(fraction, now)
        if self._last[1] - self._start[1] < SETTLE_SECONDS or self._last[0] - self._start[0] < SETTLE_FRACTION:
            return None
        waited = min(now - self._last[1], self._step)  # a step that takes longer than the last one is not nearly over
        return round(max(0.0, (1 - fraction) * self._seconds / self._done - waited), 1)

    def _learn(self, fraction: float, now: float) -> None:
        """Take one step into the pace, which is what was done over the seconds it took, both fading: a short step weighs little."""
        done, seconds = fraction - self._last[0], now - self._last[1]
        if done > 0 and seconds > 0:
            kept = math.exp(-seconds / MEMORY_SECONDS)
            self._done, self._seconds = kept * self._done + done, kept * self._seconds + seconds
            self._last, self._step = (fraction, now), seconds
