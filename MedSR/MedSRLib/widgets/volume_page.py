"""What the pages share whose task makes a volume of a volume, with a map of what to trust."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..scene import fidelity
from . import viewing
from .task_page import UI, TaskPage, sentence

OUTPUTS = UI / "Outputs.ui"
"""Where the result goes, and whether its map is made and shown; a page lists it last among its parts."""


class VolumePage(TaskPage):
    """Its parameters have outputVolume and makeFidelity."""

    def setup(self) -> None:
        """Called by Slicer: load the page, and bind it to its parameters."""
        super().setup()
        self.ui.showFidelityCheckBox.connect("toggled(bool)", self._onShowFidelity)

    def sections(self) -> list[Any]:
        """Sections that are closed to changes while a job runs."""
        return [*super().sections(), self.ui.outputsCollapsibleButton]

    def refresh(self, caller: Any = None, event: Any = None) -> None:
        """Bring what depends on the parameters, or on a running job, up to date."""
        super().refresh(caller, event)
        if self._parameters is not None:
            self.ui.showFidelityCheckBox.enabled = fidelity.map_of(self._parameters.inputVolume) is not None

    def _onShowFidelity(self, shown: bool) -> None:
        found = fidelity.map_of(self._parameters.inputVolume) if self._parameters is not None else None
        if found is not None:
            viewing.show_map(found, shown)

    def made(self, results: Any, method: str, why: str | None = "") -> str:
        """What is said of a result. why: a clause on the method; the map over the result is clear until asked for."""
        self.ui.showFidelityCheckBox.checked = False
        said = _("Made {name} by: {method}.").format(name=results.volume.GetName(), method=method)
        return " ".join(part for part in (said, sentence(why)) if part)
