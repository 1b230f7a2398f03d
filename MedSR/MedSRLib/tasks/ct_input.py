"""What a scan must be before it is super-resolved: in HU, of finite numbers; and which of its voxels are padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..intensity import HOUNSFIELD, PADDING_HU, Intensity
from ..volume import Volume

AIR_HU = -200.0
"""A volume of unknown modality counts as CT in HU where its values go below this: other modalities have no negative values."""
HIGHEST_HU = 70000.0
"""Above this nothing is in HU, metal with extended range included."""
SQUARE = 0.01
"""Largest relative difference of a pixel's sides that still counts as square."""
PERCENTILES = (0.5, 99.5)
"""Of an image that is not in HU: what a model that reads HU is given as 0 and 1."""


def check_finite(frames: Sequence[Volume]) -> None:
    """Raises InputError where a voxel is NaN or infinite."""
    for frame in frames:
        bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in frame.array) if frame.array.dtype.kind == "f" else 0
        if bad:
            raise InputError(f"{bad} voxels are NaN or infinite", where=name_of(frame), fix="replace them by numbers first")


def name_of(volume: Volume) -> str:
    return str(volume.meta.get("name", "volume"))


def why_not_hu(volume: Volume) -> str:
    """Why the values cannot be HU, a clause; empty where they can."""
    array = volume.array
    return why_range_is_not_hu(str(volume.meta.get("modality") or ""), array.dtype, (float(array.min()), float(array.max())))


def why_range_is_not_hu(modality: str, kind: np.dtype, ends: tuple[float, float]) -> str:
    """The same from the scalar type and the lowest and highest value alone. modality: "" where it is not known."""
    low, high = ends
    if modality and modality != "CT":
        return f"the volume is {modality}, not CT in HU"
    if kind.itemsize == 1:
        return "8-bit values are not HU"
    if kind.kind in "ub":
        return f"values without a sign ({low:g} to {high:g}) are not HU: the rescale of the scanner is missing"
    if high > HIGHEST_HU:
        return f"values up to {high:g} are not HU"
    if not modality and low > AIR_HU:
        return f"the volume does not say that it is CT, and its values ({low:g} to {high:g}) hold no air, so they may not be HU"
    return ""


def intensity_for(volume: Volume, stated: dict[str, Any] | None, any_modality: bool, warnings: list[str]) -> Intensity:
    """What the model is given of this volume.

    stated: {"offset", "scale", "unit"} of a model that reads something else than HU; such a model takes values as they are, but
        no CT in HU.
    any_modality: stretch what is not HU to the range of lung, and warn, instead of raising InputError.
    """
    if stated:
        if volume.meta.get("modality") == "CT" and not why_not_hu(volume) and not any_modality:
            unit = stated.get("unit", "its own units")
            raise InputError(
                f"the model reads {unit} values of {stated['offset']:g} to {stated['offset'] + stated['scale']:g}, the volume is CT in HU",
                where=name_of(volume), fix="choose another {model}",
            )  # fmt: skip
        return Intensity(float(stated["offset"]), float(stated["scale"]), False, str(stated.get("unit", "")))
    why = why_not_hu(volume)
    if not why:
        return HOUNSFIELD
    if not any_modality:
        raise InputError(why, where=name_of(volume), fix="give CT in HU, or allow it by {any_modality}")
    low, high = (float(p) for p in np.percentile(volume.array, PERCENTILES))
    warnings.append(f"{why}: the model reads {low:g} to {high:g} as it reads −1000 to 0 HU, and was not trained for that")
    return Intensity(low, (high - low) or 1.0, False, str(volume.meta.get("units") or ""))


def grid_warnings(volume: Volume, name: str = "the model") -> list[str]:
    """Sentences about a grid that is taken as it is, but that a model has not seen."""
    said = []
    x, y, _ = volume.spacing_mm
    if abs(x / y - 1) > SQUARE:
        said.append(f"the pixels are {x:.3g} × {y:.3g} mm, not square: both sides are divided alike, {name} was trained on square ones")
    if volume.is_sheared:
        said.append("the gantry was tilted: each slice is enlarged in its own plane, and the result is tilted as the scan is")
    return said


def padding_of(plane: np.ndarray, intensity: Intensity) -> np.ndarray | None:
    """(h, w) bool, which pixels are padding; None where none is, or where it cannot be told."""
    if not intensity.in_hu:
        return None
    padding = plane < PADDING_HU
    return padding if padding.any() else None


def filled(plane: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    """The plane float32 with padding replaced by the nearest pixel that is none, so that no edge and no ringing arises from it.

    A plane of padding alone becomes air, −1000 HU.
    """
    if padding is None:
        return plane.astype(np.float32)
    if padding.all():
        return np.full(plane.shape, HOUNSFIELD.offset, np.float32)
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(padding, return_distances=False, return_indices=True)
    return plane[rows, columns].astype(np.float32)
