"""The section of the registration's page that shows a result, in words and in the views, and exports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..scene import nudge, registration_export, registration_views
from ..scene.registration_results import RegistrationResults
from ..scene.slide_transform import hang
from . import registration_card, slide_views, viewing
from .slide_hand import carries_slide

OF_A_RESULT = ("besideButton", "blendButton", "squaresButton", "exportButton", "evaluateButton")
"""Buttons that need one."""


class ResultSection:
    """attempt: runs what a button does, and says its error on the page. opacity: gives that of the slide."""

    def __init__(self, ui: Any, attempt: Callable[[Callable[[], None]], None], opacity: Callable[[], float]) -> None:
        self.ui, self._opacity = ui, opacity
        self._how = ""
        self._text = ""
        self._results: RegistrationResults | None = None
        ways = ((ui.besideButton, slide_views.SIDE_BY_SIDE), (ui.blendButton, slide_views.BLENDED), (ui.squaresButton, slide_views.SQUARES))
        for button, how in ways:
            button.connect("clicked(bool)", lambda checked=False, how=how: attempt(lambda: self.look(how)))
        ui.tableButton.connect("clicked(bool)", lambda checked=False: attempt(self._show_table))

    def show(self, transform: Any) -> None:
        """Say what is known of this transform; another one than before takes its slide to where it lays it."""
        other = self._results is None or self._results.transform is not transform
        self._results = RegistrationResults(transform) if carries_slide(transform) else None
        results = self._results
        if results is not None and other and results.slide is not None and results.slide.GetTransformNodeID() != transform.GetID():
            hang(results.slide, transform, results.mri)
        if results is not None and other:
            registration_views.show_outlines(transform.GetScene(), results.segmentation)
        known = results is not None
        for name in OF_A_RESULT:
            getattr(self.ui, name).enabled = known
        self.ui.tableButton.enabled = results is not None and results.table is not None
        self._say()

    def _say(self) -> None:
        results = self._results
        text = registration_card.EMPTY if results is None else registration_card.html(results.facts, nudge.nudged(results.transform))
        if text != self._text:  # set again, the text would jump back to its top
            self._text = text
            self.ui.resultBrowser.setHtml(text)

    def look(self, how: str = slide_views.BLENDED) -> None:
        """Show MRI and slide this way."""
        if self._results is not None:
            self._how = how
            slide_views.show(self._results, how, self._opacity())

    def moved(self) -> None:
        """The slide lies elsewhere: words, and squares where they are shown, are brought up to date."""
        self._say()
        if self._how == slide_views.SQUARES:
            self.look(self._how)

    def fade(self) -> None:
        """The opacity was changed."""
        if self._results is not None:
            slide_views.set_opacity(self._results.slide, self._opacity())

    def export(self, folder: str) -> list[Path]:
        """Write all files of what is shown. Raises MedSRError."""
        if self._results is None:
            raise InputError("there is no result to export", fix="register first")
        if not folder.strip():
            raise InputError("no folder is chosen", fix="choose where the files go")
        return registration_export.export(self._results, folder.strip())

    def _show_table(self) -> None:
        if self._results is not None and self._results.table is not None:
            viewing.show_evaluation(self._results.table)
