"""Evaluate registrations of slides to MRI: outlines against reference labels, landmarks, likeness of the fused image, folding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .options import Port, validate

if TYPE_CHECKING:
    from ..volume import Volume

TITLE = "Evaluate registration"
VERB = "evaluate registration"
SUMMARY = "Measure registrations of slides to MRI against reference labels and landmarks; of several cases, means and deviations."

INPUTS = (
    Port("registration", "file", "A registration's folder or its registration.json; a folder of such folders, as a batch makes it."),
    Port(
        "reference",
        "segmentation",
        "True labels on the MRI's grid, compared with the carried outlines by name.",
        required=False,
        layers=True,
    ),
    Port("landmarks", "file", "Pairs of points to measure at: CSV as register-slide takes, best not those it used.", required=False),
    Port("mri", "volume", "The MRI, where it is no longer in the place that the registration notes.", required=False),
    Port(
        "cases",
        "file",
        "Of several cases: CSV with the columns case (the folder's name), reference, reference_landmarks, mri; paths from its own folder.",
        required=False,
    ),
)
OUTPUTS = (
    Port("table", "table", "One row an outline: Dice, 95 % Hausdorff distance, distance of centroids; in a case's first row the others."),
    Port("table1", "table", "Each measure over the cases: number, mean, standard deviation.", required=False),
    Port("table1_text", "text", "The same as a table in Markdown.", required=False, ending=".md"),
    Port("plot", "figure", "Of several cases: box plots of Dice and distances for each outline.", required=False),
)


@dataclass(frozen=True)
class Options:
    """There is nothing to choose: every measure is defined in registration_measures.py."""


@dataclass(frozen=True)
class Result:
    """table: dicts with the same keys, one an outline. table1: one a measure; table1_text: Markdown. plot: PNG bytes; None of one case.

    report: JSON-able: the same means as "summary", how each measure is defined, warnings.
    """

    table: tuple[Mapping[str, Any], ...]
    table1: tuple[Mapping[str, Any], ...] = ()
    table1_text: str = ""
    plot: bytes | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def not_asked_for(self) -> tuple[str, ...]:
        """Outputs that are not missed: of one case there is nothing to draw boxes of."""
        return () if self.report.get("cases", 0) > 1 else ("plot",)


def evaluate_registration(
    registration: Path,
    options: Options = Options(),
    *,
    reference: Volume | None = None,
    landmarks: Path | None = None,
    mri: Volume | tuple[Volume, ...] | None = None,
    cases: Path | None = None,
    progress: Progress = Progress(),
) -> Result:
    """Measure what one registration wrote, or each of a folder of them.

    reference: uint8 labels on the MRI's grid, of one case. Without it the gland is measured against the mask that drove it, where that
    still lies where it was; else its figures are those of registration.json. Both are said.

    Raises InputError for a folder that holds no registration, labels on another grid, or no outline in common.
    """
    return score_cohort(
        {str(registration): registration}, options, reference=reference, landmarks=landmarks, mri=mri, cases=cases, progress=progress
    )


def score_cohort(
    registrations: Mapping[str, Path],
    options: Options = Options(),
    *,
    reference: Volume | None = None,
    landmarks: Path | None = None,
    mri: Volume | tuple[Volume, ...] | None = None,
    cases: Path | None = None,
    progress: Progress = Progress(),
) -> Result:
    """The same for several. Raises OptionError where a reference for one case is given with several."""
    from ..volume import frames_of
    from .registration_cohort import gather, score

    validate(options)
    frames = None if mri is None else frames_of(mri)
    found, said = gather(list(registrations.values()), reference, landmarks, frames, cases)
    return score(found, said, progress)
