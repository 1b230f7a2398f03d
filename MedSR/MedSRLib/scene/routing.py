"""Which task serves a volume: super_resolve_ct for CT in HU, interpolate_slices for thick slices; and which models fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import vtk.util.numpy_support

from .. import models
from ..errors import MedSRError
from ..geometry import swap_axis
from ..tasks.card_range import outside
from ..tasks.ct_input import why_range_is_not_hu
from . import thick
from .modality import modality_of
from .nodes import grid_from_node, has_image

CT, SLICES = "super_resolve_ct", "interpolate_slices"
CHOOSE = "Choose a volume."
OTHERWISE = "Choose another method, or allow any modality."


@dataclass(frozen=True)
class Route:
    """tasks: those that fit, the preselected one first. why: a sentence on the choice, or on why there is none.

    refused: {task: why it does not fit, a clause}.
    """

    tasks: tuple[str, ...]
    why: str
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """The preselected one, "" where none fits."""
        return self.tasks[0] if self.tasks else ""


def route(node: Any) -> Route:
    """Which tasks serve a volume node, and why; from its header, its value range and what DICOM says of it."""
    if not has_image(node):
        return Route((), CHOOSE)
    refused = {CT: why_not_ct(node), SLICES: why_not_thick(node)}
    tasks = tuple(task for task, why in refused.items() if not why)
    return Route(tasks, _sentence(node, tasks, refused), {task: why for task, why in refused.items() if why})


def first(scene: Any) -> Any | None:
    """The loaded volume to begin with: the first CT in HU, else the thickest-sliced one; None where there is neither."""
    return next((node for node in thick.candidates(scene) if not why_not_ct(node)), None) or thick.thickest(scene)


def why_not_ct(node: Any) -> str:
    """Why a volume is no CT in HU, a clause; "" where it is one. As the engine decides, from the range of the values."""
    image = node.GetImageData()
    kind = np.dtype(vtk.util.numpy_support.get_numpy_array_type(image.GetScalarType()))
    return why_range_is_not_hu(modality_of(node), kind, image.GetScalarRange())


def why_not_thick(node: Any) -> str:
    """Why there is nothing to interpolate between the slices of a volume, a clause; "" where there is."""
    try:
        found = thick.slicing(node)
    except MedSRError as error:
        return error.sentence().rstrip(".")
    if found.count < 2:
        return "there is a single slice"
    if found.ratio < thick.THICK_RATIO:
        return f"the slices are {found.step_mm:.2f} mm apart, hardly more than the pixels ({found.in_plane_mm:.2f} mm)"
    return ""


def _sentence(node: Any, tasks: Sequence[str], refused: dict[str, str]) -> str:
    if not tasks:
        return f"Neither task serves this volume: {refused[CT]}, and {refused[SLICES]}."
    if CT not in tasks:
        found = thick.slicing(node)
        return f"Its slices are thick ({found.step_mm:.2f} mm, pixels {found.in_plane_mm:.2f} mm), so they are interpolated; {refused[CT]}."
    if SLICES not in tasks:
        return "It is CT in HU, so its pixels are made eight times finer per side."
    found = thick.slicing(node)
    steps = f"{found.step_mm:.2f} mm apart, pixels {found.in_plane_mm:.2f} mm"
    return f"It is CT in HU, so its pixels are made eight times finer per side; its slices ({steps}) can be interpolated instead."


@dataclass(frozen=True)
class Offer:
    """cards: the models of a task that fit a volume, the best first. why: a sentence where there are none."""

    cards: tuple[models.Card, ...]
    why: str = ""


def offer(task: str, node: Any, any_modality: bool = False) -> Offer:
    """The models whose cards fit the volume's modality and spacing; with `any_modality` all of the task's."""
    known = models.of_task(task)
    if not known:
        return Offer((), "No model for this is installed: choose another method.")
    if any_modality or not has_image(node):
        return Offer(tuple(known))
    reasons = {card.id: misfit(card, node) for card in known}
    fitting = tuple(card for card in known if not reasons[card.id])
    return Offer(fitting, "" if fitting else " ".join(f"{why.rstrip('.')}." for why in reasons.values()) + f" {OTHERWISE}")


def misfit(card: models.Card, node: Any) -> str:
    """Why a model's card does not fit a volume, a sentence; "" where it does."""
    modality = modality_of(node)
    if not modality and card.task == CT and not why_not_ct(node):
        modality = "CT"
    try:
        grid = grid_from_node(node, {"modality": modality})
        found = outside(card, grid if card.task == CT else swap_axis(grid, thick.slicing(node).axis))
    except MedSRError as error:
        return error.sentence()
    return found[0][:1].upper() + found[0][1:] if found else ""
