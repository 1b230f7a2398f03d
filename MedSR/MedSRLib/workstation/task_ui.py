"""The panel of the task: its form, the button that starts and cancels it, progress, messages, the result's card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from undo_stack import Signal

from ..tasks import load
from .form import OptionsForm
from .panels import PANELS


@dataclass
class TaskState:
    """busy: a job runs. percent, left, step: how far it is. notes: [{kind, text}], the newest last. result: its card, {} for none.

    task: which one the panel shows; why: why the image is routed there. button, icon: of the button that starts it.
    cards: of the models, by task and identifier; no_model: why none fits. estimate: what a click gives, or why it is refused.
    segmentation: the entry that holds labels; labels_title, labels_hint: what this task makes of them.
    """

    task: str = ""
    why: str = ""
    button: str = ""
    icon: str = ""
    no_model: str = ""
    labels_title: str = ""
    labels_hint: str = ""
    evaluate: str = ""
    can_evaluate: bool = False
    is_possible: bool = False
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

    def __init__(
        self,
        server,
        forms: Mapping[str, OptionsForm],
        ready: str,
        evaluated: str,
        show_evaluation: str,
        around: Mapping[str, tuple[Callable[[str], None], Callable[[str], None]]],
    ) -> None:
        """forms: by task. ready, evaluated: JavaScript conditions. show_evaluation: a JavaScript statement.

        around: by task, what builds widgets before and after its form, called with the JavaScript expression of OptionsForm.build.
        """
        self._around = around
        self.typed_state, self._forms = TypedState(server.state, TaskState), forms
        self._ready, self._evaluated, self._show_evaluation = ready, evaluated, show_evaluation

    def build_panel(self) -> None:
        name = self.typed_state.name
        self._tasks(name)
        for task, form in self._forms.items():
            with html.Div(v_if=(f"{name.task} === '{task}'",)):
                before, after = self._around.get(task, (_nothing, _nothing))
                before(name.busy)
                form.build(disabled=name.busy)
                after(name.busy)
        self._labels(name)
        self._card(name)
        self._result(name)

    def build_actions(self) -> None:
        """What must stay in sight while the panel scrolls: messages, progress, buttons."""
        name = self.typed_state.name
        self._notes(name)
        self._progress(name)
        refused = f"{{ 'medsr-refused': !{name.is_possible} }}"
        shown = f"{name.estimate} && !{name.busy}"
        html.Div("{{ " + name.estimate + " }}", v_if=(shown,), classes=(f"['medsr-hint mb-2', {refused}]",), id="estimate")
        self._buttons(name)

    def _tasks(self, name) -> None:
        """What is to be done: chosen by the image, and changed by a click."""
        look = {"density": "compact", "variant": "outlined", "divided": True, "color": "primary", "disabled": (name.busy,)}
        with v3.VBtnToggle(v_model=(name.task,), mandatory=True, id="tasks", classes="medsr-tasks", **look):
            for panel in PANELS.values():
                with v3.VBtn(panel.short, value=panel.task, size="small", id=f"task-{panel.task}"):
                    v3.VTooltip(load(panel.task).SUMMARY, activator="parent", location="end", max_width=280, open_delay=400)
        html.Div("{{ " + name.why + " }}", v_if=(name.why,), classes="medsr-hint mb-4", id="why-task")

    def _labels(self, name) -> None:
        """Labels on the image's grid: offered once another image is open that could hold them."""
        with html.Div(v_if=(f"{name.labels_title} && {name.segmentations}.length > 1",), classes="mb-3"):
            v3.VSelect(
                v_model=(name.segmentation,),
                items=(name.segmentations,),
                label=(name.labels_title,),
                disabled=(name.busy,),
                hide_details=True,
                id="segmentation",
            )
            v3.VTooltip("{{ " + name.labels_hint + " }}", activator="parent", location="end", max_width=280, open_delay=400)

    def _card(self, name) -> None:
        """The card of the model that a click would use, or why there is none."""
        for task, form in self._forms.items():
            if not form.has("model"):
                continue
            used = f"{name.task} === '{task}' && ['auto', 'model'].includes({form.key('method')})"
            self._model(f"{name.cards}['{task}']?.[{form.key('model')}]", f"{used} && !{name.no_model}")
        html.Div("{{ " + name.no_model + " }}", v_if=(name.no_model,), classes="medsr-card medsr-hint", id="no-model")

    def _model(self, card: str, shown: str) -> None:
        with html.Div(v_if=(f"{card} && {shown}",), classes="medsr-card", id="card"):
            html.Div("{{ " + card + ".title }}", classes="text-body-2 font-weight-medium")
            html.Div("{{ " + card + ".text }}", classes="medsr-hint mt-1")
            html.Div("Licence: {{ " + card + ".licence }}", classes="medsr-licence mt-1")

    def _buttons(self, name) -> None:
        off = f"!{self._ready}"
        common = {"block": True, "size": "large", "id": "run"}
        v3.VBtn(
            "{{ " + name.button + " }}",
            v_if=(f"!{name.busy}",),
            color="primary",
            variant="flat",
            prepend_icon=(name.icon,),
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
            "{{ " + name.evaluate + " }}",
            v_if=(name.can_evaluate,),
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
            v_if=(f"{name.can_evaluate} && {self._evaluated}",),
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
                v3.VIcon("mdi-check-circle", v_if=(f"!{name.result}.grade",), color="success", size="small", classes="mr-2")
                html.Span("{{ " + name.result + ".name }}", classes="text-body-2 font-weight-medium text-truncate")
            self._grade(f"{name.result}.grade")
            with html.Table(classes="medsr-facts"), html.Tbody(), html.Tr(v_for=(f"fact in {name.result}.facts",), key="fact.label"):
                html.Td("{{ fact.label }}")
                html.Td("{{ fact.value }}")
            self._outlines(f"{name.result}.outlines")
            with html.Div(v_if=(f"{name.result}.invented",), classes="medsr-invented mt-2", id="invented"):
                v3.VIcon("mdi-alert-outline", size="small", classes="mr-2")
                html.Span("{{ " + name.result + ".invented }}")
            html.Div("{{ text }}", v_for=(f"text in {name.result}.warnings",), key="text", classes="medsr-licence mt-2")
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

    def _grade(self, grade: str) -> None:
        """Whether to believe a registration, in words and colour."""
        with v3.VChip(v_if=(grade,), color=(f"{grade}.colour",), label=True, classes="mb-2", id="grade"):
            v3.VIcon(icon=(f"{grade}.icon",), start=True, size="small")
            html.Span("{{ " + grade + ".words }}")

    def _outlines(self, rows: str) -> None:
        """How each outline of a registration agrees with the MRI's own."""
        with html.Table(v_if=(f"{rows}?.length",), classes="medsr-outlines mt-2", id="dice"):
            with html.Thead(), html.Tr():
                for title in ("Outline", "Dice", "HD95 mm", "mm²"):
                    html.Th(title)
            with html.Tbody(), html.Tr(v_for=(f"(row, i) in {rows}",), key="i"):
                for column in ("name", "dice", "hd95", "area"):
                    html.Td("{{ row." + column + " }}")


def _nothing(_disabled: str) -> None:
    """A form that stands alone."""
