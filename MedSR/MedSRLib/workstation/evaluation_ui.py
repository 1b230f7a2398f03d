"""The evaluation on the user's own volume: a table of means with the best marked, and the box plot."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import client, html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState


@dataclass
class EvaluationState:
    """heading: of the rows' names; columns: [{key, title, hint}]; rows: [{name, cells: [{text, best}]}]; figures: URLs of pictures.

    count: how many evaluations are done. is_open: of each tab alone, so that neither a reload nor another tab opens the dialog.
    """

    count: int = 0
    is_open: bool = False
    volume: str = ""
    note: str = ""
    heading: str = ""
    columns: list[dict] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    csv: str = ""


class EvaluationUI:
    """Widgets only; what they mean is in evaluation_logic.py."""

    def __init__(self, server) -> None:
        self.typed_state = TypedState(server.state, EvaluationState)
        server.state.client_only(self.typed_state.name.is_open)

    def build_dialog(self) -> None:
        name = self.typed_state.name
        client.ClientStateChange(value=name.count, change=f"{name.is_open} = true")
        with v3.VDialog(v_model=(name.is_open,), width=1080, scrollable=True), v3.VCard(color="surface", id="evaluation"):
            with html.Div(classes="d-flex align-center px-6 pt-5"):
                html.Span("Evaluation on {{ " + name.volume + " }}", classes="text-h6 text-truncate")
                v3.VSpacer()
                common = {"size": "small", "id": "download-csv", "raw_attrs": ["download"]}
                v3.VBtn("Table (CSV)", href=(name.csv,), prepend_icon="mdi-download", variant="tonal", **common)
                close = f"{name.is_open} = false"
                v3.VBtn(icon="mdi-close", variant="text", size="small", classes="ml-2", click=close, id="evaluation-close")
            with v3.VCardText():
                html.Div("{{ " + name.note + " }}", classes="medsr-hint mb-4", id="evaluation-note")
                with html.Div(classes="medsr-scroll"):
                    self._table(name)
                html.Img(v_for=(f"url in {name.figures}",), key="url", src=("url",), classes="medsr-figure mt-5")

    def _table(self, name) -> None:
        with html.Table(classes="medsr-table", id="evaluation-table"):
            with html.Thead(), html.Tr():
                html.Th("{{ " + name.heading + " }}")
                html.Th("{{ column.title }}", v_for=(f"column in {name.columns}",), key="column.key", title=("column.hint",))
            with html.Tbody(), html.Tr(v_for=(f"row in {name.rows}",), key="row.name"):
                html.Td("{{ row.name }}")
                html.Td("{{ cell.text }}", v_for="(cell, i) in row.cells", key="i", classes=("{ 'medsr-best': cell.best }",))
