"""The page "Register slide to MRI": a slide and an MRI in, out of it the transform that lays one on the other, outlines and Dice."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import qt
import slicer
import slicer.util
from slicer import (
    vtkMRMLDisplayableNode,
    vtkMRMLLinearTransformNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLVolumeNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

try:
    import MedSRLib  # noqa: F401
except ImportError:  # from the source tree, before Slicer has put the module MedSR on the path
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MedSR"))

from MedSRLib.errors import InputError, MedSRError
from MedSRLib.scene import nudge, registration_export, registration_words, samples_pairs, slides
from MedSRLib.scene.registration_evaluation import EvaluateRegistrationJob
from MedSRLib.scene.registration_jobs import RegisterJob
from MedSRLib.scene.registration_results import RegistrationResults
from MedSRLib.widgets import dependencies, file_lines, registration_preview, slide_views, viewing
from MedSRLib.widgets.registration_choices import WORDS
from MedSRLib.widgets.slide_hand import HandSection, carries_slide, laid
from MedSRLib.widgets.slide_result import ResultSection
from MedSRLib.widgets.task_logic import RESOURCES, TaskPageLogic
from MedSRLib.widgets.task_page import UI, TaskPage
from MedSRLib.widgets.thread_job import ThreadJob

OPTION_NAMES = (
    "method", "slice", "slide_slice", "mpp_um", "orientation", "rotation_deg", "gland", "deformable", "landmarks_as", "opacity",
    "fused_um", "accept_any",
)  # fmt: skip
"""Options of register_slide but for `transform_as`, which two buttons stand for."""
BY_HAND = {
    "mriMask": "maskSelector",
    "slideNode": "slideSelector",
    "outlinesNode": "outlinesSelector",
    "trueLabels": "trueLabelsSelector",
}
"""Selectors of several kinds of nodes: the wrapper would set them to the parameter's one."""


class MedSRRegistration(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Register slide to MRI")
        parent.categories = [_("Registration")]
        parent.dependencies = []
        parent.contributors = ["The MedSR developers"]
        parent.helpText = _(
            "Lays a digitised histology slide over the MRI slice it was cut from: a transform that carries the slide, its outlines as a "
            "segmentation of the MRI, a fused image, and Dice. It says how far to trust the result. Research software: not for "
            'diagnosis. See the <a href="https://github.com/SlicerMedSR/SlicerMedSR">documentation</a>.'
        )
        parent.acknowledgementText = _(
            "After Shi et al., on the registration of whole slides to MRI, and Rusu et al., RAPSODI. The samples are parts of Prostate "
            "Fused-MRI-Pathology (Madabhushi and Feldman, The Cancer Imaging Archive, CC BY 3.0)."
        )
        slicer.app.connect("startupCompleted()", lambda: samples_pairs.register(RESOURCES))


@parameterNodeWrapper
class MedSRRegistrationParameterNode:
    """What the page shows, saved with the scene. Fields with an underscore or of one word are the task's Options, but `registration`."""

    inputVolume: vtkMRMLScalarVolumeNode
    mriMask: vtkMRMLDisplayableNode
    slideNode: vtkMRMLVolumeNode
    slidePath: str = ""
    outlinesNode: vtkMRMLDisplayableNode
    outlinesPath: str = ""
    slidePoints: vtkMRMLMarkupsFiducialNode
    mriPoints: vtkMRMLMarkupsFiducialNode
    landmarksPath: str = ""
    casePath: str = ""
    startHere: bool = False
    registration: vtkMRMLLinearTransformNode
    fusedPath: str = ""
    exportPath: str = ""
    trueLabels: vtkMRMLDisplayableNode
    referenceLandmarksPath: str = ""
    method: Annotated[str, Choice(["auto", "pictures", "features", "mask"])] = "auto"
    slice: Annotated[int, WithinRange(-1, 9999)] = -1
    slide_slice: Annotated[int, WithinRange(-1, 9999)] = -1
    mpp_um: Annotated[float, WithinRange(0.0, 100000.0)] = 0.0
    orientation: Annotated[str, Choice(["auto", "r0", "r90", "r180", "r270", "f0", "f90", "f180", "f270"])] = "auto"
    rotation_deg: Annotated[float, WithinRange(-180.0, 180.0)] = 0.0
    gland: str = ""
    deformable: bool = False
    landmarks_as: Annotated[str, Choice(["start", "correction"])] = "start"
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    fused_um: Annotated[float, WithinRange(0.0, 10000.0)] = 0.0
    accept_any: bool = False


class MedSRRegistrationWidget(TaskPage):
    apply_text = _("Register")
    parts = (UI / "RegisterSlide.ui",)
    ending = UI / "SlideResult.ui"

    def make_logic(self):
        return MedSRRegistrationLogic()

    def set_up_page(self):
        ui = self.ui
        self.hand = HandSection(ui, self.attempt, self._moved)
        self.result = ResultSection(ui, self.attempt, lambda: self._parameters.opacity)
        for name, selector in BY_HAND.items():
            changed = lambda node, name=name: self._choose(name, node)  # noqa: E731
            getattr(ui, selector).connect("currentNodeChanged(vtkMRMLNode*)", changed)
        file_lines.connect(ui, lambda: self._parameters)
        ui.openSlideButton.connect("clicked(bool)", lambda checked=False: self.open_slide())
        ui.shownSliceButton.connect("clicked(bool)", self.onShownSlice)
        ui.layButton.connect("clicked(bool)", lambda checked=False: self.attempt(self._lay))
        ui.scoreButton.connect("clicked(bool)", lambda checked=False: self._register(scoring=True))
        ui.exportButton.connect("clicked(bool)", lambda checked=False: self.attempt(self._export))
        ui.evaluateButton.connect("clicked(bool)", lambda checked=False: self._evaluate())
        ui.opacitySlider.connect("valueChanged(int)", self.onOpacity)

    def bound(self, parameters):
        if parameters is None:
            self.hand.show(None)
            self.result.show(None)
            return
        for name, words in WORDS.items():  # the wrapper fills the lists with the bare choices, and goes by their order
            for index, text in enumerate(words.values()):
                getattr(self.ui, name).setItemText(index, text)
        for name, selector in BY_HAND.items():
            getattr(self.ui, selector).setCurrentNode(getattr(parameters, name))
        self._seen = None

    def first_choice(self):
        return self.logic.first_choice()

    def sections(self):
        ui = self.ui
        return [*super().sections(), ui.landmarksCollapsibleButton, ui.registrationCollapsibleButton, ui.advancedCollapsibleButton,
                ui.handCollapsibleButton, ui.resultCollapsibleButton]  # fmt: skip

    def refresh_page(self):
        parameters, ui = self._parameters, self.ui
        self._fill_in(parameters)
        text, possible = registration_preview.foretold(parameters)
        ui.previewLabel.text = text
        self.hand.show(parameters.registration)
        self.result.show(parameters.registration)
        for part in (ui.slidePathLine, ui.slidePathButton):
            part.enabled = parameters.slideNode is None
        ui.openSlideButton.enabled = self.logic.opens_first(parameters)
        ui.layButton.enabled = parameters.slideNode is not None and parameters.inputVolume is not None
        for part in (ui.outlinesPathLine, ui.outlinesPathButton):
            part.enabled = parameters.outlinesNode is None
        ui.startHereCheckBox.enabled = carries_slide(parameters.registration)
        ui.opacitySlider.value = round(100 * parameters.opacity)
        self.result.fade()
        return possible

    def _fill_in(self, parameters):
        """A sample's MRI says what belongs to it; once, when it is chosen."""
        if parameters.inputVolume is self._seen:
            return
        self._seen = parameters.inputVolume
        if self._seen is not None and parameters.slideNode is None and not parameters.slidePath:
            self.logic.fill_in(parameters)
            for name, selector in BY_HAND.items():
                getattr(self.ui, selector).setCurrentNode(getattr(parameters, name))

    def _choose(self, name, node):
        if self._parameters is not None:
            setattr(self._parameters, name, node)

    def onShownSlice(self, checked=False):
        shown = slide_views.slice_shown(self._parameters.inputVolume)
        if shown is not None:
            self._parameters.slice = shown

    def onOpacity(self, percent):
        if self._parameters is not None and round(100 * self._parameters.opacity) != percent:
            self._parameters.opacity = percent / 100

    def attempt(self, action):
        """Do what a button says; what cannot be done is one sentence on the page."""
        self.panel.clear_error()
        try:
            action()
        except MedSRError as error:
            self.panel.show_error(error)

    def start(self):
        """A slide that is a file is opened first, so that Slicer need not wait for its picture at the end."""
        if self.logic.opens_first(self._parameters):
            self.open_slide(then=self._register)
        else:
            self._register()

    def open_slide(self, then=None):
        """Read the slide's file in the background and add it to the scene. then: what to do next."""

        def show(outcome):
            node = slides.add_slide(slicer.mrmlScene, outcome.value, registration_preview.name_of(outcome.value.path))
            self.logic.getParameterNode().slideNode = node  # the page may have been left meanwhile, and show none
            self.ui.slideSelector.setCurrentNode(node)
            if then is not None:
                qt.QTimer.singleShot(0, then)
            return _("Opened {name}.").format(name=node.GetName())

        opening = lambda: self.logic.opening(self._parameters)  # noqa: E731
        self.panel.run(opening, show, start=lambda work: ThreadJob(work, _("Opening the slide")))

    def _register(self, scoring=False):
        parameters = self.logic.getParameterNode()
        need = lambda: self.logic.ensure_libraries(parameters)  # noqa: E731
        self.work(need, lambda: self.logic.registration(parameters, scoring), self._show_result)

    def _show_result(self, results, outcome):
        """Show it blended; returns how far to trust it."""
        self.logic.getParameterNode().registration = results.transform  # the page may have been left meanwhile
        self.refresh()
        self.result.look()
        for warning in results.facts["warnings"]:
            self.panel.warn(warning)
        dice = results.facts["dice"]
        said = _("Made {name}. {words}.").format(name=results.transform.GetName(), words=registration_words.grade_words(results.facts))
        return said + (f" Dice {dice:.3f}." if dice is not None else "")

    def _evaluate(self):
        parameters = self.logic.getParameterNode()
        self.work(lambda: None, lambda: self.logic.evaluation(parameters), self._show_evaluation)

    def _show_evaluation(self, evaluation, outcome):
        viewing.show_evaluation(evaluation.table)
        return _("Filled the table {name}.").format(name=evaluation.table.GetName())

    def _lay(self):
        parameters = self._parameters
        shown = parameters.slice if parameters.slice >= 0 else slide_views.slice_shown(parameters.inputVolume)
        parameters.registration = laid(parameters.slideNode, parameters.inputVolume, shown or 0)
        self.result.look()

    def _moved(self):
        self.result.moved()
        self.hand.show(self._parameters.registration)

    def _export(self):
        made = self.result.export(self._parameters.exportPath)
        self.ui.statusLabel.text = _("Wrote {names}.").format(names=", ".join(path.name for path in made))
        self.ui.statusLabel.visible = True


class MedSRRegistrationLogic(TaskPageLogic):
    """Jobs from parameters."""

    def getParameterNode(self):
        return MedSRRegistrationParameterNode(super().getParameterNode())

    @staticmethod
    def first_choice():
        """The volume that a sample says more of, or the only one that is an image; None for none."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        images = [node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
        of_sample = next((node for node in volumes if samples_pairs.suggestion_of(node)), None)
        return of_sample or (images[0] if len(images) == 1 else None)

    @staticmethod
    def fill_in(parameters) -> None:
        """Take what a sample's MRI says of itself; nothing for any other volume."""
        for name, value in samples_pairs.suggestion_of(parameters.inputVolume).items():
            setattr(parameters, name, slicer.mrmlScene.GetNodeByID(value) if name in BY_HAND else value)

    @staticmethod
    def opens_first(parameters) -> bool:
        """Whether the slide is a picture that is not open yet."""
        path = parameters.slidePath.strip()
        return parameters.slideNode is None and bool(path) and registration_preview.is_picture(path)

    @staticmethod
    def opening(parameters):
        """The work that reads the slide's file. Raises MedSRError."""
        path = registration_preview.file_of(parameters.slidePath, "slide")
        if not registration_preview.is_picture(path):
            raise InputError("holds outlines alone, which have no picture to show", where=path.name, fix="register it as it is")
        dependencies.ensure(RESOURCES / "requirements-slides.txt", "MedSR")
        return lambda: slides.read_picture(path)

    @staticmethod
    def ensure_libraries(parameters) -> None:
        """Offer what reads slides, where the slide is a picture, and what the learned features need; outlines alone need nothing.

        Raises DependencyError.
        """
        if registration_preview.is_picture(registration_preview.slide_of(parameters)):
            dependencies.ensure(RESOURCES / "requirements-slides.txt", "MedSR")
        if parameters.method == "features":
            dependencies.ensure(RESOURCES / "requirements.txt", "MedSR")
            dependencies.ensure_torch()

    @staticmethod
    def options(parameters) -> dict:
        """The task's options as they stand."""
        return {name: getattr(parameters, name) for name in OPTION_NAMES}

    def registration(self, parameters, scoring: bool = False) -> RegisterJob:
        """scoring: keep the slide where it lies, and measure. Raises MedSRError where nodes, files or options cannot be used."""
        placed = parameters.registration if scoring or parameters.startHere else None
        if placed is not None:
            self._check(placed)
        options = self.options(parameters) | {"transform_as": "start"}
        if scoring:  # who asks for a score is told it, also a bad one: its grade says what it is worth
            options |= {"transform_as": "result", "accept_any": True, "deformable": False}
        return RegisterJob(
            parameters.inputVolume,
            options,
            slide=registration_preview.slide_of(parameters),
            mri_mask=parameters.mriMask,
            outlines=parameters.outlinesNode or registration_preview.file_or_none(parameters.outlinesPath, "outlines"),
            landmarks=registration_preview.landmarks_of(parameters),
            case=registration_preview.file_or_none(parameters.casePath, "description"),
            placed=placed,
            fused_slide=Path(parameters.fusedPath.strip()).expanduser() if parameters.fusedPath.strip() else None,
        )

    def evaluation(self, parameters) -> EvaluateRegistrationJob:
        """Of the shown registration as it lies now. Raises MedSRError where it, labels or landmarks cannot be used."""
        self._check(parameters.registration)
        return EvaluateRegistrationJob(
            RegistrationResults(parameters.registration),
            reference=parameters.trueLabels,
            landmarks=registration_preview.file_or_none(parameters.referenceLandmarksPath, "landmarks"),
        )

    @staticmethod
    def _check(transform) -> None:
        if not carries_slide(transform):
            where = transform.GetName() if transform is not None else ""
            raise InputError("this transform carries no slide", where=where, fix="choose the result of a registration")

    def process(self, parameters, timeout_s: float = 600.0) -> RegistrationResults:
        """Register and wait, for scripts and tests; Slicer stays alive meanwhile. Raises MedSRError."""
        return self.finish(self.registration(parameters), timeout_s)


class MedSRRegistrationTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, or ctest) on the sample that ships; outlines alone need no installation."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (self.test_outlines, self.test_by_hand, self.test_refusal):
            self.setUp()
            test()

    def _sample(self):
        logic = MedSRRegistrationLogic()
        parameters = logic.getParameterNode()
        parameters.inputVolume = samples_pairs.load_pair(RESOURCES, samples_pairs.OUTLINES)
        logic.fill_in(parameters)
        return logic, parameters

    def test_outlines(self):
        self.delayDisplay("Outlines of a slide are laid on the MRI, and exported")
        logic, parameters = self._sample()
        results = logic.process(parameters)
        self.assertEqual(results.facts["slice"], 14)
        self.assertGreater(results.facts["dice"], 0.96)
        self.assertEqual(results.segmentation.GetSegmentation().GetNumberOfSegments(), 2)
        with tempfile.TemporaryDirectory() as folder:
            written = [path.name for path in registration_export.export(results, Path(folder) / "out")]
        for name in ("transform.h5", "registration.json", "labels.seg.nrrd", "labelmap.nii.gz", "dice.csv"):
            self.assertIn(name, written)

    def test_by_hand(self):
        self.delayDisplay("A result that is moved by hand is worse, and scored anew")
        logic, parameters = self._sample()
        parameters.registration = logic.process(parameters).transform
        before = RegistrationResults(parameters.registration).facts["dice"]
        nudge.nudge(parameters.registration, shift_mm=(5.0, 0.0))
        after = logic.finish(logic.registration(parameters, scoring=True), 600.0).facts["dice"]
        self.assertLess(after, before - 0.05)

    def test_refusal(self):
        self.delayDisplay("A slice that the MRI does not have is refused")
        logic, parameters = self._sample()
        parameters.slice = 99
        with self.assertRaises(MedSRError):
            logic.process(parameters)
