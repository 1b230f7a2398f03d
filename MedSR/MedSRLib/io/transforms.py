"""Transform files that Slicer and SimpleITK both read: .h5 and .tfm hold the map from the patient to the slide, in LPS mm.

That is ITK's direction (fixed to moving, for resampling the slide on the MRI) and Slicer's "from parent": loaded there as a transform
node, it carries what hangs below the node, the slide, into the patient.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OutputError
from ..volume import Volume
from .atomic import replacing_file

ENDINGS = (".h5", ".tfm")


def write(path: str | Path, slide_to_patient: np.ndarray, field: Volume | None = None) -> None:
    """Write a linear transform, or with a displacement field the two as one."""
    if field is None:
        write_linear(path, slide_to_patient)
    else:
        write_warp(path, field, slide_to_patient)


def write_linear(path: str | Path, slide_to_patient: np.ndarray) -> None:
    """Write a 4x4 (slide frame to LPS mm) as an affine transform file. Raises OutputError where it cannot be written."""
    _write(Path(path), _affine(np.linalg.inv(slide_to_patient)))


def write_warp(path: str | Path, field: Volume, slide_to_patient: np.ndarray | None = None) -> None:
    """Write a displacement field alone (a grid transform), or with the 4x4 behind it (patient to slide in one file).

    field: (z, y, x, 3) LPS mm, added to a patient's point before the inverse of `slide_to_patient`.
    """
    import SimpleITK as sitk

    warp = sitk.DisplacementFieldTransform(_image(field))
    if slide_to_patient is None:
        _write(Path(path), warp)
        return
    _write(Path(path), sitk.CompositeTransform([_affine(np.linalg.inv(slide_to_patient)), warp]))


def read_linear(path: str | Path) -> np.ndarray:
    """The 4x4 (slide frame to LPS mm) of an affine transform file. Raises InputError where it holds no linear transform."""
    import SimpleITK as sitk

    try:
        transform = sitk.ReadTransform(str(path))
        linear = sitk.AffineTransform(transform.Downcast())
    except RuntimeError as error:
        raise InputError("is not a file of one linear transform", where=str(path)) from error
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(linear.GetMatrix(), (3, 3))
    matrix[:3, 3] = linear.TransformPoint((0.0, 0.0, 0.0))
    return np.linalg.inv(matrix)


def read_warp(path: str | Path) -> Volume:
    """The displacement field, (z, y, x, 3) LPS mm, of a file that `write_warp` wrote. Raises InputError where it holds none."""
    import SimpleITK as sitk

    try:
        transform = sitk.ReadTransform(str(path))
        last = _last(transform)
        image = sitk.DisplacementFieldTransform(last).GetDisplacementField()
    except RuntimeError as error:
        raise InputError("holds no displacement field", where=str(path)) from error
    direction = np.reshape(image.GetDirection(), (3, 3))
    return Volume(sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), direction)


def _last(transform: Any) -> Any:
    """The part of a transform that meets a point first."""
    import SimpleITK as sitk

    if transform.GetTransformEnum() != sitk.sitkComposite:
        return transform
    parts = sitk.CompositeTransform(transform)
    return parts.GetNthTransform(parts.GetNumberOfTransforms() - 1)


def _affine(matrix: np.ndarray) -> Any:
    import SimpleITK as sitk

    affine = sitk.AffineTransform(3)
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation(matrix[:3, 3].tolist())
    return affine


def _image(field: Volume) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(field.array.astype(np.float64), isVector=True)
    image.SetSpacing(field.spacing_mm)
    image.SetOrigin(field.origin_mm)
    image.SetDirection(field.direction.ravel().tolist())
    return image


def _write(path: Path, transform: Any) -> None:
    import SimpleITK as sitk

    if path.suffix not in ENDINGS:
        raise OutputError(f"{path.suffix!r} is not the ending of a transform file", where=str(path), fix="use .h5 or .tfm")
    with tempfile.TemporaryDirectory() as folder:  # ITK writes only to a name with the ending
        whole = Path(folder) / f"transform{path.suffix}"
        try:
            sitk.WriteTransform(transform, str(whole))
        except RuntimeError as error:
            raise OutputError("cannot be written: the disk is full, or its folder for temporary files", where=str(path)) from error
        with replacing_file(path) as file:
            file.write(whole.read_bytes())
