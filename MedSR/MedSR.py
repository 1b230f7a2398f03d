"""The page "MedSR": what the extension does, and the way to what works today."""

import slicer
import slicer.util
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

READY = "MedSRSliceInterp"
"""The module that the page's button opens."""


class MedSR(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MedSR")
        parent.categories = [_("Super-resolution")]
        parent.dependencies = [READY]
        parent.contributors = ["The MedSR developers"]
        parent.helpText = _(
            "Super-resolution of CT comes in a later version. Slice interpolation works today. Research software: not for diagnosis. "
            'See the <a href="https://github.com/SlicerMedSR/SlicerMedSR">documentation</a>.'
        )
        parent.acknowledgementText = _("Each method's page names the paper it follows.")


class MedSRWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        page = slicer.util.loadUI(self.resourcePath("UI/MedSR.ui"))
        self.layout.addWidget(page)
        self.ui = slicer.util.childWidgetVariables(page)
        self.ui.interpolateButton.connect("clicked(bool)", self.onInterpolate)

    def onInterpolate(self, checked=False):
        slicer.util.selectModule(READY)


class MedSRLogic(ScriptedLoadableModuleLogic):
    """Comes with super-resolution of CT."""


class MedSRTest(ScriptedLoadableModuleTest):
    """Runs in Slicer: the library that every page shares can be imported, and its tasks are there."""

    def runTest(self):
        from MedSRLib import tasks

        for name in tasks.NAMES:
            self.assertTrue(tasks.load(name).TITLE)
        self.assertTrue(hasattr(slicer.modules, READY.lower()))
