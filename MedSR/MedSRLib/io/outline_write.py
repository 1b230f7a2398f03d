"""Outlines and labels to the file that a name's ending says: volumes, DICOM SEG, GeoJSON."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError
from ..outlines import Outline
from ..volume import Volume
from . import dicom_seg, formats, outline_geojson
from .series import suffix_of

GEOJSON = (".geojson",)


def write(path: Path, moved: Volume | tuple[Outline, ...]) -> None:
    """Write labels on an MRI's grid, or outlines on a slide. Raises OutputError where the ending is of the other kind."""
    suffix = suffix_of(path)
    if isinstance(moved, Volume):
        if suffix in GEOJSON:
            raise OutputError("labels on the MRI are no GeoJSON", where=str(path), fix="use .seg.nrrd, .nii.gz or .dcm")
        (dicom_seg if suffix == ".dcm" else formats).write(path, moved)
    elif suffix not in GEOJSON:
        raise OutputError(f"outlines on a slide cannot be written as {suffix!r}", where=str(path), fix="use .geojson")
    else:
        outline_geojson.write(path, moved)
