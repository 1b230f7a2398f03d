"""Moving a slide by hand in its MRI slice: turn, mirror, shift and scale about its middle, as seen on the screen, with a way back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..errors import InputError, OptionError
from ..geometry_slice import SlicePlane
from . import attributes
from .slide_transform import centre_of, matrix_of, plane_under, set_matrix

HISTORY = "nudges"
LONGEST = 100
"""Steps that can be taken back."""


def nudge(
    transform: Any,
    *,
    turn_deg: float = 0.0,
    mirror: bool = False,
    shift_mm: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    mri: Any = None,
) -> None:
    """Move what lies under a slide's transform. turn_deg: clockwise. mirror: left to right. shift_mm: (right, down). scale: of its sides.

    mri: whose slice it lies on; None takes the volume that the transform refers to. Raises OptionError for a scale that is not
    positive, InputError where there is no MRI.
    """
    if not (np.isfinite([turn_deg, scale, *shift_mm]).all() and scale > 0):
        raise OptionError(f"a scale of {scale:g} cannot be", fix="give a number above 0")
    source = mri or transform.GetNodeReference(attributes.SOURCE_ROLE)
    if source is None:
        raise InputError("the MRI that the slide lies on was removed", where=transform.GetName())
    before = matrix_of(transform)
    change = _change(plane_under(transform, source), before @ centre_of(transform), turn_deg, mirror, shift_mm, scale)
    _remember(transform, before)
    set_matrix(transform, change @ before)


def _change(
    plane: SlicePlane, centre: np.ndarray, turn_deg: float, mirror: bool, shift_mm: tuple[float, float], scale: float
) -> np.ndarray:
    """4x4 on LPS mm. A mirrored slide is one turned over, so that its thickness keeps a positive volume (geometry_slice.py)."""
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    on_screen = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])  # y points down: clockwise
    screen = np.eye(3)
    screen[:, :2] = plane.frame[:3, :2] @ plane.view
    screen[:, 2] = plane.frame[:3, 2]
    inner = np.diag([1.0, 1.0, -1.0 if mirror else 1.0])
    inner[:2, :2] = on_screen
    change = np.eye(4)
    change[:3, :3] = screen @ inner @ screen.T
    change[:3, 3] = centre[:3] - change[:3, :3] @ centre[:3] + screen[:, :2] @ shift_mm
    return change


def _remember(transform: Any, matrix: np.ndarray) -> None:
    _keep(transform, [*_history(transform), matrix.tolist()][-LONGEST:])


def _history(transform: Any) -> list[Any]:
    return list(json.loads(attributes.read(transform).get(HISTORY) or "[]"))


def _keep(transform: Any, history: list[Any]) -> None:
    transform.SetAttribute(attributes.PREFIX + HISTORY, json.dumps(history) if history else None)


def nudged(transform: Any) -> int:
    """How many steps can be taken back; 0: the slide lies where the registration laid it."""
    return len(_history(transform))


def undo(transform: Any) -> bool:
    """Take the last step back; False where there is none."""
    history = _history(transform)
    if not history:
        return False
    set_matrix(transform, np.array(history.pop()))
    _keep(transform, history)
    return True
