"""The region that a task works on: a box of numbers, drawn in the views; or the whole volume."""

from __future__ import annotations

from dataclasses import dataclass

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from undo_stack import Signal


@dataclass
class RegionState:
    """Centre and size of the box in LPS mm, as typed. whole: the whole volume instead. size_text: the box in voxels."""

    whole: bool = False
    x: str = ""
    y: str = ""
    z: str = ""
    width: str = ""
    depth: str = ""
    height: str = ""
    size_text: str = ""


CENTRE = {"x": "x", "y": "y", "z": "z"}
SIZE = {"width": "Width", "depth": "Depth", "height": "Height"}


class RegionUI:
    """Widgets only; what they mean is in region_logic.py."""

    here_clicked = Signal()

    def __init__(self, server) -> None:
        self.typed_state = TypedState(server.state, RegionState)

    def build(self, disabled: str) -> None:
        """disabled: a JavaScript expression."""
        name = self.typed_state.name
        with html.Div(classes="medsr-region", id="region"):
            with html.Div(classes="d-flex align-center"):
                html.Span("Region of interest", classes="text-body-2")
                v3.VSpacer()
                self._here(name, disabled)
            with html.Div(v_if=(f"!{name.whole}",), classes="medsr-numbers mt-2"):
                self._numbers(name, CENTRE, disabled, "Centre of the box, LPS mm")
                self._numbers(name, SIZE, disabled, "Size of the box, mm")
            with html.Div(classes="d-flex align-center"):
                v3.VSwitch(v_model=(name.whole,), label="Whole volume", disabled=(disabled,), hide_details=True, id="region-whole")
                v3.VSpacer()
                html.Span("{{ " + name.size_text + " }}", classes="medsr-hint", id="region-size")

    def _here(self, name, disabled: str) -> None:
        look = {"size": "small", "variant": "tonal", "prepend_icon": "mdi-crosshairs-gps"}
        off = f"{disabled} || {name.whole}"
        with v3.VBtn("Region here", click=self.here_clicked.emit, disabled=(off,), id="region-here", **look):
            v3.VTooltip("Centre the box where the views meet, or at the cursor while that is on", activator="parent", location="end")

    def _numbers(self, name, fields: dict[str, str], disabled: str, tip: str) -> None:
        for field, label in fields.items():
            with html.Div(classes="medsr-field"):
                common = {"label": label, "suffix": "mm", "hide_details": True, "disabled": (disabled,), "id": f"region-{field}"}
                v3.VTextField(v_model=(getattr(name, field),), type="number", step="any", **common)
                v3.VTooltip(tip, activator="parent", location="end", open_delay=400)
