"""A registration from the page's open images: the same job as Slicer's page starts, but on the files that were opened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..jobs_specification import Outcome, Specification
from ..scene.exchange import Workspace
from ..scene.registration_jobs import RegisterJob
from ..scene.registration_results import RegistrationResults
from ..scene.undo import all_or_nothing
from .entries import Entry


class SlideJob(RegisterJob):
    """Close it when done, well or not."""

    def __init__(
        self,
        original: Entry,
        options: Mapping[str, Any],
        folder: Path,
        *,
        slide: Any,
        paths: Mapping[str, Path],
        placed: Any = None,
        fused_slide: Path,
    ) -> None:
        """original: the MRI. slide: an opened slide's node, or a path. paths: the other inputs, by port. placed, fused_slide: see
        RegisterJob."""
        super().__init__(original.node, options, slide=slide, placed=placed, fused_slide=fused_slide)
        self.files.close()
        self.files, self._original, self._paths = Workspace(str(folder)), original, dict(paths)

    def specification(self) -> Specification:
        """The files as they were opened: a DICOM series stays one, and can give a DICOM SEG."""
        found = super().specification()
        given = {port: str(path) for port, path in {"mri": self._original.path, **self._paths}.items()}
        return replace(found, inputs={**found.inputs, **given}, series=self._original.series)

    async def read(self, outcome: Outcome) -> Mapping[str, Any]:
        """What the child wrote, read beside the event loop."""
        return await asyncio.to_thread(self._read, outcome)

    def show(self, read: Mapping[str, Any], outcome: Outcome) -> RegistrationResults:
        """Its nodes, all or none."""
        with all_or_nothing(self.source.GetScene()):
            return self._show(read, outcome)
