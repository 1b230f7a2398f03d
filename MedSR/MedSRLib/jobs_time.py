"""How long a job will still take."""

from __future__ import annotations

import math

SETTLE_SECONDS = 1.0
"""Before this much time nothing is promised."""
MEMORY_SECONDS = 8.0
"""How fast an old speed is forgotten."""


class Remaining:
    """A smoothed estimate of the seconds that are left, from fractions of the whole and the times they were reached."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._last = (0.0, 0.0)
        self._speed = 0.0

    def update(self, fraction: float, now: float) -> float | None:
        """Seconds left at `fraction` in [0, 1] and time `now` (seconds, any origin); None while it is too early to say."""
        if self._start is None:
            self._start, self._last = now, (fraction, now)
            return None
        last_fraction, last_time = self._last
        if now > last_time and fraction > last_fraction:
            self._learn((fraction - last_fraction) / (now - last_time), now - last_time)
            self._last = (fraction, now)
        if fraction >= 1:
            return 0.0
        if now - self._start < SETTLE_SECONDS or self._speed <= 0:
            return None
        return round(max(0.0, (1 - fraction) / self._speed - (now - self._last[1])), 1)

    def _learn(self, speed: float, seconds: float) -> None:
        weight = 1 - math.exp(-seconds / MEMORY_SECONDS) if self._speed else 1.0
        self._speed += weight * (speed - self._speed)
