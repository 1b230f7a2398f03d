"""The page "Interpolate slices": a thick-sliced volume or cine in, the slice spacing that was asked for out."""

import sys
from pathlib import Path
from typing import Annotated

import slicer
import slicer.util
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

try:
    import MedSRLib  # noqa: F401
except ImportError:  # from the source tree, before Slicer has put the module MedSR on the path
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MedSR"))

from MedSRLib.errors import OptionError
from MedSRLib.scene import samples, thick
from MedSRLib.scene.slice_jobs import EvaluateJob, InterpolateJob
from MedSRLib.widgets import preview, viewing
from MedSRLib.widgets.options_section import OptionsSection
from MedSRLib.widgets.task_logic import RESOURCES, TaskPageLogic
from MedSRLib.widgets.task_page import UI, sentence
from MedSRLib.widgets.volume_page import VolumePage

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
        slicer.app.connect("startupCompleted()", lambda: samples.register(RESOURCES))


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


class MedSRSliceInterpWidget(VolumePage):
    apply_text = _("Interpolate slices")
    parts = (UI / "InterpolateSlices.ui",)

    def make_logic(self):
        return MedSRSliceInterpLogic()

    def set_up_page(self):
        super().set_up_page()
        self.options = OptionsSection("interpolate_slices", self.ui, METHOD_LABELS, MAY_USE_TORCH)
        self.ui.evaluateButton.connect("clicked(bool)", self.onEvaluate)

    def bound(self, parameters):
        self.options.show(parameters)

    def first_choice(self):
        return thick.thickest(slicer.mrmlScene)

    def sections(self):
        return [*super().sections(), self.ui.interpolationCollapsibleButton, self.ui.advancedCollapsibleButton]

    def refresh_page(self):
        parameters = self._parameters
        cine = preview.is_cine(parameters.inputVolume)
        self.ui.evaluateButton.enabled = parameters.inputVolume is not None and not self.panel.running
        self.ui.allFramesCheckBox.visible = cine
        self.ui.outputSelector.enabled = not (parameters.allFrames and cine)
        self.options.refresh()
        return preview.show_slices(self.ui, parameters, parameters.inputVolume)

    def start(self):
        method = self._parameters.method
        show = lambda results, outcome: self._show_result(results, outcome, measured=method == "auto")  # noqa: E731
        self._work(method, lambda: self.logic.interpolation(self._parameters), show)

    def onEvaluate(self, checked=False):
        self._work("auto", lambda: self.logic.evaluation(self._parameters), self._show_evaluation)

    def _work(self, method, make, show) -> None:
        self.work(lambda: self.logic.ensure_dependencies(method, self.panel.log), make, show)

    def _show_result(self, results, outcome, measured: bool) -> str:
        """Show the volume; returns what was made, by which method, and why by that one where it was measured."""
        viewing.show_volume(results.volume, results.fidelity)
        return self.made(results, METHOD_LABELS.get(outcome.report.get("method", ""), ""), outcome.report.get("why") if measured else "")

    def _show_evaluation(self, evaluation, outcome) -> str:
        """Show table and plot; returns what auto would choose, and why."""
        viewing.show_evaluation(evaluation.summary or evaluation.table, evaluation.chart)
        chosen = (outcome.report.get("chosen") or {}).values()
        filled = _("Filled the table {name}.").format(name=evaluation.table.GetName())
        return " ".join([filled, *(sentence(one.get("why")) for one in chosen)])


class MedSRSliceInterpLogic(TaskPageLogic):
    """Jobs from parameters."""

    need_libraries, may_use_torch = NEED_LIBRARIES, MAY_USE_TORCH

    def getParameterNode(self):
        return MedSRSliceInterpParameterNode(super().getParameterNode())

    def interpolation(self, parameters, **nodes) -> InterpolateJob:
        """The job that the page asks for. Raises MedSRError where nodes or options cannot be used.

        nodes: those of another page that has these options, instead of the parameters' own (source, and what InterpolateJob takes).
        """
        own = {
            "source": parameters.inputVolume,
            "output": parameters.outputVolume,
            "labels": parameters.segmentation,
            "fidelity": parameters.makeFidelity,
            "all_frames": parameters.allFrames,
        }
        options = {name: getattr(parameters, name) for name in OPTION_NAMES} | {"spacing_mm": preview.spacing_mm(parameters)}
        return InterpolateJob(options=options, **(nodes or own))

    def evaluation(self, parameters) -> EvaluateJob:
        """Leave-out evaluation of the input volume."""
        return EvaluateJob(parameters.inputVolume, {name: getattr(parameters, name) for name in EVALUATION_NAMES})

    def process(self, parameters, timeout_s: float = 600.0):
        """Interpolate and wait, for scripts and tests; Slicer stays alive meanwhile. Raises MedSRError."""
        return self.finish(self.interpolation(parameters), timeout_s)


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
        parameters.inputVolume = samples.load_volume(RESOURCES)
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
        parameters.inputVolume = samples.load_sequence(RESOURCES)
        parameters.method, parameters.factor, parameters.makeFidelity = "linear", 2.0, False
        results = MedSRSliceInterpLogic().process(parameters)
        self.assertEqual(results.sequence.GetNumberOfDataNodes(), 4)

    def test_error(self):
        self.delayDisplay("A spacing that is coarser than the slices is refused")
        parameters = MedSRSliceInterpLogic().getParameterNode()
        parameters.inputVolume = samples.load_volume(RESOURCES)
        parameters.method, parameters.spacing_mm = "linear", 50.0
        with self.assertRaises(OptionError):
            MedSRSliceInterpLogic().process(parameters)
