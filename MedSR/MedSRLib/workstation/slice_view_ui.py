"""What lies over one slice view: its name, the patient's directions, the position, a slider, the overlay's legend."""

from __future__ import annotations

from dataclasses import dataclass

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.logic import connect_slice_view_slider_to_state

from ..scene.fidelity import STOPS


@dataclass
class SliceViewState:
    """The texts of one view. legend_max: largest error in the overlay's colours, "" where no overlay is shown."""

    title: str = ""
    detail: str = ""
    warning: str = ""
    color: str = "#9fb3c8"
    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""
    position: str = ""
    legend_max: str = ""


def slice_view_state(server, view) -> TypedState[SliceViewState]:
    """The typed state of one view."""
    return TypedState(server.state, SliceViewState, namespace=f"view_{view.get_singleton_tag()}")


def create_slice_view_ui(server, _view_id: str, view) -> None:
    """Called by trame-slicer inside each slice view's frame."""
    name = slice_view_state(server, view).name
    _captions(name)
    _directions(name)
    _legend(name)
    slider = connect_slice_view_slider_to_state(server, view).name
    with html.Div(classes="medsr-slider"):
        v3.VSlider(
            v_model=(slider.value,),
            min=(slider.min_value,),
            max=(slider.max_value,),
            step=(slider.step,),
            hide_details=True,
            density="compact",
            track_size=2,
            thumb_size=12,
            color="primary",
        )
        html.Span("{{ " + name.position + " }}", classes="medsr-position")


def _captions(name) -> None:
    with html.Div(classes="medsr-caption"):
        html.Span("{{ " + name.title + " }}", classes="medsr-title", style=(f"{{ color: {name.color} }}",))
        html.Span("{{ " + name.detail + " }}", classes="medsr-detail")
        html.Span("{{ " + name.warning + " }}", v_if=(name.warning,), classes="medsr-warning")


def _directions(name) -> None:
    for side in ("left", "right", "top", "bottom"):
        html.Span("{{ " + getattr(name, side) + " }}", classes=f"medsr-direction medsr-{side}")


def _legend(name) -> None:
    with html.Div(v_if=(name.legend_max,), classes="medsr-legend"):
        html.Span("expected error")
        html.Div(classes="medsr-bar", style=f"background: {_gradient()}")
        with html.Div(classes="medsr-ends"):
            html.Span("0")
            html.Span("{{ " + name.legend_max + " }}")


def _gradient() -> str:
    """The colours of the fidelity overlay as CSS, over black as the overlay lies over a dark image."""
    colors = [(place, [round(255 * c * alpha) for c in rgb]) for place, rgb, alpha in STOPS]
    return "linear-gradient(to right, " + ", ".join(f"rgb({r}, {g}, {b}) {100 * place:g}%" for place, (r, g, b) in colors) + ")"
