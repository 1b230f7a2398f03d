"""Outlines and labels to the file that a name's ending says: volumes, DICOM SEG, GeoJSON."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError
from ..outlines import Outline
from ..volume import Volume
from ..volume_layers import flattened
from . import dicom_seg, formats, outline_geojson
from .series import suffix_of

GEOJSON = (".geojson",)


def write(path: Path, moved: Volume | tuple[Outline, ...]) -> None:
    """Write labels on an MRI's grid, or outlines on a slide. Volumes but .seg.nrrd have one layer: there later segments cover earlier ones.

    Raises OutputError where the ending is of the other kind."""
    suffix = suffix_of(path)
    if isinstance(moved, Volume):
        _write_labels(path, suffix, moved)
    elif suffix not in GEOJSON:
        raise OutputError(f"outlines on a slide cannot be written as {suffix!r}", where=str(path), fix="use .geojson")
    else:
        outline_geojson.write(path, moved)


def _write_labels(path: Path, suffix: str, labels: Volume) -> None:
    if suffix in GEOJSON:
        raise OutputError("labels on the MRI are no GeoJSON", where=str(path), fix="use .seg.nrrd, .nii.gz or .dcm")
    if suffix == ".dcm":
        dicom_seg.write(path, labels)
    else:
        formats.write(path, labels if suffix == ".seg.nrrd" else flattened(labels))
