"""Slices to a stack: order, axis, steps and frames, from positions and orientations alone. numpy only.

Nothing is taken from file names, SliceLocation, SpacingBetweenSlices or the gantry's own tilt tag: they contradict the positions too often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..volume import ORTHOGONAL_TOLERANCE
from .dicom_headers import Slice

SAME_PLACE_MM = 0.01
"""Slices whose positions along the normal differ by less lie in one place."""

SAME_PLANE = 1e-3
"""Largest difference between direction cosines of slices that count as parallel (0.06 degrees)."""

EVEN_TOLERANCE = 0.02
"""Part of the mean step by which a slice may lie off its place on an even grid, and the stack still counts as even.

Scanners that write positions to a tenth of a millimetre jitter by about 1 % of a 7 mm step; a real change of step is far more.
"""

SILENT_TOLERANCE = 0.002
"""Part of the mean step up to which such a jitter is not worth a warning."""

DRIFT_PIXELS = 0.1
"""Sideways drift over the whole stack, in pixels, that is still no tilt."""

SHIFT_PIXELS = 0.5
"""Sideways distance of a slice from the stack's axis, in pixels, that cannot be described by one grid."""


@dataclass(frozen=True)
class Grid:
    """The grid of a stack. direction: columns x, y, z (z along increasing normal). positions_mm: offsets along z, None where even."""

    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: np.ndarray
    positions_mm: tuple[float, ...] | None
    warnings: tuple[str, ...]


def images_of(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Divide the slices of one series into images that could be one stack: parallel, of one size, spacing and modality."""
    images: list[list[Slice]] = []
    for one in sorted(slices, key=lambda s: s.order):
        home = next((image for image in images if _belongs(one, image[0])), None)
        if home is None:
            images.append([one])
        else:
            home.append(one)
    return images


def _belongs(one: Slice, other: Slice) -> bool:
    if (one.size, one.modality, one.colour, one.placed) != (other.size, other.modality, other.colour, other.placed):
        return False
    if not one.placed:
        return one.path == other.path
    same_spacing = np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3)  # type: ignore[arg-type]
    return bool(same_spacing and np.abs(one.axes - other.axes).max() < SAME_PLANE)  # type: ignore[operator]


def plane_of(one: Slice) -> str:
    """ "axial", "oblique coronal", ... : where the slice's normal points."""
    if one.axes is None:
        return "unplaced"
    normal = np.abs(np.cross(*one.axes))
    return ("oblique " if normal.max() < 0.9 else "") + ("sagittal", "coronal", "axial")[int(normal.argmax())]


def normal_of(slices: Sequence[Slice]) -> np.ndarray:
    """(3,) unit normal of parallel slices: row direction x column direction."""
    normal = np.cross(*slices[0].axes)  # type: ignore[misc]
    return normal / np.linalg.norm(normal)


def places_of(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices at each place along the normal, in the normal's order; more than one at a place in a 4-D series."""
    normal = normal_of(slices)
    ordered = sorted(slices, key=lambda s: (float(s.position @ normal), s.order))  # type: ignore[operator]
    along = np.array([s.position @ normal for s in ordered])
    starts = np.flatnonzero(np.diff(along, prepend=-np.inf) > SAME_PLACE_MM)
    return [list(ordered[a:b]) for a, b in zip(starts, [*starts[1:], len(ordered)], strict=True)]


def frames_of(places: Sequence[Sequence[Slice]]) -> list[list[Slice]]:
    """The complete stacks of a 4-D series, in time order: one list of slices, place by place, for each frame.

    Slices at one place are ordered by those keys whose values are the same set at every place (time, b-value, echo, ...); ties by
    trigger time, instance number and frame number. Every place must hold as many slices as the others.
    """
    keys = consistent_keys(places)
    untied = [_ordered(place, keys) for place in places]
    return [list(frame) for frame in zip(*untied, strict=True)]


def consistent_keys(places: Sequence[Sequence[Slice]]) -> list[str]:
    """The keys that vary within a place, and in the same way at every place."""
    found = []
    for key in places[0][0].keys:
        columns = [[s.keys[key] for s in place] for place in places]
        if any(v is None for column in columns for v in column):
            continue
        first = sorted(columns[0])
        if len(set(first)) > 1 and all(sorted(column) == first for column in columns):
            found.append(key)
    return found


def _ordered(place: Sequence[Slice], keys: Sequence[str]) -> list[Slice]:
    """By the keys (kinds in order of appearance, not of the alphabet), then trigger time where there is no key, then as numbered."""
    kinds = list(dict.fromkeys(s.keys["kind"] for s in sorted(place, key=lambda s: s.order)))

    def rank(s: Slice) -> tuple[Any, ...]:
        values = (kinds.index(s.keys[k]) if k == "kind" else s.keys[k] for k in keys)
        return (*values, 0.0 if keys else s.keys["trigger_time_ms"] or 0.0, s.order)

    return sorted(place, key=rank)


def grid_of(stack: Sequence[Slice]) -> Grid:
    """The grid of one frame's slices, in order. Raises InputError where they are shifted against each other in their plane."""
    first = stack[0]
    assert first.axes is not None and first.spacing_mm is not None
    points = np.array([s.position for s in stack])
    normal = normal_of(stack)
    if len(stack) == 1:
        direction = np.column_stack([*first.axes, normal])
        unknown = "the single slice does not say how thick it is: 1 mm was taken"
        warnings = () if first.thickness_mm else (unknown,)
        return Grid((*first.spacing_mm, first.thickness_mm or 1.0), tuple(points[0]), direction, None, warnings)
    axis, tilt = _axis(points, normal, min(first.spacing_mm))
    offsets = (points - points[0]) @ normal / (axis @ normal)
    sideways = np.linalg.norm(points - points[0] - offsets[:, None] * axis, axis=1).max()
    if sideways > SHIFT_PIXELS * min(first.spacing_mm):
        raise InputError(f"its slices are shifted sideways against each other by up to {sideways:.2g} mm", where=str(first.path.parent))
    step, positions, told = _steps(offsets)
    direction = np.column_stack([*first.axes, axis])
    return Grid((*first.spacing_mm, step), tuple(points[0]), direction, positions, tilt + told)


def _axis(points: np.ndarray, normal: np.ndarray, pixel_mm: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """((3,) unit direction from slice to slice, warning): the normal, unless the stack leans away from it."""
    line = points[-1] - points[0]
    drift = np.linalg.norm(line - (line @ normal) * normal)
    axis = line / np.linalg.norm(line)
    if drift <= DRIFT_PIXELS * pixel_mm or drift <= ORTHOGONAL_TOLERANCE * np.linalg.norm(line):
        return normal, ()
    degrees = np.degrees(np.arccos(np.clip(axis @ normal, -1, 1)))
    return axis, (f"the stack leans by {degrees:.1f} degrees (tilted gantry): its grid is sheared",)


def _steps(offsets: np.ndarray) -> tuple[float, tuple[float, ...] | None, tuple[str, ...]]:
    """(step mm, positions or None where even, warnings) of offsets along the axis, the first 0."""
    count = len(offsets) - 1
    mean, steps = float(offsets[-1]) / count, np.diff(offsets)
    off = float(np.abs(offsets - mean * np.arange(count + 1)).max()) / mean
    spread = f"{steps.min():.4g} to {steps.max():.4g} mm"
    if off <= EVEN_TOLERANCE:
        jitter = f"the steps between slices jitter, {spread}: taken as {mean:.4g} mm"
        return round(mean, 6), None, (jitter,) if off > SILENT_TOLERANCE else ()
    median = round(float(np.median(steps)), 6)
    sentence = _gaps(steps, median) or f"unevenly spaced slices, steps of {spread}: their true positions are kept"
    return median, tuple(float(o) for o in offsets), (sentence,)


def _gaps(steps: np.ndarray, median: float) -> str:
    """A sentence where the steps are whole multiples of one step, so that slices seem to be missing; else ""."""
    times = steps / (steps.min() if np.median(steps) > 1.5 * steps.min() else median)
    whole = np.rint(times)
    if np.abs(times - whole).max() > 0.05 or whole.max() == 1 or whole.max() > 3 or (whole > 1).sum() * 2 >= len(steps):
        return ""
    holes = [f"between slices {i + 1} and {i + 2} ({steps[i]:.4g} mm)" for i in np.flatnonzero(whole > 1)]
    missing = int((whole - 1).sum())
    noun = "slice seems" if missing == 1 else "slices seem"
    return f"{missing} {noun} to be missing {', '.join(holes[:3])}{' ...' if len(holes) > 3 else ''}: true positions are kept"
