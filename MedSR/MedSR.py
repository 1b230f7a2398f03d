"""The page "MedSR": a CT or a thick-sliced volume in, and out of it what its task can make; button "Super-resolve volume"."""

from typing import Annotated

import slicer
import slicer.util
import vtk
from MedSRLib.errors import InputError
from MedSRLib.scene import regions, routing, samples
from MedSRLib.scene.ct_jobs import SuperResolveJob
from MedSRLib.scene.region_default import add_default_roi, default_box
from MedSRLib.widgets import preview, viewing
from MedSRLib.widgets.binding import Binding
from MedSRLib.widgets.options_section import OptionsSection
from MedSRLib.widgets.task_logic import RESOURCES, TaskPageLogic
from MedSRLib.widgets.task_page import UI
from MedSRLib.widgets.volume_page import VolumePage
from slicer import vtkMRMLDisplayableNode, vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

SLICES_MODULE = "MedSRSliceInterp"
"""The module whose options this page has too, for thick-sliced volumes."""
OPTION_NAMES = (
    "method", "model", "region", "consistent", "slice_spacing_mm", "any_modality", "device", "self_ensemble", "tile", "overlap",
    "batch_size",
)  # fmt: skip
"""Options of super_resolve_ct but for `roi`, which is a node here."""
TASK_LABELS = {"auto": _("By the volume"), routing.CT: _("Super-resolve CT"), routing.SLICES: _("Interpolate slices")}
METHOD_LABELS = {"model": _("Learned model"), "bicubic": _("Bicubic")}
LEARNED = ("model",)


class MedSR(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MedSR")
        parent.categories = [_("Super-resolution")]
        parent.dependencies = [SLICES_MODULE]
        parent.contributors = ["The MedSR developers"]
        parent.helpText = _(
            "Makes the pixels of a region of a CT eight times finer per side, with a map of what to trust; interpolates the slices of a "
            "thick-sliced volume. The volume decides which. Research software: not for diagnosis. "
            'See the <a href="https://github.com/SlicerMedSR/SlicerMedSR">documentation</a>.'
        )
        parent.acknowledgementText = _(
            "After Zheng et al., Multi-modality super-resolution loss for GAN-based super-resolution of clinical CT images using micro CT "
            "image database. Each model's page says what it was trained on and under which licence it comes."
        )


@parameterNodeWrapper
class MedSRParameterNode:
    """What the page shows, saved with the scene. Fields with an underscore or of one word are the task's Options, but `task` and `roi`."""

    inputVolume: vtkMRMLScalarVolumeNode
    task: Annotated[str, Choice(["auto", "super_resolve_ct", "interpolate_slices"])] = "auto"
    allFrames: bool = True
    roi: vtkMRMLMarkupsROINode
    maskNode: vtkMRMLDisplayableNode
    outputVolume: vtkMRMLScalarVolumeNode
    makeFidelity: bool = True
    method: Annotated[str, Choice(["model", "bicubic"])] = "model"
    model: str = ""
    region: Annotated[str, Choice(["auto", "lungs", "all"])] = "auto"
    consistent: bool = False
    slice_spacing_mm: Annotated[float, WithinRange(0.0, 1000.0)] = 0.0
    any_modality: bool = False
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    self_ensemble: bool = False
    tile: Annotated[int, WithinRange(16, 1024)] = 128
    overlap: Annotated[int, WithinRange(0, 64)] = 8
    batch_size: Annotated[int, WithinRange(1, 256)] = 4


class MedSRWidget(VolumePage):
    apply_text = _("Super-resolve volume")
    parts = (UI / "SuperResolveCt.ui",)

    def make_logic(self):
        return MedSRLogic()

    def set_up_page(self):
        super().set_up_page()
        self._watched = []
        self.options = OptionsSection(routing.CT, self.ui, METHOD_LABELS, LEARNED)
        self.slices_ui = self.load(UI / "InterpolateSlices.ui", above=self.roots[-1])
        slices = self.logic.slices_module
        self.slices = OptionsSection(routing.SLICES, self.slices_ui, slices.METHOD_LABELS, slices.MAY_USE_TORCH)
        self.ui.evaluateButton.visible = False
        self.ui.maskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onMask)
        self.ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._onNewRoi)
        self.ui.placeRoiButton.connect("clicked(bool)", self.onPlaceRoi)
        self.ui.drawRoiButton.connect("clicked(bool)", self.onDrawRoi)

    def bindings(self, parameters):
        slices = self.logic.slices.getParameterNode()
        return [*super().bindings(parameters), Binding(slices, vars(self.slices_ui).values(), self.refresh)]

    def bound(self, parameters):
        self._watch(None)
        self.options.show(parameters)
        self.slices.show(None if parameters is None else self.logic.slices.getParameterNode())
        if parameters is not None:
            for index, words in enumerate(TASK_LABELS.values()):
                self.ui.taskComboBox.setItemText(index, words)
            self.ui.maskSelector.setCurrentNode(parameters.maskNode)

    def first_choice(self):
        return routing.first(slicer.mrmlScene)

    def sections(self):
        advanced = self.ui.advancedCollapsibleButton, self.slices_ui.advancedCollapsibleButton
        return [*super().sections(), self.ui.detailCollapsibleButton, self.slices_ui.interpolationCollapsibleButton, *advanced]

    def refresh_page(self):
        parameters, ui = self._parameters, self.ui
        route, task = routing.route(parameters.inputVolume), self.logic.task(parameters)
        finer, cine = task == routing.CT, preview.is_cine(parameters.inputVolume)
        self._watch(parameters.roi)
        ui.routeLabel.text = route.why if parameters.task == "auto" else ""
        ui.routeLabel.visible = bool(ui.routeLabel.text)
        ui.allFramesCheckBox.visible = cine
        ui.outputSelector.enabled = not (parameters.allFrames and cine)
        for part in (ui.roiSelector, ui.roiSelectorLabel, ui.placeRoiButton, ui.drawRoiButton):
            part.visible = finer
        ui.placeRoiButton.enabled = ui.drawRoiButton.enabled = route.why != routing.CHOOSE
        for part in (ui.detailCollapsibleButton, ui.advancedCollapsibleButton):
            part.visible = finer
        for part in (self.slices_ui.interpolationCollapsibleButton, self.slices_ui.advancedCollapsibleButton):
            part.visible = not finer
        return self._refresh_finer() if finer else self._refresh_slices()

    def _refresh_finer(self):
        """Offer the models that fit, say what the result would be; False where the engine would refuse."""
        parameters = self._parameters
        offered = routing.offer(routing.CT, parameters.inputVolume, parameters.any_modality)
        self.options.offer(offered.cards, offered.why)
        self.options.refresh()
        text, possible = preview.finer_text(parameters, self.logic.options(parameters), parameters.maskNode, offered)
        self.ui.previewLabel.text = text
        return possible

    def _refresh_slices(self):
        self.slices.refresh()
        return preview.show_slices(self.slices_ui, self.slices.parameters, self._parameters.inputVolume)

    def _watch(self, roi):
        """Follow a region as it is dragged, and the transform above it."""
        if self._watched and self._watched[0][0] is roi:
            return
        for node, event, seen in self._watched:
            self.removeObserver(node, event, seen)
        events = () if roi is None else (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
        self._watched = [(roi, event, self.refresh) for event in events]
        for node, event, seen in self._watched:
            self.addObserver(node, event, seen)

    def _onMask(self, node):
        if self._parameters is not None:
            self._parameters.maskNode = node

    def _onNewRoi(self, node):
        if self._parameters is not None and self._parameters.inputVolume is not None:
            regions.set_roi(node, default_box(self._parameters.inputVolume))

    def onPlaceRoi(self, checked=False):
        self._parameters.roi = self.logic.place_roi(self._parameters)

    def onDrawRoi(self, checked=False):
        parameters = self._parameters
        if parameters.roi is None:
            parameters.roi = slicer.mrmlScene.AddNewNodeByClass(regions.NODE_CLASS, "Region")
        viewing.start_placing(parameters.roi)

    def start(self):
        # What is shown in the end is of this click: the page may have been left by then, its parameters with it.
        parameters, volume = self._parameters, self._parameters.inputVolume
        if self.logic.task(parameters) == routing.CT:
            make = lambda: self.logic.super_resolution(parameters, self.options.model)  # noqa: E731
            self._work(self.logic, parameters.method, make, lambda results, outcome: self._show_finer(volume, results, outcome))
        else:
            method = self.logic.slices.getParameterNode().method
            show = lambda results, outcome: self._show_slices(results, outcome, measured=method == "auto")  # noqa: E731
            self._work(self.logic.slices, method, lambda: self.logic.interpolation(parameters), show)

    def _work(self, logic, method, make, show):
        self.work(lambda: logic.ensure_dependencies(method, self.panel.log), make, show)

    def _show_finer(self, volume, results, outcome):
        viewing.show_beside(volume, results.volume, results.fidelity)
        return self.made(results, METHOD_LABELS.get(outcome.report.get("method", ""), ""))

    def _show_slices(self, results, outcome, measured):
        viewing.show_volume(results.volume, results.fidelity)
        why = outcome.report.get("why") if measured else ""
        return self.made(results, self.slices.methods.get(outcome.report.get("method", ""), ""), why)


class MedSRLogic(TaskPageLogic):
    """Jobs from parameters: super_resolve_ct here, interpolate_slices by the logic of its own module."""

    need_libraries = may_use_torch = LEARNED

    def __init__(self, **how):
        super().__init__(**how)
        import MedSRSliceInterp  # not at file scope: Slicer may read this file before that module is on the path

        self.slices_module = MedSRSliceInterp
        self.slices = MedSRSliceInterp.MedSRSliceInterpLogic()

    def getParameterNode(self):
        return MedSRParameterNode(super().getParameterNode())

    @staticmethod
    def task(parameters) -> str:
        """The task that the button runs: the chosen one, or the one that serves the volume."""
        if parameters.task != "auto":
            return parameters.task
        return routing.route(parameters.inputVolume).task or routing.CT

    @staticmethod
    def options(parameters) -> dict:
        """The task's options as they stand, without the region."""
        return {name: getattr(parameters, name) for name in OPTION_NAMES}

    def super_resolution(self, parameters, model: str = "") -> SuperResolveJob:
        """model: the one to use. Raises MedSRError where nodes or options cannot be used."""
        volume = parameters.inputVolume
        why = routing.why_not_ct(volume) if parameters.method in LEARNED and not parameters.any_modality else ""
        if why:
            raise InputError(why, where=volume.GetName(), fix="give CT in HU, or allow Any modality")
        options = self.options(parameters) | ({"model": model} if model else {})
        return SuperResolveJob(volume, options, roi=parameters.roi, **_nodes(parameters))

    def interpolation(self, parameters):
        """The job of the other module, with its options and this page's nodes."""
        return self.slices.interpolation(self.slices.getParameterNode(), source=parameters.inputVolume, **_nodes(parameters))

    def place_roi(self, parameters):
        """The chosen region, or a new one, put where a first look is worthwhile."""
        if parameters.roi is None:
            return add_default_roi(slicer.mrmlScene, parameters.inputVolume)
        regions.set_roi(parameters.roi, default_box(parameters.inputVolume))
        return parameters.roi

    def process(self, parameters, timeout_s: float = 600.0):
        """Run the task that serves the volume and wait, for scripts and tests. Raises MedSRError."""
        make = self.super_resolution if self.task(parameters) == routing.CT else self.interpolation
        return self.finish(make(parameters), timeout_s)


def _nodes(parameters) -> dict:
    """What both jobs take beside the volume."""
    return {
        "output": parameters.outputVolume,
        "labels": parameters.maskNode,
        "fidelity": parameters.makeFidelity,
        "all_frames": parameters.allFrames,
    }


class MedSRTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, or ctest) on the samples that ship, with methods that need no installation."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (self.test_ct, self.test_thick, self.test_refusal):
            self.setUp()
            test()

    def test_ct(self):
        self.delayDisplay("A region of a CT gets eight times finer pixels")
        logic = MedSRLogic()
        parameters = logic.getParameterNode()
        parameters.inputVolume, parameters.method = samples.load_ct(RESOURCES), "bicubic"
        self.assertEqual(logic.task(parameters), routing.CT)
        parameters.roi = logic.place_roi(parameters)
        parameters.roi.SetSize(12.0, 9.0, 3.0)
        results = logic.process(parameters)
        before, after = parameters.inputVolume, results.volume
        for axis, factor in ((0, 8), (1, 8), (2, 1)):
            self.assertAlmostEqual(after.GetSpacing()[axis] * factor, before.GetSpacing()[axis], 5)
        self.assertEqual(after.GetName(), f"{before.GetName()} super-resolved")
        self.assertGreater(slicer.util.arrayFromVolume(results.fidelity).max(), 0)

    def test_thick(self):
        self.delayDisplay("A thick-sliced volume gets thinner slices by the same button")
        logic = MedSRLogic()
        parameters = logic.getParameterNode()
        parameters.inputVolume = samples.load_volume(RESOURCES)
        self.assertEqual(logic.task(parameters), routing.SLICES)
        slices = logic.slices.getParameterNode()
        slices.method, slices.factor = "linear", 2.0
        results = logic.process(parameters)
        self.assertEqual(results.volume.GetImageData().GetDimensions()[2], 39)

    def test_refusal(self):
        self.delayDisplay("An MRI is not given to a CT model")
        logic = MedSRLogic()
        parameters = logic.getParameterNode()
        parameters.inputVolume, parameters.task = samples.load_volume(RESOURCES), routing.CT
        with self.assertRaises(InputError):
            logic.process(parameters)
