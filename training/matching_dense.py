"""A slide laid on MRI by the features of a trained network, for training.matching_methods: the engine's registration_features."""

from __future__ import annotations

from typing import Any

from MedSRLib import registration_features

from .matching_methods import Found, Method, finer
from .registration_test_set import Case


def by_neighbours(module: Any) -> Method:
    """module: of networks.FEATURE_NAMES, that learned from places of 4.8 mm (training/configs/feature-matching.yaml)."""

    def find(case: Case) -> Found:
        given = case.fixed, (case.fixed_mm, case.fixed_mm), case.slide.rgb, case.slide.pixel_mm, case.slide.tissue
        placed = registration_features.place(*given, module=module)
        return Found(placed.affine, bool(registration_features.doubts(placed)))

    return find


def then_pictures(module: Any) -> Method:
    """The same as the start of the engine's fit of the pictures (MedSRLib.registration), which also has its doubts."""

    def find(case: Case) -> Found:
        from MedSRLib import registration

        given = case.fixed, (case.fixed_mm, case.fixed_mm), case.slide.rgb, case.slide.pixel_mm, case.slide.tissue
        placed = registration_features.place(*given, module=module)
        made = registration.match(*given, start=placed.affine)
        return Found(made.affine, bool(made.doubts or registration_features.doubts(placed)))

    return find


def then_mutual_information(module: Any) -> Method:
    """The same as the start of SimpleITK's mutual information."""
    start = by_neighbours(module)

    def find(case: Case) -> Found:
        placed = start(case)
        made = finer(case, placed.affine)
        return Found(made.affine, placed.flagged or made.flagged)

    return find
