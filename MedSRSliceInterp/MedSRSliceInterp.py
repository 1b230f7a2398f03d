"""The page "Interpolate slices": a thick-sliced volume or cine in, the slice spacing that was asked for out."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import qt
import slicer
import slicer.util
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

try:
    import MedSRLib
except ImportError:  # from the source tree, before Slicer has put the module MedSR on the path
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MedSR"))
    import MedSRLib

from MedSRLib import jobs
from MedSRLib.errors import Cancelled, DependencyError, OptionError
from MedSRLib.scene import fidelity, samples, thick
from MedSRLib.scene.slice_jobs import EvaluateJob, InterpolateJob
from MedSRLib.widgets import cards, dependencies, preview, viewing
from MedSRLib.widgets.page import JobPanel

HOME = Path(MedSRLib.__file__).resolve().parents[1]
"""Where the module MedSR lies: in the source tree its own folder, installed the folder that all modules share."""
OPTION_NAMES = ("spacing_mm", "factor", "method", "model", "axis", "device", "batch_size", "self_ensemble", "allow_shear")
EVALUATION_NAMES = ("axis", "device", "batch_size", "self_ensemble")
METHOD_LABELS = {
    "auto": _("Best for this volume (measured)"),
    "model": _("Learned model"),
    "flow": _("Optical flow"),
    "bspline": _("B-spline"),
    "lanczos": _("Lanczos"),
    "linear": _("Linear"),
}
NEED_LIBRARIES, MAY_USE_TORCH = ("auto", "model", "flow"), ("auto", "model")


class MedSRSliceInterp(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Interpolate slices")
        parent.categories = [_("Super-resolution")]
        parent.dependencies = []
        parent.contributors = ["The MedSR developers"]
        parent.helpText = _(
            "Gives a thick-sliced volume (cardiac cine, prostate T2, brain FLAIR) the slice spacing you ask for, with a map of what to "
            "trust, and measures on your own volume how much better it is than linear interpolation. Research software: not for "
            'diagnosis. See the <a href="https://github.com/SlicerMedSR/SlicerMedSR">documentation</a>.'
        )
        parent.acknowledgementText = _(
            "After Sander, de Vos and Isgum, Unsupervised super-resolution: creating high-resolution medical images from low-resolution "
            "anisotropic examples. Each model's page says what it was trained on and under which licence it comes."
        )
        slicer.app.connect("startupCompleted()", lambda: samples.register(HOME / "Resources"))


@parameterNodeWrapper
class MedSRSliceInterpParameterNode:
    """What the page shows, saved with the scene. Fields with an underscore or of one word are the task's Options."""

    inputVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    outputVolume: vtkMRMLScalarVolumeNode
    allFrames: bool = True
    makeFidelity: bool = True
    spacing_mm: Annotated[float, WithinRange(0.0, 1000.0)] = 0.0
    factor: Annotated[float, WithinRange(0.0, 64.0)] = 0.0
    method: Annotated[str, Choice(["auto", "model", "flow", "bspline", "lanczos", "linear"])] = "auto"
    model: str = ""
    axis: Annotated[str, Choice(["auto", "i", "j", "k"])] = "auto"
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    batch_size: Annotated[int, WithinRange(1, 256)] = 8
    self_ensemble: bool = False
    allow_shear: bool = False


class MedSRSliceInterpWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self.logic, self.panel, self._cards, self._card_text = None, None, [], ""
        self._parameters, self._gui, self._entered = None, None, False
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        page = slicer.util.loadUI(self.resourcePath("UI/MedSRSliceInterp.ui"))
        self.layout.addWidget(page)
        self.ui = slicer.util.childWidgetVariables(page)
        page.setMRMLScene(slicer.mrmlScene)
        self.logic = MedSRSliceInterpLogic()
        self.panel = JobPanel(self.ui, lambda specification: self.logic.start(specification), self.refresh)
        self._fill_models()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.evaluateButton.connect("clicked(bool)", self.onEvaluate)
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self._onModel)
        self.ui.showFidelityCheckBox.connect("toggled(bool)", self._onShowFidelity)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(scene, scene.EndBatchProcessEvent, self._onNodeAdded)  # a scene or several files were loaded
        self._bind(self.logic.getParameterNode())

    def enter(self):
        self._entered = True
        if self._parameters is None:
            self._bind(self.logic.getParameterNode())
        self._preselect()

    def exit(self):
        self._entered = False
        self._bind(None)

    def cleanup(self):
        if self.panel is not None:  # where the page could not be made, there is nothing to end
            self.panel.close()
        self._bind(None)
        self.removeObservers()

    def _bind(self, parameters: Any) -> None:
        """Show other parameters, or none."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui)
            self.removeObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.refresh)
        self._parameters = parameters
        if parameters is not None:
            self._gui = parameters.connectParametersToGui(self._parameter_widgets())
            self._label_methods()
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.refresh)
            self._preselect()
            self.refresh()

    def _parameter_widgets(self) -> dict[str, Any]:
        """{parameter: widget}. Slicer's own connectGui finds them too, but returns no tag, so that they could never be disconnected."""
        named = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        return {name: widget for name, widget in named.items() if name}

    def _label_methods(self) -> None:
        """Readable words: the wrapper fills the list with the bare choices, and goes by their order."""
        for index, label in enumerate(METHOD_LABELS.values()):
            self.ui.methodComboBox.setItemText(index, label)

    def _preselect(self) -> None:
        """Choose the thickest-sliced volume where none is chosen."""
        if self._parameters is not None and self._parameters.inputVolume is None:
            found = thick.thickest(slicer.mrmlScene)
            if found is not None:
                self._parameters.inputVolume = found

    def _onSceneStartClose(self, caller, event):
        self.panel.close()
        self._bind(None)

    def _onSceneEndClose(self, caller, event):
        if self._entered:
            self._bind(self.logic.getParameterNode())

    def _onNodeAdded(self, caller, event):
        # The node has no image yet: look once the loader is done.
        if not slicer.mrmlScene.IsBatchProcessing():
            qt.QTimer.singleShot(0, self._preselect)

    def _fill_models(self) -> None:
        self._cards = cards.for_task("interpolate_slices")
        for identifier, title in cards.choices(self._cards):
            self.ui.modelComboBox.addItem(title, identifier)

    def _onModel(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.model = self.ui.modelComboBox.itemData(index) or ""

    def _onShowFidelity(self, shown: bool) -> None:
        found = fidelity.map_of(self._parameters.inputVolume) if self._parameters is not None else None
        if found is not None:
            viewing.show_map(found, shown)

    def refresh(self, caller=None, event=None):
        """Bring what depends on the parameters, or on a running job, up to date."""
        if self._parameters is None or self.panel is None:
            return
        ready = self._refresh_preview()
        running, chosen = self.panel.running, self._parameters.inputVolume is not None
        self.ui.applyButton.enabled = running or ready
        self.ui.evaluateButton.enabled = chosen and not running
        for section in (self.ui.inputsCollapsibleButton, self.ui.interpolationCollapsibleButton, self.ui.outputsCollapsibleButton):
            section.enabled = not running
        self.ui.advancedCollapsibleButton.enabled = not running
        self.ui.showFidelityCheckBox.enabled = fidelity.map_of(self._parameters.inputVolume) is not None
        self._refresh_model()

    def _refresh_preview(self) -> bool:
        """Say what the result would be; False where the engine would refuse."""
        parameters = self._parameters
        self.ui.spacingSpinBox.enabled = parameters.factor == 0
        self.ui.allFramesCheckBox.visible = preview.is_cine(parameters.inputVolume)
        self.ui.outputSelector.enabled = not (parameters.allFrames and preview.is_cine(parameters.inputVolume))
        self.ui.spacingSpinBox.specialValueText = preview.isotropic_text(parameters.inputVolume, parameters.axis)
        spacing, shear = _spacing_mm(parameters), parameters.allow_shear
        text, possible = preview.result_text(parameters.inputVolume, spacing, parameters.factor, parameters.axis, shear)
        self.ui.previewLabel.text = text
        return possible

    def _refresh_model(self) -> None:
        """The card of the chosen model, or of the one that would be used, before Apply."""
        used = self._parameters.method in MAY_USE_TORCH
        self.ui.modelComboBox.enabled = used
        index = self.ui.modelComboBox.findData(self._parameters.model)
        if index >= 0 and index != self.ui.modelComboBox.currentIndex:
            self.ui.modelComboBox.currentIndex = index
        method = self._parameters.method
        text = cards.html(self._cards, self._parameters.model, method) if used else cards.method_html(method)
        if text != self._card_text:  # set again, the text would jump back to its top
            self._card_text = text
            self.ui.cardBrowser.setHtml(text)

    def onApply(self, checked=False):
        if self.panel.running:
            self.panel.cancel()
            return
        method = self._parameters.method
        show = lambda results, outcome: self._show_result(results, outcome, measured=method == "auto")  # noqa: E731
        self._work(method, lambda: self.logic.interpolation(self._parameters), show)

    def onEvaluate(self, checked=False):
        self._work("auto", lambda: self.logic.evaluation(self._parameters), self._show_evaluation)

    def _work(self, method, make, show) -> None:
        """Make a job (and install what it needs), run it in a child process, show what it gave."""
        work = []

        def prepare():
            self.logic.ensure_dependencies(method, self.panel.log)
            work.append(make())
            specification = work[0].specification()
            for warning in work[0].warnings:
                self.panel.warn(warning)
            return specification

        self.panel.run(prepare, lambda outcome: show(work[0].collect(outcome), outcome), finally_=lambda: [job.close() for job in work])

    def _show_result(self, results, outcome, measured: bool) -> str:
        """Show the volume; returns what was made, by which method, and why by that one where it was measured."""
        self.ui.showFidelityCheckBox.checked = False
        viewing.show_volume(results.volume, results.fidelity)
        method = METHOD_LABELS.get(outcome.report.get("method", ""), "")
        made = _("Made {name} by: {method}.").format(name=results.volume.GetName(), method=method)
        return f"{made} {_sentence(outcome.report.get('why'))}" if measured else made

    def _show_evaluation(self, evaluation, outcome) -> str:
        """Show table and plot; returns what auto would choose, and why."""
        viewing.show_evaluation(evaluation.summary or evaluation.table, evaluation.chart)
        chosen = (outcome.report.get("chosen") or {}).values()
        filled = _("Filled the table {name}.").format(name=evaluation.table.GetName())
        return " ".join([filled, *(_sentence(one.get("why")) for one in chosen)])


def _spacing_mm(parameters: Any) -> float:
    """The spacing that counts: none where a factor is given, as the engine takes one of them only."""
    return 0.0 if parameters.factor else parameters.spacing_mm


def _sentence(text: str | None) -> str:
    """A clause as a sentence of its own, "" for none."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


class MedSRSliceInterpLogic(ScriptedLoadableModuleLogic):
    """Jobs from parameters. start: how a job is started; tests pass a stand-in."""

    def __init__(self, start=jobs.start):
        ScriptedLoadableModuleLogic.__init__(self)
        self.start = start
        self._asked = False

    def getParameterNode(self):
        return MedSRSliceInterpParameterNode(super().getParameterNode())

    def interpolation(self, parameters) -> InterpolateJob:
        """The job that the page asks for. Raises MedSRError where nodes or options cannot be used."""
        return InterpolateJob(
            parameters.inputVolume,
            {name: getattr(parameters, name) for name in OPTION_NAMES} | {"spacing_mm": _spacing_mm(parameters)},
            output=parameters.outputVolume,
            labels=parameters.segmentation,
            fidelity=parameters.makeFidelity,
            all_frames=parameters.allFrames,
        )

    def evaluation(self, parameters) -> EvaluateJob:
        """Leave-out evaluation of the input volume."""
        return EvaluateJob(parameters.inputVolume, {name: getattr(parameters, name) for name in EVALUATION_NAMES})

    def ensure_dependencies(self, method: str, log=lambda text: None) -> None:
        """Install what the method needs, after asking; without torch the methods that need none still run.

        Raises DependencyError where the method cannot run.
        """
        if method not in NEED_LIBRARIES:
            return
        if method == "auto" and self._asked:
            return
        try:
            dependencies.ensure(HOME / "Resources" / "requirements.txt", "MedSR")
            if method in MAY_USE_TORCH:
                dependencies.ensure_torch()
        except DependencyError as error:
            if method != "auto":
                raise
            log(f"{error.sentence()} Meanwhile the methods that can run are compared.")
        self._asked = True  # once a session: auto runs with what there is

    def process(self, parameters, timeout_s: float = 600.0):
        """Interpolate and wait, for scripts and tests; Slicer stays alive meanwhile. Raises MedSRError."""
        work = self.interpolation(parameters)
        try:
            job = self.start(work.specification())
            deadline = time.monotonic() + timeout_s
            while not job.finished:
                job.poll()
                slicer.app.processEvents()
                time.sleep(0.02)
                if time.monotonic() > deadline:
                    job.cancel()
                    raise Cancelled("the time given ran out")
            return work.collect(job.outcome())
        finally:
            work.close()


class MedSRSliceInterpTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, or ctest) on the sample that ships, with methods that need no installation."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (self.test_volume, self.test_sequence, self.test_error):
            self.setUp()
            test()

    def test_volume(self):
        self.delayDisplay("A volume gets thinner slices")
        parameters = MedSRSliceInterpLogic().getParameterNode()
        parameters.inputVolume = samples.load_volume(HOME / "Resources")
        self.assertIs(thick.thickest(slicer.mrmlScene), parameters.inputVolume)
        parameters.method, parameters.factor = "linear", 2.0
        results = MedSRSliceInterpLogic().process(parameters)
        before, after = parameters.inputVolume, results.volume
        self.assertEqual(after.GetImageData().GetDimensions()[2], 2 * before.GetImageData().GetDimensions()[2] - 1)
        self.assertAlmostEqual(after.GetSpacing()[2], before.GetSpacing()[2] / 2, 4)
        acquired = slicer.util.arrayFromVolume(before)
        self.assertTrue((slicer.util.arrayFromVolume(after)[::2] == acquired).all())
        self.assertEqual(slicer.util.arrayFromVolume(results.fidelity)[::2].max(), 0)

    def test_sequence(self):
        self.delayDisplay("A sequence gives a sequence")
        parameters = MedSRSliceInterpLogic().getParameterNode()
        parameters.inputVolume = samples.load_sequence(HOME / "Resources")
        parameters.method, parameters.factor, parameters.makeFidelity = "linear", 2.0, False
        results = MedSRSliceInterpLogic().process(parameters)
        self.assertEqual(results.sequence.GetNumberOfDataNodes(), 4)

    def test_error(self):
        self.delayDisplay("A spacing that is coarser than the slices is refused")
        parameters = MedSRSliceInterpLogic().getParameterNode()
        parameters.inputVolume = samples.load_volume(HOME / "Resources")
        parameters.method, parameters.spacing_mm = "linear", 50.0
        with self.assertRaises(OptionError):
            MedSRSliceInterpLogic().process(parameters)
