"""What a registration made, found again from its transform: in a session, and in a scene that was saved and loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import attributes
from .aftercare import PROVENANCE_ROLE

SLIDE, LABELS, TABLE, FUSED, WARP = (f"MedSR.{name}" for name in ("slide", "labels", "dice", "fused", "warp"))
"""Node references from the transform to what belongs to it."""


@dataclass(frozen=True)
class RegistrationResults:
    """transform: the linear node, slide to patient. The others are None where they were not made, or were removed."""

    transform: Any

    @property
    def mri(self) -> Any:
        return self.transform.GetNodeReference(attributes.SOURCE_ROLE)

    @property
    def slide(self) -> Any:
        """The slide's vector volume, below the transform."""
        return self.transform.GetNodeReference(SLIDE)

    @property
    def segmentation(self) -> Any:
        return self.transform.GetNodeReference(LABELS)

    @property
    def table(self) -> Any:
        """Dice, distances and centroids, a row an outline."""
        return self.transform.GetNodeReference(TABLE)

    @property
    def fused(self) -> Any:
        return self.transform.GetNodeReference(FUSED)

    @property
    def warp(self) -> Any:
        """The grid transform above the linear one."""
        return self.transform.GetNodeReference(WARP)

    @property
    def facts(self) -> dict[str, Any]:
        """What registration.json says; {} where the transform comes from a hand alone."""
        text = self.transform.GetNodeReference(PROVENANCE_ROLE)
        return {} if text is None else dict(json.loads(text.GetText()))
