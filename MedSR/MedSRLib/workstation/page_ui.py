"""The page: title bar, the panel on the left, the views on the right."""

from __future__ import annotations

import base64
from pathlib import Path

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame.widgets import vuetify3 as v3
from undo_stack import Signal

from .evaluation_ui import EvaluationUI
from .library_ui import LibraryUI
from .task_ui import TaskUI
from .theme import VUETIFY
from .views_ui import ViewsUI

WEB = Path(__file__).with_name("web")
ENDPOINT = "medsr_web"
PANEL_WIDTH = 348
NARROW = 800
"""Width in pixels of a window in which the panel lies over the views and is called by a button."""
PANEL_OPEN = "panel_open"


class PageUI(VAppLayout):
    """Puts the panels together; owns no state of its own."""

    quit_clicked = Signal()

    def __init__(self, server, library: LibraryUI, task: TaskUI, views: ViewsUI, evaluation: EvaluationUI, layout_manager) -> None:
        server.enable_module({"serve": {ENDPOINT: str(WEB)}, "scripts": [f"{ENDPOINT}/medsr.js"], "styles": [f"{ENDPOINT}/medsr.css"]})
        super().__init__(server, vuetify_config=VUETIFY)
        self.root.theme = "medsr"
        server.state.trame__title = "MedSR"
        server.state.trame__favicon = "data:image/svg+xml;base64," + base64.b64encode((WEB / "logo.svg").read_bytes()).decode()
        with self:
            self._title_bar()
            drawer = {"width": PANEL_WIDTH, "mobile_breakpoint": (str(NARROW),), "color": "surface", "id": "panel"}
            with v3.VNavigationDrawer(v_model=(PANEL_OPEN, None), **drawer):
                with html.Div(classes="medsr-panel"):
                    library.build_panel()
                with html.Div(classes="medsr-panel"):
                    task.build_panel()
                with v3.Template(v_slot_append=True), html.Div(classes="medsr-actions"):
                    task.build_actions()
            with v3.VMain(style="height: 100vh"), html.Div(classes="medsr-content"):
                views.build_bar()
                with html.Div(classes="medsr-views") as self.views:
                    layout_manager.initialize_layout_grid(self)
                views.build_probe()
                library.build_welcome()
            evaluation.build_dialog()

    def _title_bar(self) -> None:
        self.server.state.client_only(PANEL_OPEN)  # a wide and a narrow tab differ in it
        with v3.VAppBar(height=52, flat=True, color="surface", border="b"):
            narrow = f"$vuetify.display.width < {NARROW}"
            toggle = f"{PANEL_OPEN} = !{PANEL_OPEN}"
            with v3.VBtn(v_if=(narrow,), icon=True, variant="text", size="small", click=toggle, id="menu", classes="ml-2"):
                v3.VIcon("mdi-menu")
            with html.Div(classes="medsr-brand"):
                html.Img(src=f"{ENDPOINT}/logo.svg", alt="")
                html.B("MedSR")
                html.Span("See more in the images you already have")
            v3.VSpacer()
            html.Span("Research software – not for diagnosis", classes="medsr-research", id="research")
            with v3.VBtn(icon=True, variant="text", size="small", classes="mr-2", click=self.quit_clicked.emit, id="quit"):
                v3.VIcon("mdi-power")
                v3.VTooltip("Stop MedSR and remove its temporary files", activator="parent", location="bottom")
