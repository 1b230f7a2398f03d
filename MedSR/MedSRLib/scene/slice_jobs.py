"""The slice tasks between nodes and files: a volume or sequence node becomes a specification, an outcome becomes nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import tasks
from ..errors import InputError
from ..jobs_files import provenance_path
from ..jobs_specification import Outcome, Specification
from ..volume import Volume
from . import attributes, tables
from .aftercare import dress, place_beside
from .exchange import Workspace, load
from .fidelity import add_fidelity
from .nodes import add_node, set_node
from .segmentations import Segment, add_segmentation
from .sequences import add_sequence, index_of, sequence_of
from .undo import all_or_nothing

SUFFIX = "interpolated"
ERROR_SUFFIX = "expected error"
PLOT_COLUMNS = {"ssim": "SSIM", "psnr_db": "PSNR (dB)"}
"""What is drawn of an evaluation, the first that its table has, and its title."""


@dataclass(frozen=True)
class Results:
    """The nodes that an interpolation made. volume: what views show; sequence: its frames, for a cine."""

    volume: Any
    sequence: Any = None
    fidelity: Any = None
    segmentation: Any = None


class InterpolateJob:
    """One interpolation: writes the inputs, names the outputs, and turns the outcome into nodes. Close it when done."""

    task = "interpolate_slices"

    def __init__(
        self,
        source: Any,
        options: Mapping[str, Any],
        *,
        output: Any = None,
        segmentation: Any = None,
        fidelity: bool = True,
        all_frames: bool = True,
    ) -> None:
        """source: the input volume node. output: a node to fill, None for a new one. Raises InputError for unusable nodes."""
        if output is not None and output is source:
            raise InputError("the output is the input itself", where=source.GetName(), fix="choose another one, or none")
        self.source, self.options, self.output = source, dict(options), output
        self.segmentation, self.wants_fidelity = segmentation, fidelity
        self.sequence = sequence_of(source) if all_frames else None
        self.segments: tuple[Segment, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.files = Workspace()

    def close(self) -> None:
        """Remove the job's files."""
        self.files.close()

    def specification(self) -> Specification:
        """Write the input files and say what is to be done. `warnings` then tells what the user should know of them."""
        inputs = {"volume": self._export()}
        self.warnings = _transform_warning(self.source)
        outputs = {"volume": self.files.path("output.nrrd")}
        if self.wants_fidelity:
            outputs["fidelity"] = self.files.path("fidelity.nrrd")
        if self.segmentation is not None:
            inputs["segmentation"], self.segments, warnings = self.files.export_segmentation(self.segmentation, self.source)
            self.warnings += warnings
            outputs["segmentation"] = self.files.path("segmentation_output.nrrd")
        return Specification(self.task, _text(inputs), _text(outputs), self.options)

    def _export(self) -> Path:
        if self.sequence is not None:
            return self.files.export_sequence(self.sequence[1], self.source)
        return self.files.export_volume(self.source)

    def collect(self, outcome: Outcome) -> Results:
        """Load what the job wrote, and give the nodes their name, looks, place and facts.

        All the nodes, or none. Raises InputError where the input was removed from the scene meanwhile.
        """
        _check_present(self.source, *(self.sequence or ()))
        made = {port: load(path) for port, path in outcome.outputs.items()}
        with all_or_nothing(self.source.GetScene()):
            return self._show(made, outcome)

    def _show(self, made: Mapping[str, tuple[Volume, ...]], outcome: Outcome) -> Results:
        """Nodes of what the job made. made: {port: its frames}."""
        name = f"{self.source.GetName()} {SUFFIX}"
        node, sequence = self._add(made["volume"], name)
        report = {**outcome.report, "seconds": round(outcome.seconds, 2), "warnings": [*outcome.warnings, *self.warnings]}
        dress(node, self.source, task=self.task, report=report, provenance=_provenance(outcome.outputs["volume"]))
        if sequence is not None:
            attributes.write(sequence, {"task": self.task, "source": self.source.GetName()})
        return Results(node, sequence, self._add_fidelity(made.get("fidelity")), self._add_segmentation(made.get("segmentation")))

    def _add(self, frames: tuple[Volume, ...], name: str) -> tuple[Any, Any]:
        """(shown node, sequence or None)."""
        scene = self.source.GetScene()
        if self.sequence is not None:
            browser, like = self.sequence
            sequence, shown = add_sequence(scene, frames, name, index=index_of(like), browser=browser)
            return shown, sequence
        if self.output is not None and self.output.GetScene() is not None:  # removed meanwhile: a new one
            set_node(self.output, frames[0])
            return self.output, None
        return add_node(scene, frames[0], name), None

    def _add_fidelity(self, frames: tuple[Volume, ...] | None) -> Any:
        if frames is None:
            return None
        name = f"{self.source.GetName()} {ERROR_SUFFIX}"
        scene = self.source.GetScene()
        if self.sequence is None or len(frames) == 1:
            return add_fidelity(scene, frames[0], name, self.source)
        browser, like = self.sequence
        _, shown = add_sequence(scene, frames, name, index=index_of(like), browser=browser)
        return add_fidelity(scene, frames[0], name, self.source, node=shown)

    def _add_segmentation(self, frames: tuple[Volume, ...] | None) -> Any:
        if frames is None or self.segmentation is None:
            return None
        return add_segmentation(self.source.GetScene(), frames[0], f"{self.segmentation.GetName()} {SUFFIX}", self.segments)


@dataclass(frozen=True)
class Evaluation:
    """The nodes that an evaluation made. table: a row a left-out slice and method; summary: a row a method."""

    table: Any
    summary: Any = None
    chart: Any = None


class EvaluateJob:
    """Leave-out evaluation of every method on one's own volume: a table node and a plot of boxes."""

    task = "evaluate_slices"

    def __init__(self, source: Any, options: Mapping[str, Any] | None = None) -> None:
        self.source, self.options = source, dict(options or {})
        self.warnings: tuple[str, ...] = ()
        self.files = Workspace()

    def close(self) -> None:
        """Remove the job's files."""
        self.files.close()

    def specification(self) -> Specification:
        """Write the volume and ask for every table that the task gives."""
        outputs = {port.name: self.files.path(f"{port.name}.csv") for port in tasks.load(self.task).OUTPUTS if port.kind == "table"}
        return Specification(self.task, _text({"volume": self.files.export_volume(self.source)}), _text(outputs), self.options)

    def collect(self, outcome: Outcome) -> Evaluation:
        """The table that the job wrote, and a plot of it, as nodes. Raises InputError where the input was removed meanwhile."""
        _check_present(self.source)
        written = [path for path in outcome.outputs.values() if path.endswith(".csv")]
        if not written:
            raise InputError("the evaluation wrote no table", where=self.source.GetName())
        columns, rows = tables.read_csv(Path(written[0]))
        with all_or_nothing(self.source.GetScene()):
            return self._show(columns, rows, outcome)

    def _show(self, columns: list[str], rows: list[list[str]], outcome: Outcome) -> Evaluation:
        scene, name = self.source.GetScene(), self.source.GetName()
        table = tables.add_table(scene, columns, rows, f"{name} slice evaluation")
        summary = self._summary(scene, outcome.report.get("summary") or (), name)
        for node in (table, summary):
            if node is not None:
                node.SetNodeReferenceID(attributes.SOURCE_ROLE, self.source.GetID())
                place_beside(node, self.source)
        return Evaluation(table, summary, self._chart(scene, columns, rows, name))

    @staticmethod
    def _summary(scene: Any, rows: Sequence[Mapping[str, Any]], name: str) -> Any:
        """The means by method, as the report gives them; None where it gives none."""
        if not rows:
            return None
        columns = list(rows[0])
        texts = [["" if row.get(c) is None else str(row[c]) for c in columns] for row in rows]
        return tables.add_table(scene, columns, texts, f"{name} slice evaluation by method")

    @staticmethod
    def _chart(scene: Any, columns: list[str], rows: list[list[str]], name: str) -> Any:
        measure = next((c for c in PLOT_COLUMNS if c in columns), None)
        if measure is None or "method" not in columns:
            return None
        title = PLOT_COLUMNS[measure]
        return tables.add_box_plot(scene, tables.groups(columns, rows, "method", measure), f"{name}: {title} of left-out slices", title)


def _check_present(*nodes: Any) -> None:
    """nodes: the volume, and the browser and the sequence that it belongs to."""
    for node in nodes:
        if node.GetScene() is None:
            raise InputError("the input was removed before the job was done", where=node.GetName())


def _transform_warning(node: Any) -> tuple[str, ...]:
    transform = node.GetParentTransformNode()
    if transform is None:
        return ()
    return (f"{node.GetName()} lies under the transform {transform.GetName()}, which was hardened into the result.",)


def _text(paths: Mapping[str, Path]) -> dict[str, str]:
    return {port: str(path) for port, path in paths.items()}


def _provenance(output: str) -> str:
    """The text of the provenance file beside an output, "" where there is none."""
    path = provenance_path(output)
    return path.read_text(encoding="utf-8") if path.is_file() else ""
