"""Which views stand where: the original beside or above its result, whatever fills the screen better."""

from __future__ import annotations

from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition, ViewProps, ViewType

from .theme import ORIGINAL_COLOR, RESULT_COLOR

ORIENTATIONS = ("Coronal", "Sagittal", "Axial")
SIDES = ("Original", "Result")
GROUPS = {name: i + 1 for i, name in enumerate(ORIENTATIONS)}
CONTENT_ASPECT = 1.35
"""Width over height of the part of a usual browser window that holds the views."""

WORTH_STACKING = 1.25
"""How much larger pictures must be above each other: side by side, the eye compares heights more easily."""


def tag(side: str, orientation: str) -> str:
    """The name of one view."""
    return side + orientation


def definition(side: str, orientation: str) -> ViewLayoutDefinition:
    """One slice view, for trame-slicer."""
    color = ORIGINAL_COLOR if side == "Original" else RESULT_COLOR
    name, group = tag(side, orientation), GROUPS[orientation]
    properties = ViewProps(orientation=orientation, label=name, color=color, group=group, background_color="#000000")
    return ViewLayoutDefinition(name, ViewType.SLICE_VIEW, properties)


def side_by_side(width_mm: float, height_mm: float) -> bool:
    """True where two pictures of this size are larger beside each other than above each other."""
    beside = min(CONTENT_ASPECT / 2 / width_mm, 1 / height_mm)
    above = min(CONTENT_ASPECT / width_mm, 1 / 2 / height_mm)
    return beside >= above / WORTH_STACKING


def compare(orientation: str, has_result: bool, size_mm: tuple[float, float]) -> Layout:
    """Original and result in one plane; the original alone while there is no result."""
    sides = SIDES if has_result else SIDES[:1]
    direction = LayoutDirection.Horizontal if side_by_side(*size_mm) else LayoutDirection.Vertical
    return Layout(direction, [definition(side, orientation) for side in sides])


def four_up(planes: tuple[str, str], acquired: str, has_result: bool) -> Layout:
    """Both through-plane planes of original and result; without a result, the three planes of the original."""
    if not has_result:
        column = Layout(LayoutDirection.Vertical, [definition("Original", plane) for plane in planes])
        return Layout(LayoutDirection.Horizontal, [definition("Original", acquired), column])
    columns = [Layout(LayoutDirection.Vertical, [definition(side, plane) for plane in planes]) for side in SIDES]
    return Layout(LayoutDirection.Horizontal, columns)
