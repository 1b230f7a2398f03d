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

from . import affine_warps
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
    method = _by_mutual_information(1.0, 300)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([1.6, 0.8, 0.0])
    return _optimised(method, case, start)


def finer(case: Case, start: np.ndarray) -> Found:
    """SimpleITK, from a start that is nearly right: the same mutual information, of all pixels inside the slide's tissue as it is laid
    there, smoothed by 0.15 mm, at most 200 steps from 0.2 mm to 0.001 mm."""
    import SimpleITK as sitk

    method = _by_mutual_information(0.2, 200)
    method.SetShrinkFactorsPerLevel([1])
    method.SetSmoothingSigmasPerLevel([0.15])
    tissue = _image(case.slide.tissue, case.slide.pixel_mm) > 0.5
    laid = sitk.Resample(tissue, _image(case.fixed, case.fixed_mm), _transform(start), sitk.sitkNearestNeighbor)
    method.SetMetricFixedMask(laid)
    return _optimised(method, case, start)


def _by_mutual_information(step_mm: float, steps: int) -> Any:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(step_mm, 1e-3, steps, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _transform(affine: np.ndarray) -> Any:
    import SimpleITK as sitk

    transform = sitk.AffineTransform(2)
    transform.SetMatrix(affine[:, :2].ravel().tolist())
    transform.SetTranslation(affine[:, 2].tolist())
    return transform


def _optimised(method: Any, case: Case, start: np.ndarray) -> Found:
    transform = _transform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(_image(case.fixed, case.fixed_mm), _image(case.slide.rgb.mean(-1), case.slide.pixel_mm))
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


def pictures_finer(case: Case) -> Found:
    """The engine's own, then mutual information on top; what the engine doubts stays flagged."""
    start = pictures(case)
    made = finer(case, start.affine)
    return Found(made.affine, start.flagged or made.flagged)


PLAIN: dict[str, Method] = {
    "identity": identity,
    "mutual information": mutual_information,
    "default": pictures,
    "default, then mutual information": pictures_finer,
}


def networks(names: list[str]) -> dict[str, tuple[Method, str]]:
    """LABEL=CHECKPOINT of training.train → the network's own affine (training.matching_regression), and its file's sha256."""
    from .matching_regression import by_regression

    return {label: (by_regression(_module(path), side), _sha256(path)) for label, path, side in _checkpoints(names)}


def neighbours(names: list[str]) -> dict[str, tuple[Method, str]]:
    """LABEL=CHECKPOINT of networks.FEATURE_NAMES → mutual nearest neighbours of its features (training.matching_dense), alone, and as
    the start of the engine's fit and of mutual information; and its sha256."""
    from . import matching_dense

    ways = {"": matching_dense.by_neighbours, ", then pictures": matching_dense.then_pictures,
            ", then mutual information": matching_dense.then_mutual_information}  # fmt: skip
    found: dict[str, tuple[Method, str]] = {}
    for label, path, _ in _checkpoints(names):
        places = matching_dense.Places(_module(path))
        found |= {label + words: (way(places), _sha256(path)) for words, way in ways.items()}
    return found


def _checkpoints(names: list[str]) -> list[tuple[str, Path, int]]:
    """(label, file, pixels a side of the pictures that it learned from)."""
    import torch

    pairs = [(label, Path(path)) for label, path in (name.partition("=")[::2] for name in names)]
    loaded = [torch.load(path, map_location="cpu", weights_only=True) for _, path in pairs]
    return [(*pair, saved["datamodule_hyper_parameters"]["side"]) for pair, saved in zip(pairs, loaded, strict=True)]


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
