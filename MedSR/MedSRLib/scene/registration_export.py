"""A registration's results out of the scene into a folder, as they stand there now: all files, or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io import dicom_seg, formats, transforms
from ..jobs_files import Staging, new_folder
from ..tasks.slide_report import MOVED
from ..volume_layers import flattened
from . import dicom_sources, tables
from .nodes import volume_from_node
from .nudge import nudged
from .registration_results import RegistrationResults
from .segmentations import layers_from_segmentation
from .slide_transform import field_of, matrix_of


def export(results: RegistrationResults, folder: str | Path) -> list[Path]:
    """Write transform.h5, registration.json, and of what is there warp.h5, labels.seg.nrrd, labelmap.nii.gz, dice.csv and fused.nrrd;
    labels.dcm (DICOM SEG) where the MRI came from Slicer's DICOM database and highdicom is there.

    Returns the files. Raises OutputError where they cannot be written, InputError where the MRI was removed from the scene.
    """
    folder = Path(folder).expanduser()
    writers = dict(_writers(results))
    with new_folder(str(folder)), Staging(folder) as staging:
        for name, write in writers.items():
            with staging.place(folder / name) as path:
                write(path)
        staging.commit()
    return [folder / name for name in writers]


def _writers(results: RegistrationResults) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    yield "transform.h5", lambda path: transforms.write_linear(path, matrix_of(results.transform))
    yield "registration.json", lambda path: path.write_text(json.dumps(facts(results), indent=2) + "\n", encoding="ascii")
    if results.warp is not None:
        yield "warp.h5", lambda path: transforms.write_warp(path, field_of(results.warp), matrix_of(results.transform))
    if results.segmentation is not None:
        labels = _labels(results)
        yield "labels.seg.nrrd", lambda path: formats.write(path, labels)
        yield "labelmap.nii.gz", lambda path: formats.write(path, flattened(labels))
        referring = labels.with_(meta={"dicom_files": dicom_sources.files_of(results.mri)})
        if dicom_seg.can_refer(referring) and find_spec("highdicom") is not None:
            yield "labels.dcm", lambda path: dicom_seg.write(path, referring)
    if results.table is not None:
        yield "dice.csv", lambda path: path.write_text(tables.text_of(results.table), encoding="utf-8")
    if results.fused is not None:
        yield "fused.nrrd", lambda path: formats.write(path, volume_from_node(results.fused))


def _labels(results: RegistrationResults) -> Any:
    if results.mri is None:
        raise InputError("the MRI was removed, and with it the grid of the outlines", where=results.segmentation.GetName())
    return layers_from_segmentation(results.segmentation, results.mri)


def facts(results: RegistrationResults) -> dict[str, Any]:
    """registration.json as the slide lies now: after a move by hand the transform is the new one, and a warning says what is not."""
    said = results.facts
    if nudged(results.transform):
        said["slide_to_patient"] = matrix_of(results.transform).tolist()
        said["moved_by_hand"] = nudged(results.transform)
        said["warnings"] = [*said.get("warnings", ()), MOVED]
    return said
