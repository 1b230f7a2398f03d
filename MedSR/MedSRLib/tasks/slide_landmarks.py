"""Pairs of points in a registration: a start, a correction, and what is left between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry_slice import SlicePlane, slide_frame
from ..geometry_warp import Placement
from ..io.landmarks import Landmarks

FEW, ENOUGH = 2, 3
"""With so many pairs: a rotation, scale and shift; an affine. A single one shifts."""


def pairs(landmarks: Landmarks, mpp_um: tuple[float, float], plane: SlicePlane) -> tuple[np.ndarray, np.ndarray]:
    """((n, 2) slide mm, (n, 3) plane mm and distance from the slice)."""
    return landmarks.slide_px @ slide_frame(mpp_um)[:2, :2], plane.to_plane(landmarks.patient_mm)


def start(landmarks: Landmarks, mpp_um: tuple[float, float], plane: SlicePlane) -> np.ndarray:
    """3x3, slide mm to plane mm: the affine through the landmarks by least squares. Raises InputError for fewer than three."""
    slide, mri = pairs(landmarks, mpp_um, plane)
    if len(slide) < ENOUGH:
        fix = "give three, not on one line, or use them as {landmarks_as} correction"
        raise InputError(f"{len(slide)} pairs of landmarks do not say which way round the slide lies", where="landmarks", fix=fix)
    return affine(slide, mri[:, :2])


def corrected(in_plane: np.ndarray, landmarks: Landmarks, mpp_um: tuple[float, float], plane: SlicePlane) -> np.ndarray:
    """The affine after the least change (shift, similarity or affine, by their number) that brings the landmarks together."""
    slide, mri = pairs(landmarks, mpp_um, plane)
    moved = slide @ in_plane[:2, :2].T + in_plane[:2, 2]
    if len(moved) == 1:
        change = np.eye(3)
        change[:2, 2] = mri[0, :2] - moved[0]
    else:
        change = affine(moved, mri[:, :2]) if len(moved) >= ENOUGH else _similarity(moved, mri[:, :2])
    return change @ in_plane


def affine(source: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """3x3 by least squares. Raises InputError where the points lie on one line."""
    known = np.column_stack([source - source.mean(0), np.ones(len(source))])
    if np.linalg.matrix_rank(known, tol=1e-6 * max(1.0, np.abs(known).max())) < 3:
        raise InputError("the landmarks lie on one line", where="landmarks", fix="add one beside it")
    found = np.linalg.lstsq(known, goal, rcond=None)[0].T
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = found[:, :2], found[:, 2] - found[:, :2] @ source.mean(0)
    return matrix


def _similarity(source: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """3x3, unmirrored, through two pairs: complex division turns and scales at once."""
    a, b = (complex(*(points[1] - points[0])) for points in (source, goal))
    if abs(a) == 0 or abs(b) == 0:
        raise InputError("two landmarks lie on one point", where="landmarks")
    turn = b / a
    matrix = np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0], [0, 0, 1.0]])
    matrix[:2, 2] = goal.mean(0) - matrix[:2, :2] @ source.mean(0)
    return matrix


def remaining(placement: Placement, landmarks: Landmarks, mpp_um: tuple[float, float]) -> dict[str, Any]:
    """Errors in mm in the plane, and the largest distance of a landmark from the slice."""
    slide, mri = pairs(landmarks, mpp_um, placement.plane)
    away = np.linalg.norm(placement.to_plane(slide) - mri[:, :2], axis=1)
    return {
        "count": len(away),
        "median_mm": float(np.median(away)),
        "max_mm": float(away.max()),
        "off_slice_mm": float(np.abs(mri[:, 2]).max()),
    }
