"""The list of open images, and the ways to open one: drop, pick, path, sample."""

from __future__ import annotations

from dataclasses import dataclass, field

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server.utils.typed_state import TypedState
from undo_stack import Signal

KIND_ICONS = "{ volume: 'mdi-layers-outline', slide: 'mdi-microscope', outlines: 'mdi-vector-polygon' }"
ROW_ICON = f"row.is_result ? 'mdi-layers-plus' : ({KIND_ICONS})[row.kind]"


@dataclass
class LibraryState:
    """message: why the last image could not be opened. series: the choices where a folder holds several images.

    samples: [{file, title, icon}] of what ships.
    """

    rows: list[dict] = field(default_factory=list)
    original: str = ""
    result: str = ""
    path: str = ""
    loading: bool = False
    upload_percent: float = 0.0
    message: str = ""
    samples: list[dict] = field(default_factory=list)
    series_open: bool = False
    series: list[dict] = field(default_factory=list)
    series_choice: str = ""


class LibraryUI:
    """Widgets only; what they mean is in library_logic.py."""

    path_entered = Signal()
    sample_clicked = Signal(str)
    series_chosen = Signal()
    entry_clicked = Signal(str)
    entry_closed = Signal(str)

    def __init__(self, server) -> None:
        self.typed_state = TypedState(server.state, LibraryState)
        server.trigger("close_entry")(self.entry_closed.emit)

    def build_panel(self) -> None:
        name = self.typed_state.name
        html.Div("Images", classes="medsr-heading")
        self._open_buttons(name)
        v3.VTextField(
            v_model=(name.path,),
            placeholder="or a path on this computer",
            hide_details=True,
            append_inner_icon="mdi-arrow-right-circle",
            click_appendInner=self.path_entered.emit,
            enter=self.path_entered.emit,
            __events=[("enter", "keydown.enter")],
            id="path",
            classes="mb-2",
            loading=(name.loading,),
        )
        percent = name.upload_percent
        v3.VProgressLinear(v_if=(f"{percent} > 0",), model_value=(percent,), color="primary", height=4, classes="mb-2")
        v3.VAlert(
            v_if=(name.message,),
            text=(name.message,),
            type="error",
            variant="tonal",
            density="compact",
            closable=True,
            close=f"{name.message} = ''",
            __events=[("close", "click:close")],
            id="load-message",
            classes="mb-2",
        )
        self._list(name)
        self._series_dialog(name)

    def build_welcome(self) -> None:
        """What the page shows before anything is open."""
        name = self.typed_state.name
        with html.Div(v_if=(f"!{name.original}",), classes="medsr-welcome", id="welcome"), html.Div(classes="medsr-drop"):
            v3.VIcon("mdi-tray-arrow-down", size=56, color="primary", v_if=(f"!{name.loading}",))
            v3.VProgressCircular(indeterminate=True, size=56, color="primary", v_if=(name.loading,))
            html.Div("Drop a CT, an MRI or a slide here", classes="text-h6 mt-4")
            html.Div(
                "NRRD, NIfTI, MetaImage, a DICOM folder; SVS, NDPI, TIFF, PNG; GeoJSON, XML. Nothing leaves this computer.",
                classes="medsr-hint mt-1 mb-5",
            )
            with html.Div(classes="d-flex justify-center flex-wrap", style="gap: 10px"):
                v3.VBtn("Open files", prepend_icon="mdi-file-outline", variant="tonal", click="window.medsr.pick(false)")
                v3.VBtn("Open folder", prepend_icon="mdi-folder-outline", variant="tonal", click="window.medsr.pick(true)")
            with html.Div(classes="d-flex justify-center flex-wrap mt-3", style="gap: 10px"):
                v3.VBtn(
                    "Open the {{ one.title }}",
                    v_for=(f"one in {name.samples}",),
                    key="one.file",
                    prepend_icon=("one.icon",),
                    color="primary",
                    click=(self.sample_clicked.emit, "[one.file]"),
                    id=("'sample-' + one.file.split('.')[0]",),
                    disabled=(name.loading,),
                )

    def _open_buttons(self, name) -> None:
        with html.Div(classes="d-flex mb-2", style="gap: 8px"):
            common = {"size": "small", "variant": "tonal", "classes": "flex-grow-1", "disabled": (name.loading,)}
            v3.VBtn("Files", prepend_icon="mdi-file-outline", click="window.medsr.pick(false)", id="open-files", **common)
            v3.VBtn("Folder", prepend_icon="mdi-folder-outline", click="window.medsr.pick(true)", id="open-folder", **common)
            with v3.VMenu(location="bottom end"):
                with v3.Template(v_slot_activator="{ props }"):
                    icon = "mdi-flask-outline"
                    v3.VBtn("Sample", v_if=(f"{name.samples}.length",), v_bind="props", prepend_icon=icon, id="open-sample", **common)
                with v3.VList(density="compact", bg_color="surface-light"):
                    v3.VListItem(
                        v_for=(f"one in {name.samples}",),
                        key="one.file",
                        title=("one.title",),
                        prepend_icon=("one.icon",),
                        click=(self.sample_clicked.emit, "[one.file]"),
                    )

    def _list(self, name) -> None:
        chosen = f"row.id === {name.original} || row.id === {name.result}"
        with (
            html.Div(id="volumes"),
            html.Div(
                v_for=(f"row in {name.rows}",),
                key="row.id",
                classes=(f"['medsr-row', {{ 'medsr-chosen': {chosen}, 'medsr-child': row.is_result }}]",),
                click=(self.entry_clicked.emit, "[row.id]"),
            ),
        ):
            v3.VIcon(icon=(ROW_ICON,), size="small", classes="mr-3")
            with html.Div(classes="flex-grow-1", style="min-width: 0"):
                with html.Div(classes="d-flex align-center"):
                    html.Span("{{ row.name }}", classes="text-body-2 text-truncate", title=("row.name",))
                    v3.VChip("{{ row.modality }}", v_if="row.modality", size="x-small", classes="ml-2", label=True)
                html.Div("{{ row.size }}", classes="medsr-hint")
                html.Div("{{ row.spacing }}", classes="medsr-hint")
            v3.VBtn(icon="mdi-close", size="x-small", variant="text", click="$event.stopPropagation(); trigger('close_entry', [row.id])")

    def _series_dialog(self, name) -> None:
        with v3.VDialog(v_model=(name.series_open,), width=640, scrollable=True), v3.VCard(title="Which image?", color="surface"):
            with v3.VCardText():
                html.Div("There are several images in this folder.", classes="medsr-hint mb-2")
                with (
                    v3.VRadioGroup(v_model=(name.series_choice,), hide_details=True, id="series"),
                    v3.VRadio(v_for=(f"one in {name.series}",), key="one.uid", value=("one.uid",), color="primary"),
                    v3.Template(v_slot_label=True),
                    html.Div(classes="py-1"),
                ):
                    html.Div("{{ one.description }}", classes="text-body-2")
                    html.Div("{{ one.detail }}", classes="medsr-hint")
            with v3.VCardActions():
                v3.VSpacer()
                v3.VBtn("Cancel", variant="text", click=f"{name.series_open} = false")
                v3.VBtn("Open", color="primary", variant="flat", click=self.series_chosen.emit, id="series-open")
