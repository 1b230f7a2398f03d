"""The region of each open image: a markups box in the scene, its numbers in the form, and the task's option `roi`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from trame_server.utils.asynchronous import get_event_loop
from trame_slicer.app.logic import BaseLogic
from vtkmodules.vtkCommonCore import vtkCommand

from ..errors import MedSRError
from ..geometry_region import Box, voxels_inside
from ..scene.region_default import default_box
from ..scene.regions import add_roi, box_of_roi, set_roi
from ..tasks.ct_region import roi_text
from .entries import Entry
from .form import OptionsForm
from .layouts import ORIENTATIONS, tag
from .region_ui import CENTRE, SIZE, RegionState, RegionUI

FIELD = "roi"
COLOR = (1.0, 0.72, 0.30)
FOLLOW_DELAY_S = 0.08
"""A box that is dragged moves with every pixel of the mouse; the numbers follow a little later."""
LOOK_DELAY_S = 0.6
ROUNDED_MM = 0.0501
"""The numbers of a box that was dragged are shown to a tenth of a millimetre."""


class RegionLogic(BaseLogic[RegionState]):
    """Keeps the box, the numbers and the option the same. form: of the task that has a region.

    here: gives the place (RAS mm) that "Region here" means, None where nothing is shown. look_at: shows a place in the views.
    """

    def __init__(
        self,
        server,
        slicer_app,
        form: OptionsForm,
        here: Callable[[], Sequence[float] | None],
        look_at: Callable[[Sequence[float]], None],
    ) -> None:
        super().__init__(server, slicer_app, RegionState)
        self._form, self._here, self._look_at = form, here, look_at
        self._original: Entry | None = None
        self._nodes: dict[str, Any] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._is_wanted, self._is_busy, self._is_waiting, self._has_handles = False, False, False, True
        fields = [getattr(self.name, field) for field in (*CENTRE, *SIZE)]
        self.bind_changes({self.name.whole: lambda _on: self._update(), tuple(fields): lambda *_values: self._typed()})

    def set_ui(self, ui: RegionUI) -> None:
        ui.here_clicked.connect(self._move_here)

    def show(self, original: Entry | None, _result: Entry | None = None) -> None:
        """Another image: its own box, made where there is none yet, and looked at."""
        is_new = original is not self._original
        self._original = original
        self._update()
        if is_new:
            self._look()

    def turn(self, on: bool) -> None:
        """Whether the chosen task works on a region; the box is shown only then."""
        is_new = on and not self._is_wanted
        self._is_wanted = on
        self._update()
        if is_new:
            self._look()

    def offer_handles(self, on: bool) -> None:
        """Show or hide the dots by which the box is sized: they would cover a view that it fills."""
        if on != self._has_handles:
            self._has_handles = on
            self._update()

    def _look_soon(self) -> None:
        """Once the typing pauses: drawing takes longer than a keystroke."""
        if self._looking is not None:
            self._looking.cancel()
        self._looking = get_event_loop().call_later(LOOK_DELAY_S, self._look)

    def _look(self) -> None:
        """Show the place of the box in the views."""
        if self._node is not None:
            place = [0.0] * 3
            self._node.GetCenterWorld(place)
            self._look_at(place)

    def forget(self, gone: Sequence[Entry]) -> None:
        """Images were closed: their boxes go with them."""
        for node in [self._nodes.pop(entry.id) for entry in gone if entry.id in self._nodes]:
            self.scene.RemoveNode(node)

    @property
    def _node(self) -> Any | None:
        """The box of the shown original."""
        if self._original is None or not self._is_wanted:
            return None
        if self._original.id not in self._nodes:
            node = add_roi(self.scene, default_box(self._original.node), f"{self._original.name} region")
            _draw_in_originals(node.GetDisplayNode())
            node.AddObserver(vtkCommand.ModifiedEvent, self._follow_soon)
            node.AddObserver(node.PointModifiedEvent, self._follow_soon)
            self._nodes[self._original.id] = node
        return self._nodes[self._original.id]

    def _update(self) -> None:
        """Show the box that counts, and take its numbers."""
        current = self._node
        for node in self._nodes.values():
            node.GetDisplayNode().SetVisibility(node is current and not self.data.whole)
            node.GetDisplayNode().SetHandlesInteractive(self._has_handles)
            node.SetNthControlPointVisibility(0, self._has_handles)
        if current is not None:
            self._follow()

    def _move_here(self) -> None:
        place, node = self._here(), self._node
        if node is not None and place is not None:
            node.SetCenterWorld(*place)
            self._follow()

    def _follow_soon(self, *_event: Any) -> None:
        if not self._is_busy and not self._is_waiting:
            self._is_waiting = True
            get_event_loop().call_later(FOLLOW_DELAY_S, self._follow_now)

    def _follow_now(self) -> None:
        self._is_waiting = False
        with self.state:
            self._follow()

    def _follow(self) -> None:
        """The box was moved: its numbers and the option follow."""
        node = self._node
        if node is None:
            return
        box = box_of_roi(node)
        for field, number in zip((*CENTRE, *SIZE), (*box.centre_mm, *box.size_mm), strict=True):
            setattr(self.data, field, f"{number:.1f}")
        self._choose(box)

    def _typed(self) -> None:
        """A number was typed: the box and the option follow."""
        node = self._node
        numbers = _numbers([getattr(self.data, field) for field in (*CENTRE, *SIZE)])
        if node is None or numbers is None:
            return
        now = box_of_roi(node)
        if np.allclose(numbers, [*now.centre_mm, *now.size_mm], rtol=0, atol=ROUNDED_MM):  # it was the box that moved
            return
        self._is_busy = True
        try:
            box = Box(numbers[:3], numbers[3:], now.axes)
            set_roi(node, box)
            self._choose(box)
            self._look_soon()
        except MedSRError as error:
            self.data.size_text = error.what
        finally:
            self._is_busy = False

    def _choose(self, box: Box) -> None:
        """Set the task's option, and say how many voxels that are."""
        whole = self.data.whole
        self._form.set(FIELD, "" if whole else roi_text(tuple(box.centre_mm), tuple(box.size_mm), box.axes))
        self.data.size_text = "" if whole or self._original is None else _voxels(self._original, box)


def _draw_in_originals(display: Any) -> None:
    """An outline with its handles, in the views of the original alone: the result is the region itself."""
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetFillVisibility(False)
    display.SetColor(*COLOR)
    display.SetSelectedColor(*COLOR)
    for orientation in ORIENTATIONS:
        display.AddViewNodeID(f"vtkMRMLSliceNode{tag('Original', orientation)}")


def _voxels(original: Entry, box: Box) -> str:
    try:
        ranges, _ = voxels_inside(original.frames[0], box)
    except MedSRError:
        return ""  # the plan says why
    return " × ".join(str(end - start) for start, end in reversed(ranges)) + " voxels"


def _numbers(texts: Sequence[Any]) -> np.ndarray | None:
    """The typed texts as numbers; None while one of them is none yet."""
    try:
        return np.array([float(text) for text in texts])
    except (TypeError, ValueError):
        return None
