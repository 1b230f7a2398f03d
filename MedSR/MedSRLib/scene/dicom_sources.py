"""The DICOM files that a volume node was loaded from, slice by slice, where Slicer's database still knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer

from .nodes import affine_from_node

UIDS = "DICOM.instanceUIDs"
OFF = 0.1
"""Of a slice: a file's position may differ from the slice's by no more."""


def files_of(node: Any) -> tuple[str, ...]:
    """One file a slice, in the order of the node's slices; () where a slice has none, or two, or the node was moved."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = (node.GetAttribute(UIDS) or "").split()
    if database is None or not uids or node.GetParentTransformNode() is not None:
        return ()
    files = [str(database.fileForInstance(uid) or "") for uid in uids]
    if not all(file and Path(file).is_file() for file in files):
        return ()
    return _in_order(files, node)


def _in_order(files: list[str], node: Any) -> tuple[str, ...]:
    import pydicom

    to_index, found = np.linalg.inv(affine_from_node(node)), {}
    for file in files:
        position = getattr(pydicom.dcmread(file, stop_before_pixels=True), "ImagePositionPatient", None)
        if position is None:
            return ()
        at = to_index @ (*(float(v) for v in position), 1.0)
        if np.abs(at[2] - np.rint(at[2])) > OFF:
            return ()
        found[int(np.rint(at[2]))] = file
    count = node.GetImageData().GetDimensions()[2]
    return tuple(found[k] for k in range(count)) if set(found) == set(range(count)) and len(files) == count else ()
