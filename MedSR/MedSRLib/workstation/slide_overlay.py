"""A slide in the views: over the MRI slice that it was laid on, blended or in squares; its outlines on the MRI in every view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..scene.checkerboard import add_checkerboard
from ..scene.nodes import RAS_TO_LPS, affine_from_node
from ..scene.registration_results import RegistrationResults
from ..scene.slide_transform import centre_of, matrix_of
from .entries import Entry

MARGIN = 1.1
FILL, LINE = 0.12, 1.0
"""Opacity of an outline's area and of its edge."""


class SlideOverlay:
    """Knows the shown registration. scene: whose segmentations are shown or hidden."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._results: RegistrationResults | None = None

    def show(self, result: Entry | None) -> None:
        """Another result: its outlines are drawn, those of the others are not."""
        self._results = result.registration if result else None
        own = self._results.segmentation if self._results else None
        for i in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            display = self._scene.GetNthNodeByClass(i, "vtkMRMLSegmentationNode").GetDisplayNode()
            display.SetVisibility(own is not None and display.GetDisplayableNode() is own)
            display.SetOpacity2DFill(FILL)
            display.SetOpacity2DOutline(LINE)

    @property
    def mri(self) -> Any:
        """What lies below the slide; None where no registration is shown."""
        return self._results.mri if self._results else None

    def picture(self, in_squares: bool) -> Any:
        """What is laid over the MRI: the slide's node, or MRI and slide in turn; None where there is no slide."""
        if self._results is None:
            return None
        return add_checkerboard(self._results) if in_squares else self._results.slide

    @property
    def side_mm(self) -> float:
        """Of a square that holds the slide, or its outlines."""
        shown = None if self._results is None else self._results.slide or self._results.segmentation
        bounds = [0.0] * 6
        if shown is not None:
            shown.GetRASBounds(bounds)
        return MARGIN * max(high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True))

    @property
    def place(self) -> tuple[float, ...] | None:
        """The slide's middle, RAS mm; None where none is shown."""
        if self._results is None:
            return None
        at = RAS_TO_LPS @ matrix_of(self._results.transform) @ centre_of(self._results.transform)
        return tuple(float(v) for v in at[:3])


def slice_at(node: Any, place: Sequence[float]) -> int:
    """The slice of a volume node that is nearest to a place, RAS mm."""
    at = np.linalg.inv(affine_from_node(node)) @ RAS_TO_LPS @ (*place, 1.0)
    return int(np.clip(np.rint(at[2]), 0, node.GetImageData().GetDimensions()[2] - 1))
