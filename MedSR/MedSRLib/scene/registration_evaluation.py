"""The evaluation of a registration between nodes and files: the registration as it lies now and the truth in, two tables out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io import formats
from ..jobs_specification import Outcome
from . import tables
from .aftercare import describe
from .jobs import NodeJob
from .registration_export import export
from .registration_results import RegistrationResults
from .segmentations import layers_from_segmentation
from .slice_jobs import Evaluation

NAME_LENGTH = 80


class EvaluateRegistrationJob(NodeJob):
    """One registration's measures: a table node with a row an outline, and one with a row a measure."""

    task = "evaluate_registration"

    def __init__(self, results: RegistrationResults, *, reference: Any = None, landmarks: Path | None = None) -> None:
        """reference: true labels, a segmentation whose segments are named as the outlines, or a label map on the MRI's grid.

        landmarks: a CSV of pairs of points, see io/landmarks.py. Raises InputError for a registration that cannot be measured.
        """
        check(results)
        super().__init__(results.mri, {})
        self.results, self.reference, self.landmarks = results, reference, landmarks

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        inputs = {"registration": written(self.results, self.files.folder), "mri": self.files.export_volume(self.source)}
        if self.reference is not None:
            inputs["reference"] = self._reference()
        if self.landmarks is not None:
            inputs["landmarks"] = self.landmarks
        return inputs, {"table": self.files.path("table.csv")}

    def _reference(self) -> Path:
        if self.reference.IsA("vtkMRMLVolumeNode"):
            return self.files.export_image(self.reference, "reference.nrrd")
        path = self.files.path("reference.seg.nrrd")
        formats.write(path, layers_from_segmentation(self.reference, self.source))
        return path

    def _needed(self) -> tuple[Any, ...]:
        return (self.source, self.results.transform)

    def _read(self, outcome: Outcome) -> tuple[list[str], list[list[str]]]:
        """(columns, rows) of the table."""
        return tables.read_csv(Path(outcome.outputs["table"]))

    def _show(self, read: tuple[Sequence[str], Sequence[Sequence[str]]], outcome: Outcome) -> Evaluation:
        """Of one case there is no plot: a box of one value says nothing."""
        scene, name = self.source.GetScene(), f"{self.results.transform.GetName()} evaluation"
        table = tables.add_table(scene, *read, name, self.task)
        summary = tables.add_records(scene, outcome.report.get("summary") or (), f"{name} summary", self.task)
        report = {"seconds": round(outcome.seconds, 2), "warnings": [*outcome.warnings, *self.warnings]}
        for node in (table, summary):
            if node is not None:
                describe(node, self.results.transform, task=self.task, report=report)
        return Evaluation(table, summary)


def check(results: RegistrationResults) -> None:
    """Raises InputError where there is nothing to measure."""
    name = results.transform.GetName()
    if results.mri is None:
        raise InputError("the MRI that the slide lies on was removed", where=name)
    if not results.facts:
        raise InputError("this slide was laid by hand, and carries no outlines yet", where=name, fix="score its position first")
    if results.segmentation is None:
        raise InputError("its outlines were removed", where=name, fix="register again")


def written(results: RegistrationResults, parent: Path) -> Path:
    """A new folder in `parent`, named as the transform, with the files of the registration as it lies now.

    Raises InputError where there is nothing to measure, OutputError where the files cannot be written.
    """
    check(results)
    folder = parent / (re.sub(r"[^\w\- ]", "_", results.transform.GetName())[:NAME_LENGTH].strip() or "registration")
    export(results, folder)
    return folder
