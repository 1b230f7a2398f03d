"""The slice tasks between nodes and files: interpolation gives a volume, evaluation a table and a plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import tasks
from ..errors import InputError
from ..jobs_specification import Outcome
from ..volume import Volume
from . import attributes, tables
from .aftercare import place_beside
from .jobs import ImageJob, NodeJob
from .segmentations import add_segmentation

PLOT_COLUMNS = {"ssim": "SSIM", "psnr_db": "PSNR (dB)"}
"""What is drawn of an evaluation, the first that its table has, and its title."""


class InterpolateJob(ImageJob):
    """One interpolation. Its labels are a segmentation, which is carried along."""

    task, suffix, labels_port = "interpolate_slices", "interpolated", "segmentation"

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        inputs, outputs = super()._ports()
        if self.labels is not None:
            outputs["segmentation"] = self.files.path("segmentation_output.nrrd")
        return inputs, outputs

    def _add_labels(self, frames: tuple[Volume, ...] | None) -> Any:
        if frames is None or self.labels is None:
            return None
        return add_segmentation(self.source.GetScene(), frames[0], f"{self.labels.GetName()} {self.suffix}", self.segments)


@dataclass(frozen=True)
class Evaluation:
    """The nodes that an evaluation made. table: a row a left-out slice and method; summary: a row a method."""

    table: Any
    summary: Any = None
    chart: Any = None


class EvaluateJob(NodeJob):
    """Leave-out evaluation of every method on one's own volume: a table node and a plot of boxes."""

    task = "evaluate_slices"

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        """The volume, and every table that the task gives."""
        outputs = {port.name: self.files.path(f"{port.name}.csv") for port in tasks.load(self.task).OUTPUTS if port.kind == "table"}
        return {"volume": self.files.export_volume(self.source)}, outputs

    def _read(self, outcome: Outcome) -> tuple[list[str], list[list[str]]]:
        """(columns, rows) of the table."""
        written = [path for path in outcome.outputs.values() if path.endswith(".csv")]
        if not written:
            raise InputError("the evaluation wrote no table", where=self.source.GetName())
        return tables.read_csv(Path(written[0]))

    def _show(self, read: tuple[list[str], list[list[str]]], outcome: Outcome) -> Evaluation:
        (columns, rows), scene, name = read, self.source.GetScene(), self.source.GetName()
        table = tables.add_table(scene, columns, rows, f"{name} slice evaluation")
        summary = tables.add_records(scene, outcome.report.get("summary") or (), f"{name} slice evaluation by method", self.task)
        for node in (table, summary):
            if node is not None:
                node.SetNodeReferenceID(attributes.SOURCE_ROLE, self.source.GetID())
                place_beside(node, self.source)
        return Evaluation(table, summary, self._chart(scene, columns, rows, name))

    @staticmethod
    def _chart(scene: Any, columns: list[str], rows: list[list[str]], name: str) -> Any:
        measure = next((c for c in PLOT_COLUMNS if c in columns), None)
        if measure is None or "method" not in columns:
            return None
        title = PLOT_COLUMNS[measure]
        return tables.add_box_plot(scene, tables.groups(columns, rows, "method", measure), f"{name}: {title} of left-out slices", title)
