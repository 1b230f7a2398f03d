"""What the pages of all tasks share: a volume in, options, one job at a time, its result shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer
import slicer.util
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from .binding import Binding
from .page import JobPanel

UI = Path(__file__).resolve().parents[2] / "Resources" / "UI"
"""Where the parts of pages lie that several share, installed as in the source tree."""


class TaskPage(ScriptedLoadableModuleWidget, VTKObservationMixin):  # type: ignore[misc]
    """The widget of a task's page. A page says what differs: see the methods without an underscore.

    Its .ui file names the section of inputs `inputsCollapsibleButton`; its parameters have inputVolume.
    """

    apply_text = ""
    parts: tuple[Path, ...] = ()
    """.ui files of the options, below the page's own."""
    ending = UI
    """The .ui file of result, buttons, progress and log: the page's lower end."""

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Any = None
        self.roots: list[Any] = []
        self._parameters: Any = None
        self._bindings: list[Binding] = []
        self._entered = False
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Called by Slicer: load the page, and bind it to its parameters."""
        ScriptedLoadableModuleWidget.setup(self)
        own = Path(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.ui = SimpleNamespace(**{name: w for path in (own, *self.parts, self.ending) for name, w in vars(self.load(path)).items()})
        self.ui.applyButton.text = self.apply_text
        self.logic = self.make_logic()
        self.panel = JobPanel(self.ui, lambda specification: self.logic.start(specification), self.refresh)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.set_up_page()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(scene, scene.EndBatchProcessEvent, self._onNodeAdded)  # a scene or several files were loaded
        self._bind(self.logic.getParameterNode())

    def load(self, path: Path, above: Any = None) -> Any:
        """Add a .ui file to the page's lower end, or above another one's root; returns its widgets by name."""
        root = slicer.util.loadUI(str(path))
        if above is None:
            self.layout.addWidget(root)
        else:
            self.layout.insertWidget(self.layout.indexOf(above), root)
        root.setMRMLScene(slicer.mrmlScene)
        self.roots.append(root)
        return slicer.util.childWidgetVariables(root)

    def make_logic(self) -> Any:
        """The page's logic."""
        raise NotImplementedError

    def set_up_page(self) -> None:
        """Connect what the page alone has; called once."""

    def bindings(self, parameters: Any) -> list[Binding]:
        """Bind the parameters to the page's widgets."""
        return [Binding(parameters, vars(self.ui).values(), self.refresh)]

    def bound(self, parameters: Any) -> None:
        """Other parameters are shown now, or none."""

    def first_choice(self) -> Any:
        """The volume to preselect, None for none."""
        return None

    def refresh_page(self) -> bool:
        """Bring the page's own widgets up to date, say what the result would be; returns whether there would be one."""
        raise NotImplementedError

    def sections(self) -> list[Any]:
        """Sections that are closed to changes while a job runs."""
        return [self.ui.inputsCollapsibleButton]

    def start(self) -> None:
        """The main button was clicked: call `work`."""
        raise NotImplementedError

    def enter(self) -> None:
        """Called by Slicer when the page is opened."""
        self._entered = True
        if self._parameters is None:
            self._bind(self.logic.getParameterNode())
        self._preselect()

    def exit(self) -> None:
        """Called by Slicer when another page is opened."""
        self._entered = False
        self._bind(None)

    def cleanup(self) -> None:
        """Called by Slicer when the page goes away."""
        if self.panel is not None:  # where the page could not be made, there is nothing to end
            self.panel.close()
        self._bind(None)
        self.removeObservers()

    def _bind(self, parameters: Any) -> None:
        """Show other parameters, or none."""
        for binding in self._bindings:
            binding.close()
        self._bindings, self._parameters = [], parameters
        if parameters is not None:
            self._bindings = self.bindings(parameters)
        self.bound(parameters)
        self._preselect()
        self.refresh()

    def _preselect(self) -> None:
        if self._parameters is not None and self._parameters.inputVolume is None:
            found = self.first_choice()
            if found is not None:
                self._parameters.inputVolume = found

    def _onSceneStartClose(self, caller: Any, event: Any) -> None:
        self.panel.close()
        self._bind(None)

    def _onSceneEndClose(self, caller: Any, event: Any) -> None:
        if self._entered:
            self._bind(self.logic.getParameterNode())

    def _onNodeAdded(self, caller: Any, event: Any) -> None:
        # The node has no image yet: look once the loader is done.
        if not slicer.mrmlScene.IsBatchProcessing():
            qt.QTimer.singleShot(0, self._preselect)

    def refresh(self, caller: Any = None, event: Any = None) -> None:
        """Bring what depends on the parameters, or on a running job, up to date."""
        if self._parameters is None or self.panel is None:
            return
        ready, running = self.refresh_page(), self.panel.running
        self.ui.applyButton.enabled = running or ready
        for section in self.sections():
            section.enabled = not running

    def onApply(self, checked: bool = False) -> None:
        """The main button: start, or cancel what runs."""
        if self.panel.running:
            self.panel.cancel()
        else:
            self.start()

    def work(self, ensure: Callable[[], None], make: Callable[[], Any], show: Callable[[Any, Any], str]) -> None:
        """Make a job (and install what it needs), run it in a child process, show what it gave."""
        made: list[Any] = []

        def prepare() -> Any:
            ensure()
            made.append(make())
            specification = made[0].specification()
            for warning in made[0].warnings:
                self.panel.warn(warning)
            return specification

        done = lambda outcome: show(made[0].collect(outcome), outcome)  # noqa: E731
        self.panel.run(prepare, done, finally_=lambda: [job.close() for job in made])


def sentence(text: str | None) -> str:
    """A clause as a sentence of its own, "" for none."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""
