"""The page "Register slide to MRI": an MRI and a slide in; a transform, outlines on the MRI, Dice and a fused image out."""

import sys
from pathlib import Path
from typing import Annotated

import qt
import slicer
import slicer.util
from slicer import vtkMRMLDisplayableNode, vtkMRMLLinearTransformNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

try:
    import MedSRLib  # noqa: F401
except ImportError:  # from the source tree, before Slicer has put the module MedSR on the path
    sys.path.append(str(Path(__file__).resolve().parents[1] / "MedSR"))

from MedSRLib.errors import InputError, MedSRError
from MedSRLib.scene import nudge, registration_export, registration_results, registration_views, samples, slide_transform, slides
from MedSRLib.scene.registration_jobs import RegisterJob
from MedSRLib.tasks.slide_input import OUTLINES_ALONE
from MedSRLib.widgets import viewing
from MedSRLib.widgets.page import as_sentence
from MedSRLib.widgets.task_logic import RESOURCES, TaskPageLogic
from MedSRLib.widgets.task_page import UI, TaskPage

OPTION_NAMES = (
    "method", "slice", "slide_slice", "mpp_um", "orientation", "rotation_deg", "gland", "deformable", "landmarks_as", "transform_as",
    "opacity", "fused_um", "accept_any",
)  # fmt: skip
METHOD_LABELS = {"auto": _("By what is there"), "pictures": _("By the pictures"), "mask": _("By the gland's outlines")}
GRADES = {"good": _("Good"), "doubtful": _("Doubtful: check it before use"), "refused": _("Not to be believed")}
RESULT = Path(__file__).resolve().parent / "Resources" / "UI" / "RegistrationResult.ui"
PICTURE, OUTLINES = "picture", "outlines"
"""What is registered: only a picture needs libraries beside Slicer's."""
PATHS = {
    "slidePath": _("Slides and outlines (*.svs *.ndpi *.mrxs *.scn *.tif *.tiff *.png *.jpg *.dcm *.geojson *.json *.xml *.nrrd *.gz)"),
    "outlinesPath": _("Outlines (*.geojson *.json *.xml *.tif *.tiff *.png *.nrrd *.gz *.mha)"),
    "landmarksPath": _("Landmarks (*.csv)"),
}


class MedSRRegistration(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Register slide to MRI")
        parent.categories = [_("Registration")]
        parent.dependencies = []
        parent.contributors = ["The MedSR developers"]
        parent.helpText = _(
            "Lays a digitised histology slide over the MRI slice that it was cut from: a linear transform, the outlines as a segmentation "
            "on the MRI, a Dice table, a fused image. Research software: not for diagnosis. "
            'See the <a href="https://github.com/SlicerMedSR/SlicerMedSR">documentation</a>.'
        )
        parent.acknowledgementText = _(
            "After Shi et al., Upscaling prostate cancer MRI images to cell-level resolution using self-supervised learning."
        )


@parameterNodeWrapper
class MedSRRegistrationParameterNode:
    """What the page shows, saved with the scene. Fields with an underscore or of one word are the task's Options, but `transform`."""

    inputVolume: vtkMRMLScalarVolumeNode
    maskNode: vtkMRMLDisplayableNode
    slideNode: vtkMRMLDisplayableNode
    slidePath: str = ""
    outlinesPath: str = ""
    landmarksPath: str = ""
    transform: vtkMRMLLinearTransformNode
    method: Annotated[str, Choice(["auto", "pictures", "mask"])] = "auto"
    slice: Annotated[int, WithinRange(-1, 100000)] = -1
    slide_slice: Annotated[int, WithinRange(-1, 100000)] = -1
    mpp_um: Annotated[float, WithinRange(0.0, 100000.0)] = 0.0
    orientation: Annotated[str, Choice(["auto", "r0", "r90", "r180", "r270", "f0", "f90", "f180", "f270"])] = "auto"
    rotation_deg: Annotated[float, WithinRange(-180.0, 180.0)] = 0.0
    gland: str = ""
    deformable: bool = False
    landmarks_as: Annotated[str, Choice(["start", "correction"])] = "start"
    transform_as: Annotated[str, Choice(["start", "result"])] = "start"
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    fused_um: Annotated[float, WithinRange(0.0, 10000.0)] = 0.0
    accept_any: bool = False


class MedSRRegistrationWidget(TaskPage):
    apply_text = _("Register")
    parts = (UI / "RegisterSlide.ui", RESULT)

    def make_logic(self):
        return MedSRRegistrationLogic()

    def set_up_page(self):
        ui = self.ui
        ui.evaluateButton.visible = False
        ui.maskSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._choose("maskNode", node))
        ui.slideSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._choose("slideNode", node))
        for name, kinds in PATHS.items():
            getattr(ui, f"{name}Button").connect("clicked(bool)", lambda checked=False, name=name, kinds=kinds: self.onOpen(name, kinds))
        ui.blendSlider.connect("valueChanged(int)", lambda value: self._blend())
        ui.checkerboardCheckBox.connect("toggled(bool)", lambda shown: self._blend())
        ui.sideBySideButton.connect("clicked(bool)", self.onSideBySide)
        ui.exportButton.connect("clicked(bool)", self.onExport)
        ui.layButton.connect("clicked(bool)", self.onLay)
        ui.undoButton.connect("clicked(bool)", self.onUndo)
        ui.scoreButton.connect("clicked(bool)", self.onScore)
        for name, move in self._moves().items():
            getattr(ui, f"{name}Button").connect("clicked(bool)", lambda checked=False, move=move: self._move(**move()))

    def _moves(self):
        """{button: what it asks `nudge` for, by the steps that are set}."""
        turn, shift = lambda: self.ui.turnSpinBox.value, lambda: self.ui.shiftSpinBox.value
        scale = lambda: 1 + self.ui.scaleSpinBox.value / 100  # noqa: E731
        return {
            "turnLeft": lambda: {"turn_deg": -turn()},
            "turnRight": lambda: {"turn_deg": turn()},
            "mirror": lambda: {"mirror": True},
            "left": lambda: {"shift_mm": (-shift(), 0.0)},
            "right": lambda: {"shift_mm": (shift(), 0.0)},
            "up": lambda: {"shift_mm": (0.0, -shift())},
            "down": lambda: {"shift_mm": (0.0, shift())},
            "smaller": lambda: {"scale": 1 / scale()},
            "larger": lambda: {"scale": scale()},
        }

    def bound(self, parameters):
        if parameters is None:
            return
        for index, words in enumerate(METHOD_LABELS.values()):
            self.ui.methodComboBox.setItemText(index, words)
        self.ui.maskSelector.setCurrentNode(parameters.maskNode)
        self.ui.slideSelector.setCurrentNode(parameters.slideNode)

    def sections(self):
        ui = self.ui
        return [*super().sections(), ui.registrationCollapsibleButton, ui.advancedCollapsibleButton, ui.handCollapsibleButton]

    def refresh_page(self):
        parameters, ui = self._parameters, self.ui
        laid, found = parameters.transform is not None, self.results()
        for button in (*(getattr(ui, f"{name}Button") for name in self._moves()), ui.startHereCheckBox, ui.scoreButton):
            button.enabled = laid
        ui.undoButton.enabled = laid and nudge.nudged(parameters.transform) > 0
        ui.layButton.enabled = parameters.inputVolume is not None and self.logic.slide(parameters) is not None
        for part in (ui.exportButton, ui.sideBySideButton, ui.blendSlider, ui.checkerboardCheckBox):
            part.enabled = found is not None
        ui.resultLabel.text = summary(found)
        ui.resultLabel.visible = bool(ui.resultLabel.text)
        return parameters.inputVolume is not None and self.logic.slide(parameters) is not None

    def results(self):
        """What the chosen transform belongs to, None where no registration made it."""
        return registration_results.of_transform(self._parameters.transform) if self._parameters is not None else None

    def _choose(self, name, node):
        if self._parameters is not None:
            setattr(self._parameters, name, node)

    def onOpen(self, name, kinds):
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Open"), "", f"{kinds};;" + _("All files (*)"))
        path = path[0] if isinstance(path, tuple) else path
        if path and self._parameters is not None:
            setattr(self._parameters, name, path)

    def start(self):
        here = self._parameters.transform if self.ui.startHereCheckBox.checked else None
        self._register(placed=here, transform_as="start")

    def onScore(self, checked=False):
        self._register(placed=self._parameters.transform, transform_as="result")

    def _register(self, **how):
        parameters = self._parameters
        self.work(
            lambda: self.logic.ensure_dependencies(self.logic.kind(parameters), self.panel.log),
            lambda: self.logic.registration(parameters, **how),
            lambda results, outcome: self._show(parameters, results),
        )

    def _show(self, parameters, results):
        """Show what was made; returns a sentence about it."""
        parameters.transform = results.transform
        if results.slide is not None and not parameters.slidePath:
            parameters.slideNode = results.slide
        self.ui.startHereCheckBox.checked = False
        viewing.show_registration(results, self.ui.blendSlider.value / 100)
        for warning in results.facts.get("warnings", ()):
            self.panel.warn(warning)
        return _("Laid on slice {slice}, Dice {dice}.").format(slice=results.facts["slice"], dice=_number(results.facts.get("dice")))

    def _blend(self):
        results = self.results()
        if results is not None:
            shown = self.ui.checkerboardCheckBox.checked
            registration_views.blend(viewing.registration_views(), results, self.ui.blendSlider.value / 100, shown)

    def onSideBySide(self, checked=False):
        viewing.show_registration(self.results(), self.ui.blendSlider.value / 100)

    def onLay(self, checked=False):
        self._try(lambda: self.logic.lay(self._parameters))

    def onUndo(self, checked=False):
        nudge.undo(self._parameters.transform)
        self._moved()

    def _move(self, **by):
        self._try(lambda: nudge.nudge(self._parameters.transform, mri=self._parameters.inputVolume, **by))
        self._moved()

    def _moved(self):
        if self.ui.checkerboardCheckBox.checked:
            self._blend()
        self.refresh()

    def onExport(self, checked=False):
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Export into"), "")
        if folder:
            self.export(folder)

    def export(self, folder):
        """Write all results into a folder of their own below this one; returns the files, none where they cannot be written."""
        return self._try(lambda: registration_export.export(self.results(), Path(folder) / self._parameters.transform.GetName())) or []

    def _try(self, action):
        """What the action returns; an error becomes the page's sentence."""
        self.panel.clear_error()
        try:
            return action()
        except Exception as error:  # a button must never leave the page half-way
            self.panel.show_error(as_sentence(error))
            return None


def summary(results) -> str:
    """Grade, slice, orientation and Dice of a registration in a few lines, "" for none."""
    if results is None or not results.facts:
        return ""
    facts = results.facts
    turned = facts["orientation"]
    known = _("determined") if turned["determined"] else _("undetermined")
    lines = [
        GRADES[facts["grade"]] + ".",
        _("Slice {slice}, orientation {name} ({known}).").format(slice=facts["slice"], name=turned["chosen"], known=known),
        *(f"{row['outline']}: Dice {_number(row.get('dice'))}" for row in facts["outlines"] if row.get("dice") is not None),
        *facts.get("warnings", ()),
    ]
    return "\n".join(lines)


def _number(value) -> str:
    return "–" if value is None else f"{value:.3f}"


class MedSRRegistrationLogic(TaskPageLogic):
    """Jobs from parameters."""

    requirements = "requirements-slides.txt"
    need_libraries = (PICTURE,)

    def getParameterNode(self):
        return MedSRRegistrationParameterNode(super().getParameterNode())

    @staticmethod
    def slide(parameters):
        """The slide: a path, before a node; None where there is none."""
        return Path(parameters.slidePath).expanduser() if parameters.slidePath else parameters.slideNode

    def kind(self, parameters) -> str:
        """PICTURE, or OUTLINES where the slide is outlines alone."""
        slide = self.slide(parameters)
        alone = slide.name.lower().endswith(OUTLINES_ALONE) if isinstance(slide, Path) else slide.IsA("vtkMRMLLabelMapVolumeNode")
        return OUTLINES if alone else PICTURE

    def registration(self, parameters, placed=None, transform_as="start") -> RegisterJob:
        """placed: the transform under which the slide lies, to start at or to keep ("result"). What a hand laid is scored, however bad.

        Raises MedSRError where nodes cannot be used.
        """
        options = {name: getattr(parameters, name) for name in OPTION_NAMES} | {"transform_as": transform_as}
        options["accept_any"] = parameters.accept_any or transform_as == "result"
        return RegisterJob(
            parameters.inputVolume,
            options,
            slide=self.slide(parameters),
            mri_mask=parameters.maskNode,
            outlines=parameters.outlinesPath or None,
            landmarks=parameters.landmarksPath or None,
            placed=placed,
        )

    def lay(self, parameters):
        """Lay the slide upright on the chosen slice, or the middle one, for a hand to move it; returns the transform."""
        slide, mri = self.slide(parameters), parameters.inputVolume
        if self.kind(parameters) == OUTLINES:
            raise InputError("outlines alone cannot be laid by hand", where=str(slide), fix="open the slide's picture")
        if isinstance(slide, Path):
            slide = slides.load_slide(slicer.mrmlScene, slide)
            parameters.slideNode, parameters.slidePath = slide, ""
        index = parameters.slice if parameters.slice >= 0 else mri.GetImageData().GetDimensions()[2] // 2
        parameters.transform = slide_transform.lay(slide, mri, index)
        return parameters.transform

    def process(self, parameters, timeout_s: float = 600.0):
        """Register and wait, for scripts and tests; Slicer stays alive meanwhile. Raises MedSRError."""
        return self.finish(self.registration(parameters), timeout_s)


class MedSRRegistrationTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, or ctest) on the sample that ships, with what needs no installation: outlines alone."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (self.test_outlines, self.test_error):
            self.setUp()
            test()

    def _parameters(self):
        parameters = MedSRRegistrationLogic().getParameterNode()
        parameters.inputVolume, parameters.maskNode = samples.load_prostate(RESOURCES)
        parameters.slidePath = str(samples.checked(RESOURCES, samples.PROSTATE_OUTLINES))
        parameters.slice, parameters.orientation = samples.OUTLINES_SLICE, samples.OUTLINES_ORIENTATION
        parameters.mpp_um = samples.OUTLINES_UM
        return parameters

    def test_outlines(self):
        self.delayDisplay("Outlines of a slide are laid on the MRI")
        results = MedSRRegistrationLogic().process(self._parameters())
        self.assertGreater(results.facts["dice"], 0.95)
        self.assertEqual(results.segmentation.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertEqual(results.facts["orientation"]["chosen"], samples.OUTLINES_ORIENTATION)

    def test_error(self):
        self.delayDisplay("A slice that is not there is refused")
        parameters = self._parameters()
        parameters.slice = 40
        with self.assertRaises(MedSRError):
            MedSRRegistrationLogic().process(parameters)
