"""The bar over the views: which planes, window and level, time point, fidelity overlay."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from undo_stack import Signal


@dataclass
class ViewsState:
    """mode: what is compared. zoomed: to the region of the result, where it has one. map_title, map_hint: of the fidelity overlay.

    window: the grey values shown as black and white, within [low, high], in input units."""

    mode: str = "four"
    modes: list[dict] = field(default_factory=list)
    has_volume: bool = False
    has_result: bool = False
    has_fidelity: bool = False
    window: list[float] = field(default_factory=lambda: [0.0, 1.0])
    low: float = 0.0
    high: float = 1.0
    step: float = 0.01
    window_text: str = ""
    has_own_window: bool = False
    is_ct: bool = False
    smooth: bool = False
    overlay: bool = False
    map_title: str = ""
    map_hint: str = ""
    has_region: bool = False
    zoomed: bool = True
    cursor: bool = False
    probe: str = ""
    opacity: float = 50.0
    has_slide: bool = False
    slide_opacity: float = 60.0
    squares: bool = False
    frame: int = 1
    frames: int = 1


class ViewsUI:
    """Widgets only; what they mean is in views_logic.py."""

    reset_clicked = Signal()
    auto_window_clicked = Signal()
    own_window_clicked = Signal()
    lung_window_clicked = Signal()

    def __init__(self, server) -> None:
        self.typed_state = TypedState(server.state, ViewsState)

    def build_probe(self) -> None:
        """A line for the values under the cursor; it keeps its place while there are none, so that the views keep their size."""
        name = self.typed_state.name
        with html.Div(classes="medsr-probe", v_if=(f"{name.cursor} && {name.has_volume}",)):
            html.Span("{{ " + name.probe + " }}", v_if=(name.probe,), id="probe")

    def build_bar(self) -> None:
        name = self.typed_state.name
        with html.Div(classes="medsr-bar-row", v_if=(name.has_volume,)):
            self._modes(name)
            v3.VDivider(vertical=True, classes="mx-1")
            self._window(name)
            self._frames(name)
            self._cursor(name)
            v3.VSpacer()
            self._slide(name)
            self._overlay(name)
            self._zoom(name)
            self._icon("mdi-fit-to-page-outline", "Fit the views", "fit", click=self.reset_clicked.emit)

    def _modes(self, name) -> None:
        look = {"density": "compact", "variant": "outlined", "divided": True, "color": "primary"}
        with v3.VBtnToggle(v_model=(name.mode,), mandatory=True, id="modes", **look):
            v3.VBtn(
                "{{ mode.title }}",
                v_for=(f"mode in {name.modes}",),
                key="mode.value",
                value=("mode.value",),
                size="small",
                id=("'mode-' + mode.value",),
                prepend_icon=("mode.icon",),
            )

    def _window(self, name) -> None:
        with v3.VMenu(close_on_content_click=False, location="bottom"):
            with v3.Template(v_slot_activator="{ props }"):
                v3.VBtn("Window", v_bind="props", variant="text", size="small", prepend_icon="mdi-contrast-circle", id="window")
            with v3.VCard(width=420, classes="pa-4", color="surface-light"):
                html.Div("Grey values shown: {{ " + name.window_text + " }}", classes="text-body-2 mb-2")
                limits = {"min": (name.low,), "max": (name.high,), "step": (name.step,)}
                v3.VRangeSlider(v_model=(name.window,), hide_details=True, color="primary", id="window-range", **limits)
                with html.Div(classes="d-flex align-center mt-2"):
                    v3.VSwitch(v_model=(name.smooth,), label="Smooth the pixels", hide_details=True, id="smooth")
                    v3.VSpacer()
                    look = {"size": "small", "variant": "tonal", "classes": "ml-2"}
                    v3.VBtn("File", v_if=(name.has_own_window,), click=self.own_window_clicked.emit, id="window-file", **look)
                    v3.VBtn("Lung", v_if=(name.is_ct,), click=self.lung_window_clicked.emit, id="window-lung", **look)
                    v3.VBtn("Auto", click=self.auto_window_clicked.emit, id="window-auto", **look)
                html.Div("Applies to original and result alike. Off: every stored voxel is drawn as it is.", classes="medsr-hint mt-2")

    def _frames(self, name) -> None:
        with html.Div(v_if=(f"{name.frames} > 1",), classes="medsr-frames d-flex align-center ml-2", style="width: 190px"):
            v3.VIcon("mdi-heart-pulse", size="small", classes="mr-2")
            v3.VSlider(v_model=(name.frame,), min=1, max=(name.frames,), step=1, hide_details=True, color="primary", id="frame")
            html.Span("{{ " + name.frame + " }}/{{ " + name.frames + " }}", classes="medsr-hint ml-2")

    def _cursor(self, name) -> None:
        with v3.VBtn(
            "Cursor",
            click=f"{name.cursor} = !{name.cursor}",
            variant=(f"{name.cursor} ? 'tonal' : 'text'",),
            color=(f"{name.cursor} ? 'primary' : undefined",),
            size="small",
            prepend_icon="mdi-crosshairs",
            id="cursor",
        ):
            v3.VTooltip("The same place in every view, and what is there", activator="parent", location="bottom")

    def _overlay(self, name) -> None:
        with html.Div(v_if=(name.has_fidelity,), classes="d-flex align-center"):
            with html.Div(classes="mr-3"):
                v3.VSwitch(v_model=(name.overlay,), label=(name.map_title,), hide_details=True, id="overlay")
                v3.VTooltip("{{ " + name.map_hint + " }}", activator="parent", location="bottom", max_width=320)
            v3.VSlider(
                v_if=(name.overlay,),
                v_model=(name.opacity,),
                min=0,
                max=100,
                step=1,
                hide_details=True,
                color="primary",
                style="width: 110px",
                id="opacity",
            )

    def _slide(self, name) -> None:
        """How a slide lies over its MRI: blended, or in squares."""
        with html.Div(v_if=(name.has_slide,), classes="d-flex align-center"):
            html.Span("MRI", classes="medsr-hint mr-2")
            limits = {"min": 0, "max": 100, "step": 1, "disabled": (name.squares,)}
            look = {"hide_details": True, "color": "primary", "style": "width: 150px", "id": "slide-opacity"}
            v3.VSlider(v_model=(name.slide_opacity,), **limits, **look)
            html.Span("Slide", classes="medsr-hint mx-2")
            with html.Div(classes="mr-2"):
                v3.VSwitch(v_model=(name.squares,), label="Checkerboard", hide_details=True, id="squares")
                v3.VTooltip("MRI and slide in turn: see how edges meet", activator="parent", location="bottom", max_width=320)

    def _zoom(self, name) -> None:
        """Between the region of the result and the whole scan."""
        icon = f"{name.zoomed} ? 'mdi-magnify-minus-outline' : 'mdi-magnify-plus-outline'"
        tip = f"{{{{ {name.zoomed} ? 'Show the whole scan' : 'Show the region' }}}}"
        look = {"icon": True, "variant": "text", "size": "small", "id": "zoom"}
        with v3.VBtn(v_if=(name.has_region,), click=f"{name.zoomed} = !{name.zoomed}", **look):
            v3.VIcon(icon=(icon,))
            v3.VTooltip(tip, activator="parent", location="bottom")

    def _icon(self, icon: str, tip: str, element_id: str, **events) -> None:
        with v3.VBtn(icon=True, variant="text", size="small", id=element_id, **events):
            v3.VIcon(icon)
            v3.VTooltip(tip, activator="parent", location="bottom")
