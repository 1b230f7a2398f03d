"""Nodes ⇄ the files that a job reads and writes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..volume import Volume
from .modality import modality_of
from .nodes import volume_from_node
from .segmentations import Segment, labels_from_segmentation, named
from .sequences import frames_from_sequence


class Workspace:
    """A folder of a job's files; removed by close(), or at the end of a with statement."""

    def __init__(self, parent: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="medsr_", dir=parent))

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder. A file that another process still holds open (Windows) is left to the system."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Where a file of that name lies."""
        return self.folder / name

    def export_volume(self, node: Any) -> Path:
        """Write one volume node in world space, with the modality that the scene knows of it."""
        return self._write("input.nrrd", [volume_from_node(node, {"modality": modality_of(node)})])

    def export_sequence(self, sequence: Any, proxy: Any = None) -> Path:
        """Write all frames of a sequence, 4-D."""
        return self._write("input.nrrd", frames_from_sequence(sequence, proxy))

    def export_labels(self, node: Any, reference: Any) -> tuple[Path, tuple[Segment, ...], tuple[str, ...]]:
        """Write a segmentation on the grid of `reference`, or a label map on its own; returns (path, its segments, warnings)."""
        if node.IsA("vtkMRMLVolumeNode"):
            return self._write("segmentation.nrrd", [volume_from_node(node)]), (), ()
        labels, segments = labels_from_segmentation(node, reference)
        return self._write("segmentation.nrrd", [labels]), segments, tuple(labels.meta["warnings"])

    def export_image(self, node: Any, name: str) -> Path:
        """Write a volume or label map as it is, under a name."""
        return self._write(name, [volume_from_node(node)])

    def export_segments(self, node: Any, reference: Any, name: str) -> Path:
        """Write a segmentation on the grid of `reference`, with its segments' names and colours."""
        labels, segments = labels_from_segmentation(node, reference)
        return self._write(name, [named(labels, segments)])

    def _write(self, name: str, frames: Sequence[Volume]) -> Path:
        from ..io import formats

        formats.write(self.path(name), tuple(frames))
        return self.path(name)


def load(path: Path | str) -> tuple[Volume, ...]:
    """The frames of a file that a job wrote."""
    from ..io import formats

    return formats.read(Path(path))


def load_labels(path: Path | str) -> Volume:
    """The labels that a job wrote, in layers where they overlap."""
    from ..io import formats

    return formats.read_labels(Path(path))[0]


def load_colour(path: Path | str) -> Volume:
    """A colour image that a job wrote, (z, y, x, 3); the readers of patients' images take one number a voxel only."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    direction = np.reshape(image.GetDirection(), (3, 3))
    return Volume(sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), direction)
