"""What the pages share whose result is a volume like their input: where it goes, and a map of what to trust."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..scene import fidelity
from . import viewing
from .task_page import UI, TaskPage, sentence


class VolumePage(TaskPage):
    """A volume in, a volume out."""

    ending = UI / "Result.ui"

    def set_up_page(self) -> None:
        """Connect what these pages have; a page that has more calls this too."""
        self.ui.showFidelityCheckBox.connect("toggled(bool)", self._onShowFidelity)

    def sections(self) -> list[Any]:
        """See TaskPage.sections."""
        return [*super().sections(), self.ui.outputsCollapsibleButton]

    def refresh(self, caller: Any = None, event: Any = None) -> None:
        """See TaskPage.refresh."""
        super().refresh(caller, event)
        if self._parameters is not None and self.panel is not None:
            self.ui.showFidelityCheckBox.enabled = fidelity.map_of(self._parameters.inputVolume) is not None

    def made(self, results: Any, method: str, why: str | None = "") -> str:
        """What is said of a result. why: a clause on the method; the map over the result is clear until asked for."""
        self.ui.showFidelityCheckBox.checked = False
        said = _("Made {name} by: {method}.").format(name=results.volume.GetName(), method=method)
        return " ".join(part for part in (said, sentence(why)) if part)

    def _onShowFidelity(self, shown: bool) -> None:
        found = fidelity.map_of(self._parameters.inputVolume) if self._parameters is not None else None
        if found is not None:
            viewing.show_map(found, shown)
