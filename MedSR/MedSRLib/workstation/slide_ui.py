"""What a registration is given beside the MRI, and how its slide is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from undo_stack import Signal

INPUTS = {
    "slide": ("Slide", "An open slide, or a path; outlines or a label volume of the slide alone will do."),
    "mri_mask": ("Gland on the MRI", "An open label volume on the MRI's grid, or a path."),
    "outlines": (
        "Outlines on the slide",
        "QuPath GeoJSON, Aperio XML, mask picture, labels: open, or a path. They are carried onto the MRI.",
    ),
    "landmarks": ("Landmarks", "Pairs of points, as CSV: a path."),
    "transform": ("Earlier transform", "The .h5 or .tfm of an earlier run, or of a slide laid by hand: a path."),
    "case": ("Case description", "JSON that says how each slide is flipped and turned, and if known its MRI slice and pixel size: a path."),
}
"""By port: (label, what it takes)."""
MOVES = (
    ("turn-left", "mdi-rotate-left", "Turn left", {"turn": -1}),
    ("turn-right", "mdi-rotate-right", "Turn right", {"turn": 1}),
    ("mirror", "mdi-flip-horizontal", "Mirror left to right", {"mirror": 1}),
    ("smaller", "mdi-arrow-collapse", "Smaller", {"grow": -1}),
    ("larger", "mdi-arrow-expand", "Larger", {"grow": 1}),
    ("left", "mdi-arrow-left", "To the left", {"right": -1}),
    ("right", "mdi-arrow-right", "To the right", {"right": 1}),
    ("up", "mdi-arrow-up", "Up", {"down": -1}),
    ("down", "mdi-arrow-down", "Down", {"down": 1}),
)
"""(element, icon, what it does, which way)."""
STEPS = {"turn_deg": ("Turn", "°"), "shift_mm": ("Shift", "mm"), "scale_percent": ("Scale", "%")}


@dataclass
class SlideState:
    """slide, mri_mask, outlines, landmarks, transform, case: an entry's identifier, or a path. open_images: what is offered for them.

    placed: whether a slide lies on the shown MRI. moved: steps that can be taken back. start_here: whether Run begins where it lies.
    turn_deg, shift_mm, scale_percent: of one step.
    """

    slide: str = ""
    mri_mask: str = ""
    outlines: str = ""
    landmarks: str = ""
    transform: str = ""
    case: str = ""
    open_images: dict[str, list] = field(default_factory=dict)
    placed: bool = False
    moved: int = 0
    start_here: bool = False
    turn_deg: float = 5.0
    shift_mm: float = 1.0
    scale_percent: float = 2.0


class SlideUI:
    """Widgets only; what they mean is in slide_logic.py."""

    moved = Signal(dict)
    undo_clicked = Signal()
    lay_clicked = Signal()
    score_clicked = Signal()

    def __init__(self, server) -> None:
        self.typed_state = TypedState(server.state, SlideState)

    def build_inputs(self, disabled: str) -> None:
        """disabled: a JavaScript expression."""
        name = self.typed_state.name
        with html.Div(classes="medsr-form mb-3"):
            for port, (label, tip) in INPUTS.items():
                with html.Div(classes="medsr-field medsr-wide"):
                    v3.VCombobox(
                        v_model=(getattr(name, port),),
                        items=(f"{name.open_images}['{port}'] || []",),
                        return_object=False,
                        label=label,
                        placeholder="none",
                        clearable=True,
                        disabled=(disabled,),
                        hide_details=True,
                        variant="outlined",
                        density="compact",
                        color="primary",
                        id=f"input-{port}",
                    )
                    v3.VTooltip(tip, activator="parent", location="end", max_width=280, open_delay=400)

    def build_hand(self, disabled: str) -> None:
        """Where the slide lies, and how to move it."""
        name = self.typed_state.name
        with html.Div(classes="medsr-card", id="by-hand"):
            with html.Div(classes="d-flex align-center"):
                html.Span("Position by hand", classes="text-body-2")
                v3.VSpacer()
                self._lay(name, disabled)
            with html.Div(v_if=(name.placed,)):
                self._moves(name, disabled)
                self._steps(name, disabled)
                with html.Div(classes="medsr-field"):
                    look = {"label": "Run starts from here", "hide_details": True, "disabled": (disabled,)}
                    v3.VSwitch(v_model=(name.start_here,), id="start-here", **look)
                look = {"block": True, "size": "small", "variant": "tonal", "prepend_icon": "mdi-check-decagram-outline", "classes": "mt-3"}
                v3.VBtn("Score this position", click=self.score_clicked.emit, disabled=(disabled,), id="score", **look)

    def _lay(self, name, disabled: str) -> None:
        look = {"size": "small", "variant": "tonal", "prepend_icon": "mdi-hand-back-right-outline", "disabled": (disabled,)}
        with v3.VBtn("Lay slide here", v_if=(f"!{name.placed}",), click=self.lay_clicked.emit, id="lay", **look):
            v3.VTooltip("Put the slide on the MRI slice that is shown, upright, to move it from there", activator="parent", location="end")

    def _moves(self, name, disabled: str) -> None:
        with html.Div(classes="medsr-moves mt-2"):
            for element, icon, tip, way in MOVES:
                self._button(element, icon, tip, disabled, (self.moved.emit, f"[{way}]"))
            self._button("undo", "mdi-undo", "Take the last step back", f"{disabled} || !{name.moved}", self.undo_clicked.emit)

    def _button(self, element: str, icon: str, tip: str, disabled: str, click) -> None:
        with v3.VBtn(icon=True, size="x-small", variant="tonal", disabled=(disabled,), click=click, id=f"move-{element}"):
            v3.VIcon(icon)
            v3.VTooltip(tip, activator="parent", location="top")

    def _steps(self, name, disabled: str) -> None:
        with html.Div(classes="medsr-numbers mt-3"):
            for field_name, (label, unit) in STEPS.items():
                common = {"label": label, "suffix": unit, "hide_details": True, "disabled": (disabled,), "id": f"step-{field_name}"}
                v3.VTextField(v_model=(getattr(name, field_name),), type="number", step="any", min=0, **common)
