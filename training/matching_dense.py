"""A slide laid on MRI by the features of a trained network, for training.matching_methods: the engine's registration_features."""

from __future__ import annotations

from typing import Any

from MedSRLib import registration_features

from .matching_methods import Found, Method, finer
from .registration_test_set import Case


class Places:
    """What the features of a network say of a case; of the last one it is kept, so that of several methods only the first one's seconds
    count it. module: of networks.FEATURE_NAMES, that learned from places of 4.8 mm (training/configs/place-features.yaml)."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self._last: tuple[Case, registration_features.Placed] | None = None

    def of(self, case: Case) -> registration_features.Placed:
        if self._last is None or self._last[0] is not case:
            self._last = case, registration_features.place(*given(case), module=self.module)
        return self._last[1]


def given(case: Case) -> tuple[Any, ...]:
    """What the engine's functions take first."""
    return case.fixed, (case.fixed_mm, case.fixed_mm), case.slide.rgb, case.slide.pixel_mm, case.slide.tissue


def by_neighbours(places: Places) -> Method:
    def find(case: Case) -> Found:
        placed = places.of(case)
        return Found(placed.affine, bool(registration_features.doubts(placed)))

    return find


def then_pictures(places: Places) -> Method:
    """The same as the start of the engine's fit of the pictures (MedSRLib.registration), which has doubts of its own."""

    def find(case: Case) -> Found:
        from MedSRLib import registration

        placed = places.of(case)
        made = registration.match(*given(case), start=placed.affine)
        return Found(made.affine, bool(made.doubts or registration_features.doubts(placed)))

    return find


def then_mutual_information(places: Places) -> Method:
    """The same as the start of SimpleITK's mutual information."""

    def find(case: Case) -> Found:
        placed = places.of(case)
        made = finer(case, placed.affine)
        return Found(made.affine, made.flagged or bool(registration_features.doubts(placed)))

    return find
