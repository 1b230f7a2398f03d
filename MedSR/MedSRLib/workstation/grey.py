"""Which grey values are drawn as black and white, in the original and its result alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..scene.routing import why_not_ct
from ..tasks.ct_engine import LUNG_WINDOW
from .entries import Entry
from .views_ui import ViewsState
from .window import window_of

WINDOW_STEPS = 500


class GreyValues:
    """The window and the smoothing of the shown pair. data: what the page knows of them."""

    def __init__(self, data: ViewsState) -> None:
        self._data = data
        self._original: Entry | None = None
        self._result: Entry | None = None

    def show(self, original: Entry | None, result: Entry | None) -> None:
        """Another pair; an original that is new has its last window, else its file's, else that of the lung where it is CT."""
        is_new = original is not self._original
        self._original, self._result = original, result
        if original is not None and is_new:
            self._data.is_ct = not why_not_ct(original.node)
            self._set(original.own_window or (LUNG_WINDOW if self._data.is_ct else None), original.window)

    @property
    def unit(self) -> str:
        """Of the original's values; "" where it is not known."""
        if self._original is None:
            return ""
        return str(self._original.frames[0].meta.get("units") or ("HU" if self._data.is_ct else ""))

    def auto(self) -> None:
        """What the grey values suggest."""
        self._set(None)

    def lung(self) -> None:
        """The window that shows lung."""
        self._set(LUNG_WINDOW)

    def own(self) -> None:
        """What the file itself asks for."""
        self._set(self._original.own_window if self._original else None)

    def _set(self, asked: tuple[float, float] | None, seen: tuple[float, float] | None = None) -> None:
        """Show what was seen last, else what is asked for, else what the grey values suggest."""
        if self._original is None:
            return
        window, data = window_of(self._original.frames[0].array, asked), self._data
        data.has_own_window = self._original.own_window is not None
        data.low, data.high = window.lowest, window.highest
        data.step = (window.highest - window.lowest) / WINDOW_STEPS
        low, high = seen or (window.low, window.high)
        data.window = [low, high]
        self.apply(low, high)

    def apply(self, low: float, high: float) -> None:
        """Draw `low` as black and `high` as white."""
        if self._original:
            self._original.window = (low, high)
        self._data.window_text = f"{low:.4g} to {high:.4g} {self.unit}".rstrip()
        for display in self._displays():
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(low, high)
        self.smooth()

    def smooth(self) -> None:
        """Draw voxels as they are, or blended into each other, as the page says."""
        for display in self._displays():
            display.SetInterpolate(bool(self._data.smooth))

    def _displays(self) -> Iterator[Any]:
        for entry in (self._original, self._result):
            display = entry.node.GetDisplayNode() if entry and entry.node else None
            if display:
                yield display
