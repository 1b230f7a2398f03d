"""The page "Register slide to MRI": says what is coming; nothing runs yet."""

import slicer.util
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class MedSRRegistration(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Register slide to MRI")
        parent.categories = [_("Registration")]
        parent.dependencies = []
        parent.contributors = ["The MedSR developers"]
        parent.helpText = _(
            "Comes in a later version: lays a digitised histology slide over the MRI slice it was cut from. Nothing runs yet. "
            'See the <a href="https://github.com/SlicerMedSR/SlicerMedSR">documentation</a>.'
        )
        parent.acknowledgementText = _("Each method's page names the paper it follows.")


class MedSRRegistrationWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        page = slicer.util.loadUI(self.resourcePath("UI/MedSRRegistration.ui"))
        self.layout.addWidget(page)
        self.ui = slicer.util.childWidgetVariables(page)


class MedSRRegistrationLogic(ScriptedLoadableModuleLogic):
    """Comes with the registration."""


class MedSRRegistrationTest(ScriptedLoadableModuleTest):
    """Runs in Slicer: the page opens, and offers nothing that it cannot do."""

    def runTest(self):
        widget = MedSRRegistrationWidget()
        self.assertIn("later version", widget.ui.aboutLabel.text)
        self.assertFalse(hasattr(widget.ui, "applyButton"))
        widget.parent.deleteLater()
