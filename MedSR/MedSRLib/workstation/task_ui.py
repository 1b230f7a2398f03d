"""The panel of the task: its form, the button that starts and cancels it, progress, messages, the result's card."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from undo_stack import Signal

from ..tasks import load
from .form import OptionsForm


@dataclass
class TaskState:
    """busy: a job runs. percent, left, step: how far it is. notes: [{kind, text}], the newest last. result: its card, {} for none."""

    busy: bool = False
    cancelling: bool = False
    percent: float = 0.0
    left: str = ""
    step: str = ""
    notes: list[dict] = field(default_factory=list)
    result: dict = field(default_factory=dict)
    cards: dict = field(default_factory=dict)
    estimate: str = ""
    segmentation: str = ""
    segmentations: list[dict] = field(default_factory=list)


class TaskUI:
    """Widgets only; what they mean is in task_logic.py."""

    start_clicked = Signal()
    cancel_clicked = Signal()
    evaluate_clicked = Signal()

    def __init__(self, server, form: OptionsForm, ready: str, evaluated: str, show_evaluation: str) -> None:
        """ready, evaluated: JavaScript conditions. show_evaluation: a JavaScript statement."""
        self.typed_state, self._form = TypedState(server.state, TaskState), form
        self._ready, self._evaluated, self._show_evaluation = ready, evaluated, show_evaluation

    def build_panel(self) -> None:
        name, task = self.typed_state.name, load(self._form.task)
        html.Div(task.TITLE, classes="medsr-heading", title=task.SUMMARY)
        self._form.build(disabled=name.busy)
        self._segmentation(name)
        self._card(name)
        self._result(name)

    def build_actions(self) -> None:
        """What must stay in sight while the panel scrolls: messages, progress, buttons."""
        name = self.typed_state.name
        self._notes(name)
        self._progress(name)
        html.Div("{{ " + name.estimate + " }}", v_if=(f"{name.estimate} && !{name.busy}",), classes="medsr-hint mb-2", id="estimate")
        self._buttons(name, load(self._form.task).TITLE)

    def _segmentation(self, name) -> None:
        """Labels to carry along: offered once another image is open that could hold them."""
        with html.Div(v_if=(f"{name.segmentations}.length > 1",), classes="mb-3"):
            v3.VSelect(
                v_model=(name.segmentation,),
                items=(name.segmentations,),
                label="Segmentation to carry along",
                disabled=(name.busy,),
                hide_details=True,
                id="segmentation",
            )

    def _card(self, name) -> None:
        model = self._form.key("model")
        card = f"{name.cards}[{model}]"
        with html.Div(v_if=(f"{card} && ['auto', 'model'].includes({self._form.key('method')})",), classes="medsr-card", id="card"):
            html.Div("{{ " + card + ".title }}", classes="text-body-2 font-weight-medium")
            html.Div("{{ " + card + ".text }}", classes="medsr-hint mt-1")
            html.Div("Licence: {{ " + card + ".licence }}", classes="medsr-licence mt-1")

    def _buttons(self, name, title: str) -> None:
        off = f"!{self._ready}"
        common = {"block": True, "size": "large", "id": "run"}
        v3.VBtn(
            title,
            v_if=(f"!{name.busy}",),
            color="primary",
            variant="flat",
            prepend_icon="mdi-layers-plus",
            disabled=(off,),
            click=self.start_clicked.emit,
            **common,
        )
        v3.VBtn(
            "Cancel",
            v_else=True,
            color="error",
            variant="tonal",
            prepend_icon="mdi-stop",
            loading=(name.cancelling,),
            click=self.cancel_clicked.emit,
            **{**common, "id": "cancel"},
        )
        v3.VBtn(
            "Evaluate on this volume",
            block=True,
            variant="tonal",
            classes="mt-2",
            prepend_icon="mdi-chart-box-outline",
            disabled=(f"{name.busy} || {off}",),
            click=self.evaluate_clicked.emit,
            id="evaluate",
        )
        v3.VBtn(
            "Show the last evaluation",
            v_if=(self._evaluated,),
            block=True,
            variant="text",
            size="small",
            classes="mt-1",
            click=self._show_evaluation,
            id="evaluation-open",
        )

    def _progress(self, name) -> None:
        with html.Div(v_if=(name.busy,), classes="mb-3", id="progress"):
            v3.VProgressLinear(
                model_value=(name.percent,), indeterminate=(f"{name.percent} <= 0",), color="primary", height=8, rounded=True, striped=True
            )
            with html.Div(classes="d-flex medsr-hint mt-1"):
                html.Span("{{ Math.round(" + name.percent + ") }} %", id="percent", classes="mr-2")
                html.Span("{{ " + name.step + " }}", classes="text-truncate")
                v3.VSpacer()
                html.Span("{{ " + name.left + " }}", classes="ml-2 text-no-wrap")

    def _notes(self, name) -> None:
        with html.Div(classes="medsr-notes", id="notes"):
            v3.VAlert(
                v_for=(f"(note, i) in {name.notes}",),
                key="i",
                type=("note.kind",),
                text=("note.text",),
                variant="tonal",
                density="compact",
                classes="mb-2 medsr-note",
            )

    def _result(self, name) -> None:
        with html.Div(v_if=(f"{name.result}.name",), classes="medsr-card mt-2", id="result", ref="result_card"):
            with html.Div(classes="d-flex align-center mb-1"):
                v3.VIcon("mdi-check-circle", color="success", size="small", classes="mr-2")
                html.Span("{{ " + name.result + ".name }}", classes="text-body-2 font-weight-medium text-truncate")
            with html.Table(classes="medsr-facts"), html.Tbody(), html.Tr(v_for=(f"fact in {name.result}.facts",), key="fact.label"):
                html.Td("{{ fact.label }}")
                html.Td("{{ fact.value }}")
            html.Div("{{ " + name.result + ".why }}", v_if=(f"{name.result}.why",), classes="medsr-hint mt-2", id="why")
            with html.Div(classes="medsr-downloads mt-3"):
                v3.VBtn(
                    "{{ link.title }}",
                    v_for=(f"link in {name.result}.links",),
                    key="link.url",
                    href=("link.url",),
                    size="small",
                    variant="tonal",
                    prepend_icon="mdi-download",
                    id=("'download-' + link.id",),
                    raw_attrs=["download"],
                )
