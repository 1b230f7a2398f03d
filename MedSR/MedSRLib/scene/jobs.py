"""What every job between nodes and files has in common: nodes become a specification, an outcome becomes nodes, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..jobs_files import provenance_path
from ..jobs_specification import Outcome, Specification
from ..volume import Volume
from . import attributes
from .aftercare import dress
from .exchange import Workspace, load
from .fidelity import add_fidelity
from .nodes import add_node, set_node
from .segmentations import Segment
from .sequences import add_sequence, index_of, sequence_of
from .undo import all_or_nothing

ERROR_SUFFIX = "expected error"


@dataclass(frozen=True)
class Results:
    """The nodes that a job made. volume: what views show; sequence: its frames, for a cine."""

    volume: Any
    sequence: Any = None
    fidelity: Any = None
    segmentation: Any = None


class NodeJob:
    """A job on a volume node: its files, its warnings, and how its outcome comes into the scene. Close it when done."""

    task = ""

    def __init__(self, source: Any, options: Mapping[str, Any]) -> None:
        self.source, self.options = source, dict(options)
        self.warnings: tuple[str, ...] = ()
        self.files = Workspace()

    def close(self) -> None:
        """Remove the job's files."""
        self.files.close()

    def specification(self) -> Specification:
        """Write the input files and say what is to be done. `warnings` then tells what the user should know of them."""
        inputs, outputs = self._ports()
        return Specification(self.task, _text(inputs), _text(outputs), self.options)

    def collect(self, outcome: Outcome) -> Any:
        """The nodes of what the job wrote, all or none. Raises InputError where the input was removed from the scene meanwhile."""
        for node in self._needed():
            if node.GetScene() is None:
                raise InputError("the input was removed before the job was done", where=node.GetName())
        read = self._read(outcome)
        with all_or_nothing(self.source.GetScene()):
            return self._show(read, outcome)

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        """({input: path}, {output: path}); the inputs have been written."""
        raise NotImplementedError

    def _needed(self) -> tuple[Any, ...]:
        """Nodes without which the outcome has no place."""
        return (self.source,)

    def _read(self, outcome: Outcome) -> Any:
        """What the job wrote, before anything is added to the scene."""
        raise NotImplementedError

    def _show(self, read: Any, outcome: Outcome) -> Any:
        raise NotImplementedError


class ImageJob(NodeJob):
    """A job that makes of a volume, or of all frames of its sequence, another one with a map of what to trust.

    labels_port: the input that takes labels; suffix: what the result's name ends with.
    """

    labels_port = ""
    suffix = ""

    def __init__(
        self,
        source: Any,
        options: Mapping[str, Any],
        *,
        output: Any = None,
        labels: Any = None,
        fidelity: bool = True,
        all_frames: bool = True,
    ) -> None:
        """source: the input volume node. output: a node to fill, None for a new one. Raises InputError for unusable nodes."""
        if output is not None and output is source:
            raise InputError("the output is the input itself", where=source.GetName(), fix="choose another one, or none")
        super().__init__(source, options)
        self.output, self.labels, self.wants_fidelity = output, labels, fidelity
        self.sequence = sequence_of(source) if all_frames else None
        self.segments: tuple[Segment, ...] = ()

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        inputs = {"volume": self._export()}
        self.warnings = transform_warning(self.source)
        outputs = {"volume": self.files.path("output.nrrd")}
        if self.wants_fidelity:
            outputs["fidelity"] = self.files.path("fidelity.nrrd")
        if self.labels is not None:
            inputs[self.labels_port], self.segments, warnings = self.files.export_labels(self.labels, self.source)
            self.warnings += warnings
        return inputs, outputs

    def _export(self) -> Path:
        if self.sequence is not None:
            return self.files.export_sequence(self.sequence[1], self.source)
        return self.files.export_volume(self.source)

    def _needed(self) -> tuple[Any, ...]:
        return (self.source, *(self.sequence or ()))

    def _read(self, outcome: Outcome) -> Mapping[str, tuple[Volume, ...]]:
        """{port: its frames}."""
        return {port: load(path) for port, path in outcome.outputs.items()}

    def _show(self, read: Mapping[str, tuple[Volume, ...]], outcome: Outcome) -> Results:
        node, sequence = self._add(read["volume"], f"{self.source.GetName()} {self.suffix}")
        report = {**outcome.report, "seconds": round(outcome.seconds, 2), "warnings": [*outcome.warnings, *self.warnings]}
        dress(node, self.source, task=self.task, report=report, provenance=_provenance(outcome.outputs["volume"]))
        if sequence is not None:
            attributes.write(sequence, {"task": self.task, "source": self.source.GetName()})
        return Results(node, sequence, self._add_fidelity(read.get("fidelity")), self._add_labels(read.get(self.labels_port)))

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

    def _add_labels(self, frames: tuple[Volume, ...] | None) -> Any:
        """A node of the labels that the job made; None for a job that makes none."""
        return None


def transform_warning(node: Any) -> tuple[str, ...]:
    """What the user should know where a volume lies under a transform."""
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
