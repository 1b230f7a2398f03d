"""The workstation: one server, its logics and their page, wired together."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import slicer
from trame.app import get_server
from trame_rca import module as trame_rca_module
from trame_server.utils.asynchronous import create_task
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow

from .downloads import Downloads
from .entries import Entry
from .evaluation_logic import EvaluationLogic
from .evaluation_ui import EvaluationUI
from .form import OptionsForm
from .gate import Gate
from .library_logic import LibraryLogic
from .library_ui import LibraryUI
from .page_ui import PageUI
from .panels import PANELS
from .region_logic import FIELD, RegionLogic
from .region_ui import RegionUI
from .runner import Runner
from .slide_logic import TASK as SLIDE_TASK
from .slide_logic import SlideLogic
from .slide_ui import SlideUI
from .task_logic import TaskLogic
from .task_ui import TaskUI
from .transfer import Transfer
from .views_logic import ViewsLogic
from .views_ui import ViewsUI

REGION_TASK = "super_resolve_ct"


class Workstation:
    """folder: a private folder for uploads and results; the caller removes it."""

    def __init__(self, folder: Path, gate: Gate) -> None:
        self.server = get_server(folder.name, client_type="vue3")
        self._folder, self._gate, self.runner, self._stopping = folder, gate, Runner(), False
        self.server.enable_module(trame_rca_module)  # before the start: its protocol cannot be added to a running server
        self._app = SlicerApp()
        _quiet_vtk()
        slicer.mrmlScene = self._app.scene  # slicer.util looks for the scene there
        self._make_logics()
        self._make_page()
        self._connect()

    def _make_logics(self) -> None:
        server, app = self.server, self._app
        self.library = LibraryLogic(server, app)
        self.region_ui = RegionUI(server)
        own = {REGION_TASK: {FIELD: self.region_ui.build}}
        self.forms = {task: OptionsForm(server, task, ("model",), own.get(task)) for task in PANELS}
        self.views = ViewsLogic(server, app)
        self.slides = SlideLogic(server, app, self.library.entries, self._folder, self.views.slice_shown)
        self.task = TaskLogic(server, app, self.forms, self.runner, self.library.entries, self._folder, self.slides)
        self.evaluation = EvaluationLogic(server, app, self.task, self.runner, self._folder)
        self.region = RegionLogic(server, app, self.forms[REGION_TASK], self.views.here, self.views.look_at)

    def _make_page(self) -> None:
        library, views, evaluation = LibraryUI(self.server), ViewsUI(self.server), EvaluationUI(self.server)
        ready, name = f"!!{self.library.name.original}", self.evaluation.name
        slide = SlideUI(self.server)
        around = {SLIDE_TASK: (slide.build_inputs, slide.build_hand)}
        evaluated, opened = f"{name.rows}.length", f"{name.is_open} = true"
        task = TaskUI(self.server, self.forms, ready, evaluated=evaluated, show_evaluation=opened, around=around)
        self.page = PageUI(self.server, library, task, views, evaluation, self.views.layout_manager)
        self.library.set_ui(library)
        self.task.set_ui(task)
        self.evaluation.set_ui(task)
        self.region.set_ui(self.region_ui)
        self.slides.set_ui(slide, self.task.note)
        self.views.set_ui(views)
        self.page.quit_clicked.connect(lambda: create_task(self.stop()))

    def _connect(self) -> None:
        for show in (self.slides.show, self.views.show, self.region.show, self.task.show, self.evaluation.show):
            self.library.shown.connect(show)
        self.task.chosen.connect(lambda task: self.region.turn(task == REGION_TASK))
        self.views.zoomed.connect(lambda on: self.region.offer_handles(not on))
        self.task.finished.connect(self.library.add)
        self.library.closed.connect(self.task.forget)
        self.library.closed.connect(self.region.forget)
        self.library.closed.connect(self.slides.forget)
        self.slides.made.connect(self.library.add)
        self.slides.moved.connect(self.views.show_moved)
        self.slides.moved.connect(self.task.say_moved)
        self.library.closed.connect(self._discard)
        downloads = Downloads(self.library.entries, self.evaluation.file, lambda sentence: self.task.note("error", sentence))
        transfer = Transfer(self._folder, self.library.open_upload, downloads.find)
        self.server.controller.on_server_bind.add(lambda web_server: self._protect(web_server.app, transfer))

    def _discard(self, gone: list[Entry]) -> None:
        """Remove the files that only closed images used: an upload may be gigabytes. What lies elsewhere is the user's."""
        used = {self._private(entry) for entry in self.library.entries.all()}
        for folder in {self._private(entry) for entry in gone} - used:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _private(self, entry: Entry) -> Path | None:
        """The folder of an upload or a result within our own; None for a file of the user's."""
        if not entry.path.is_relative_to(self._folder):
            return None
        return self._folder / entry.path.relative_to(self._folder).parts[0]

    def _protect(self, app, transfer: Transfer) -> None:
        transfer.add_routes(app)
        app.router.add_post("/paraview/", self._gate.session)  # the address is fixed in trame's client
        app.middlewares.append(self._gate.middleware())

    async def serve(self, port: int, ready) -> None:
        """Serve on the loopback interface until stopped. ready: called with the port once the page can be opened."""
        server = self.server
        server.cli.set_defaults(host="127.0.0.1", authKey=self._gate.token, timeout=0)
        server.controller.on_server_ready.add(lambda **_: ready(server.port))
        await server.start(
            exec_mode="coroutine", port=port, host="127.0.0.1", timeout=0, thread=True, open_browser=False, show_connection_info=False
        )

    def open(self, files: list[str]) -> None:
        """Open the files that the command named."""
        if files:
            create_task(self.library.load([Path(f).expanduser() for f in files]))

    async def stop(self) -> None:
        """End the job, then the server; `serve` returns. A second call does nothing."""
        if not self._stopping:
            self._stopping = True
            await asyncio.to_thread(self.runner.close)
            await self.server.stop()


def _quiet_vtk() -> None:
    """VTK's errors go to standard error once, and its warnings about trame-slicer's own calls do not."""
    vtkOutputWindow.GetInstance().SetDisplayModeToDefault()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
