"""A registration that is in the scene, measured as it lies there: table nodes of each outline and of the means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..jobs_specification import Outcome
from . import attributes, registration_export, slide_files, tables
from .jobs import NodeJob
from .nudge import nudged
from .registration_results import RegistrationResults

TASK = "evaluate_registration"
Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class RegistrationEvaluation:
    """table: a row an outline: Dice, 95 % Hausdorff distance, centroids; in the first row landmarks, SSIM, mutual information, folding.
    summary: a row a measure."""

    table: Any
    summary: Any


class EvaluateRegistrationJob(NodeJob):
    """The task evaluate_registration on what an export would write."""

    task = TASK

    def __init__(self, results: RegistrationResults, *, reference: Any = None, landmarks: Any = None) -> None:
        """reference: a segmentation node with the true outlines, named as the carried ones. landmarks: as for RegisterJob.

        Raises InputError where the MRI was removed, or nothing was registered.
        """
        if results.mri is None:
            raise InputError("the MRI was removed", where=results.transform.GetName(), fix="register again")
        if not results.facts or results.segmentation is None:
            raise InputError("there is no result to measure", where=results.transform.GetName(), fix="register, or score it where it lies")
        super().__init__(results.mri, {})
        self.results, self.reference, self.landmarks = results, reference, landmarks

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        folder = self.files.path("registration")
        registration_export.export(self.results, folder)
        if nudged(self.results.transform):
            self.warnings = (registration_export.MOVED,)
        inputs = {"registration": folder, "mri": self.files.export_volume(self.source)}
        if self.reference is not None:
            inputs["reference"] = self.files.export_segments(self.reference, self.source, "reference.seg.nrrd")
        if self.landmarks is not None:
            inputs["landmarks"] = slide_files.landmark_file(self.files, self.landmarks, self.results.slide)
        return inputs, {port: self.files.path(f"{port}.csv") for port in ("table", "table1")}

    def _needed(self) -> tuple[Any, ...]:
        return (self.source, self.results.transform)

    def _read(self, outcome: Outcome) -> tuple[Table, Table]:
        return tables.read_csv(Path(outcome.outputs["table"])), tables.read_csv(Path(outcome.outputs["table1"]))

    def _show(self, read: tuple[Table, Table], outcome: Outcome) -> RegistrationEvaluation:
        scene, name = self.source.GetScene(), self.results.transform.GetName()
        made = [
            tables.add_table(scene, *rows, f"{name} {what}", self.task) for rows, what in zip(read, ("evaluation", "summary"), strict=True)
        ]
        for node in made:
            node.SetNodeReferenceID(attributes.SOURCE_ROLE, self.source.GetID())
        return RegistrationEvaluation(*made)
