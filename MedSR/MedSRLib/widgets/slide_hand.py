"""The section of the registration's page in which a slide is laid and moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InputError
from ..scene import attributes, nudge
from ..scene.registration_results import SLIDE
from ..scene.slide_transform import CENTRE, lay

MOVES: dict[str, Callable[[float, float, float], dict[str, Any]]] = {
    "turnLeftButton": lambda turn, shift, scale: {"turn_deg": -turn},
    "turnRightButton": lambda turn, shift, scale: {"turn_deg": turn},
    "mirrorButton": lambda turn, shift, scale: {"mirror": True},
    "leftButton": lambda turn, shift, scale: {"shift_mm": (-shift, 0.0)},
    "rightButton": lambda turn, shift, scale: {"shift_mm": (shift, 0.0)},
    "upButton": lambda turn, shift, scale: {"shift_mm": (0.0, -shift)},
    "downButton": lambda turn, shift, scale: {"shift_mm": (0.0, shift)},
    "smallerButton": lambda turn, shift, scale: {"scale": 1 / scale},
    "largerButton": lambda turn, shift, scale: {"scale": scale},
}
"""What each button does, from the steps: degrees, mm, and a factor."""


class HandSection:
    """moved: called when the slide lies elsewhere. attempt: runs what a button does, and says its error on the page."""

    def __init__(self, ui: Any, attempt: Callable[[Callable[[], None]], None], moved: Callable[[], None]) -> None:
        self.ui, self._moved = ui, moved
        self._transform: Any = None
        for name, how in MOVES.items():
            getattr(ui, name).connect("clicked(bool)", lambda checked=False, how=how: attempt(lambda: self._move(how)))
        ui.undoButton.connect("clicked(bool)", lambda checked=False: attempt(self._undo))

    def show(self, transform: Any) -> None:
        """The transform that the buttons move: one that carries a slide, or None."""
        self._transform = transform if carries_slide(transform) else None
        for name in (*MOVES, "scoreButton"):
            getattr(self.ui, name).enabled = self._transform is not None
        self.ui.undoButton.enabled = self._transform is not None and nudge.nudged(self._transform) > 0

    def _move(self, how: Callable[[float, float, float], dict[str, Any]]) -> None:
        if self._transform is not None:
            steps = self.ui.turnSpinBox.value, self.ui.shiftSpinBox.value, 1 + self.ui.scaleSpinBox.value / 100
            nudge.nudge(self._transform, **how(*steps))
            self._moved()

    def _undo(self) -> None:
        if self._transform is not None and nudge.undo(self._transform):
            self._moved()


def carries_slide(transform: Any) -> bool:
    """Whether a transform node was made for a slide."""
    return transform is not None and CENTRE in attributes.read(transform)


def laid(slide: Any, mri: Any, index: int) -> Any:
    """A new transform that lays a slide's node on a slice. Raises InputError where there is nothing to lay, or nowhere."""
    if mri is None:
        raise InputError("there is no MRI to lay a slide on", fix="choose the MRI")
    if slide is None or not slide.IsA("vtkMRMLVectorVolumeNode"):
        raise InputError("no open slide is chosen", fix="open the slide first")
    transform = lay(slide, mri, index)
    transform.SetNodeReferenceID(SLIDE, slide.GetID())
    return transform
