"""A smooth warp behind the affine: B-splines (Rueckert et al., IEEE TMI 1999) that bring the outline onto the mask's border."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry_plane import Window
from ..geometry_warp import Warp
from ..outlines import Outline
from ..outlines_area import mask as rasterised
from .slide_fit import Target

KNOT_MM = 16.0
"""Distance of the control points: what bends over less is the outline's roughness."""
REACH_MM = 6.0
"""Distances to the border are told apart up to here: tissue farther off is not pulled."""
FINER = 1
ITERATIONS = 60


def fit_warp(outline: Outline, in_plane: np.ndarray, fixed: Target) -> Warp:
    """The warp, patient's plane to the affine's, by the signed distances to both borders. outline: in slide mm."""
    import SimpleITK as sitk

    plane = fixed.plane
    fine = Window(plane.window.box, (plane.shape[0] * FINER, plane.shape[1] * FINER))
    moving = rasterised(outline.moved(plane.to_picture @ in_plane), fine)
    mask = np.kron(fixed.mask, np.ones((FINER, FINER), bool))
    target, source = (_image(_distance(m, plane.spacing_mm), plane.spacing_mm) for m in (mask, moving))
    sides = [n * s for n, s in zip(plane.shape[::-1], plane.spacing_mm, strict=True)]
    spline = sitk.BSplineTransformInitializer(target, [max(2, round(side / KNOT_MM)) for side in sides], 3)
    found = _registration(mask, moving, target, spline).Execute(target, source)
    grid = sitk.Image(plane.shape[::-1], sitk.sitkUInt8)
    grid.SetSpacing(plane.spacing_mm)
    field = sitk.TransformToDisplacementField(found, sitk.sitkVectorFloat64, grid.GetSize(), (0.0, 0.0), plane.spacing_mm)
    return Warp(sitk.GetArrayFromImage(field), plane.spacing_mm)


def _distance(mask: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Signed distance to the border, mm, positive outside, smoothed over a pixel's edge and limited to REACH_MM."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    step = [s / FINER for s in spacing_mm[::-1]]
    outside, inside = distance_transform_edt(~mask, sampling=step), distance_transform_edt(mask, sampling=step)
    smooth = gaussian_filter(outside - inside, [0.3 / s for s in step])
    return np.asarray(REACH_MM * np.tanh(smooth / REACH_MM), np.float32)


def _image(array: np.ndarray, spacing_mm: tuple[float, float]) -> Any:
    """In plane mm: the first fine pixel's centre lies before that of the first pixel."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing([s / FINER for s in spacing_mm])
    image.SetOrigin([s / FINER / 2 - s / 2 for s in spacing_mm])
    return image


def _registration(mask: np.ndarray, moving: np.ndarray, target: Any, spline: Any) -> Any:
    """Mean squared difference of distances about both outlines, by L-BFGS-B from coarse to fine."""
    import SimpleITK as sitk
    from scipy.ndimage import binary_dilation

    near = sitk.GetImageFromArray(binary_dilation(mask | moving, iterations=int(REACH_MM / min(target.GetSpacing()))).astype(np.uint8))
    near.CopyInformation(target)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricFixedMask(near)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=ITERATIONS, costFunctionConvergenceFactor=1e8)
    method.SetInitialTransform(spline, inPlace=False)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method
