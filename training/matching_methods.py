"""Ways to find where a slide lies on an MRI, for training.evaluate_matching: each a function of a case that gives a `Found`.

A method is not told the truth, and may use the slide's tissue, which a mask of any slide gives, not the MRI's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import affine_warps, slide_data, slide_sources, volumes
from .registration_test_set import Case


@dataclass(frozen=True)
class Found:
    """affine: (2, 3), fixed → moving in mm (training.affine_warps). flagged: the method says that it should not be trusted."""

    affine: np.ndarray
    flagged: bool = False


Method = Callable[[Case], Found]


def error(affine: np.ndarray, case: Case) -> float:
    """Mean distance over the MRI's tissue between where it is put in the slide and where it lies, over the slide's tissue's width."""
    if case.affine is None:
        raise ValueError("a wrong pair has no truth")
    points = affine_warps.positions_mm((case.fixed.shape[0], case.fixed.shape[1]), case.fixed_mm)[case.tissue]
    apart = affine_warps.applied(affine, points) - affine_warps.applied(case.affine, points)
    return float(np.linalg.norm(apart, axis=-1).mean() / case.slide.width_mm)


def identity(case: Case) -> Found:
    return Found(affine_warps.IDENTITY)


def _image(array: np.ndarray, pixel_mm: float) -> Any:
    """With the picture's middle as origin, as affine_warps has it."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array, np.float32))
    image.SetSpacing((pixel_mm, pixel_mm))
    image.SetOrigin([-(n - 1) / 2 * pixel_mm for n in array.shape[::-1]])
    return image


def mutual_information(case: Case, start: np.ndarray = affine_warps.IDENTITY) -> Found:
    """SimpleITK: Mattes mutual information, 32 bins, every fifth pixel (seed 1), three levels, regular-step gradient descent of at
    most 300 steps each, from steps of 1 mm to 0.001 mm."""
    import SimpleITK as sitk

    fixed, moving = _image(case.fixed, case.fixed_mm), _image(case.slide.rgb.mean(-1), case.slide.pixel_mm)
    transform = sitk.AffineTransform(2)
    transform.SetMatrix(start[:, :2].ravel().tolist())
    transform.SetTranslation(start[:, 2].tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 300, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([1.6, 0.8, 0.0])
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # no overlap left on the way: it has found nothing
        return Found(start, flagged=True)
    linear = np.array(transform.GetMatrix()).reshape(2, 2)
    centre = np.array(transform.GetCenter())
    return Found(np.column_stack([linear, np.array(transform.GetTranslation()) + centre - linear @ centre]))


def pictures(case: Case) -> Found:
    """The engine's own: MedSRLib.registration, without a gland."""
    from MedSRLib import registration

    made = registration.match(case.fixed, (case.fixed_mm, case.fixed_mm), case.slide.rgb, case.slide.pixel_mm, case.slide.tissue)
    return Found(made.affine, bool(made.doubts))


PLAIN: dict[str, Method] = {"identity": identity, "mutual information": mutual_information, "default": pictures}


def learned(module: Any, side: int) -> Method:
    """A network of networks.MATCHER_NAMES, whose θ is taken as it is."""

    def find(case: Case) -> Found:
        import torch

        fixed = slide_data.as_network(volumes.normalised(case.fixed.astype(np.float32)), side)
        moving = slide_data.as_network(case.slide.rgb / np.float32(255), side)
        with torch.inference_mode():
            theta = module(fixed[None], moving[None])[0].double().numpy()
        fixed_mm = case.fixed.shape[1] * case.fixed_mm, case.fixed.shape[0] * case.fixed_mm
        return Found(affine_warps.from_theta(theta, fixed_mm, (slide_sources.FIELD_MM, slide_sources.FIELD_MM)))

    return find


def networks(names: list[str]) -> dict[str, tuple[Method, str]]:
    """LABEL=CHECKPOINT of training.train → the network's θ as the method, and its file's sha256."""
    found: dict[str, tuple[Method, str]] = {}
    for label, path, saved in _checkpoints(names):
        found[label] = learned(_module(path), saved["datamodule_hyper_parameters"]["side"]), _sha256(path)
    return found


def neighbours(names: list[str]) -> dict[str, tuple[Method, str]]:
    """LABEL=CHECKPOINT of a slide_matcher → mutual nearest neighbours of its features (training.matching_dense), and its sha256."""
    from .matching_dense import by_neighbours

    return {label: (by_neighbours(_module(path)), _sha256(path)) for label, path, _ in _checkpoints(names)}


def _checkpoints(names: list[str]) -> list[tuple[str, Path, dict[str, Any]]]:
    import torch

    pairs = [name.partition("=")[::2] for name in names]
    return [(label, Path(path), torch.load(path, map_location="cpu", weights_only=True)) for label, path in pairs]


def _module(path: Path) -> Any:
    from .evaluate import from_checkpoint

    return from_checkpoint(path)


def _sha256(path: Path) -> str:
    from MedSRLib import models

    return models.sha256(path)


def named(names: list[str]) -> dict[str, tuple[Method, str]]:
    """LABEL=MODULE:FUNCTION → method, and the name it was given by: any function of a Case that gives a Found."""
    found: dict[str, tuple[Method, str]] = {}
    for name in names:
        label, _, place = name.partition("=")
        module, _, function = place.partition(":")
        found[label] = getattr(importlib.import_module(module), function), place
    return found
