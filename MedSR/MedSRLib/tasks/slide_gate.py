"""Whether to believe a registration: checks that refuse what runs away, and a grade that says when not to trust the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..registration import Match

SCALE = (1.25, 1.6)
"""Times larger or smaller than the slide's own pixel size says: doubtful, refused. Fixed tissue shrinks by 5 to 20 %."""
STRETCH = (1.4, 2.5)
"""Longest over shortest scale. A gland pressed flat by an endorectal coil, or masks of different shapes, ask for more than a slide's own
shrinking does: such a fit may be right, and is to be looked at. The pictures' own fit stops at the first limit."""
OVERLAP = (0.9, 0.75)
"""Dice of the gland: below the first doubtful, below the second refused."""
SAME = (0.9995, 0.002)
"""Dice above which, and change of scale below which, two drawings are one: a person draws two that differ, and tissue shrinks."""
JACOBIAN = (0.25, 0.0)
SCALE_UNTOLD = "the scale is taken from the gland itself, so it cannot be checked against the slide's pixel size"
GRADES = ("good", "doubtful", "refused")


@dataclass
class Verdict:
    """grade: of GRADES. reasons: sentences, the refusals first. figures: what was measured."""

    doubts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def grade(self) -> str:
        return GRADES[2] if self.refusals else GRADES[1] if self.doubts else GRADES[0]

    @property
    def reasons(self) -> list[str]:
        return self.refusals + self.doubts

    def above(self, name: str, value: float, limits: tuple[float, float], sentence: str) -> None:
        """Note a figure that should be small."""
        self.figures[name] = float(value)
        if not value <= limits[0]:
            (self.doubts if value <= limits[1] else self.refusals).append(sentence)

    def below(self, name: str, value: float, limits: tuple[float, float], sentence: str) -> None:
        """Note a figure that should be large."""
        self.figures[name] = float(value)
        if not value > limits[0]:
            (self.doubts if value > limits[1] else self.refusals).append(sentence)


def judge(in_plane: np.ndarray, dice: float | None, mirrored: bool, scale_known: bool, jacobian: np.ndarray | None) -> Verdict:
    """in_plane: 3x3, slide mm to plane mm. dice: of the gland, None where it was not drawn. mirrored: whether the affine should turn the
    slide over beside the slice's rows and columns. scale_known: whether the slide's mm are its own. jacobian: of the warp, or None.
    """
    verdict, linear = Verdict(), in_plane[:2, :2]
    if not np.isfinite(in_plane).all():
        verdict.refusals.append("the search ran away")
        return verdict
    long, short = np.linalg.svd(linear, compute_uv=False)
    scale = float(np.sqrt(long * short))
    verdict.figures["determinant"] = float(np.linalg.det(linear))
    verdict.above("scale_off", max(scale, 1 / scale), SCALE, f"the slide had to be scaled by {scale:.2f} to fit the gland")
    verdict.figures["scale"] = scale
    verdict.above("stretch", long / short, STRETCH, f"the slide is stretched {long / short:.2f} times more one way than the other")
    if dice is not None:
        verdict.below("overlap", dice, OVERLAP, f"the glands overlap by a Dice of {dice:.2f} only")
        if dice > SAME[0] and max(abs(long - 1), abs(short - 1)) < SAME[1]:
            verdict.doubts.append("both outlines of the gland are the same to the last pixel: check that the slide's own was given")
    if (verdict.figures["determinant"] < 0) != mirrored:
        verdict.refusals.append("the slide was turned over on the way")
    if jacobian is not None:
        least = float(jacobian.min())
        verdict.below("jacobian_min", least, JACOBIAN, f"the warp {'folds' if least <= 0 else 'nearly folds'} (Jacobian {least:.2f})")
    if not scale_known:
        verdict.doubts.append(SCALE_UNTOLD)
    return verdict


def doubted(verdict: Verdict, match: Match, alone: bool) -> None:
    """Add what the pictures leave in doubt. alone: whether nothing but them says where the slide lies: several doubts then refuse it."""
    verdict.figures |= {"explained": match.judged.explained, "alike": match.judged.alike}
    if np.isfinite(match.lead):  # infinite where no other flip was tried
        verdict.figures["lead"] = match.lead
    refused = alone and len(match.doubts) > 1
    (verdict.refusals if refused else verdict.doubts).extend(match.doubts)
