"""Evaluate slice interpolation on one's own volume: leave every other slice out, rebuild it by every method, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .interpolate_slices import AXES, DEVICES
from .options import Port, option, validate

if TYPE_CHECKING:
    from ..volume import Volume

TITLE = "Evaluate slice interpolation"
VERB = "evaluate slices"
SUMMARY = "Leave every other slice out, rebuild it by every method, and see which one serves this volume best."
PROTOCOLS = ("as-is", "published")

INPUTS = (Port("volume", "volume", "The volume to measure on (NRRD, NIfTI, MHA, a DICOM file or folder), of at least 3 slices."),)
OUTPUTS = (
    Port("table", "table", "One row a frame, left-out slice and method: SSIM, PSNR, VIF, SNLI, sharpness, error."),
    Port("plot", "figure", "Box plots of SSIM, PSNR and VIF for each method.", required=False),
    Port("picture", "figure", "One left-out slice, each method's, and their differences.", required=False),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose. The same fields are the command's flags, the browser's form and the Slicer page."""

    methods: tuple[str, ...] = option((), "Methods and models to compare; none compares all but the slow tvl1 and tvl1-smoothed.")
    protocol: str = option(
        "as-is",
        "as-is keeps pixels and values; published scales by percentiles, clamps, takes 1.4 mm pixels, centre 128×128.",
        choices=PROTOCOLS,
    )
    axis: str = option("auto", "The through-plane axis of the voxel grid; auto takes the coarsest.", choices=AXES)
    device: str = option("auto", "Where the models run.", choices=DEVICES, advanced=True)
    batch_size: int = option(
        8, "Slices computed at once; made smaller by itself where memory is short.", minimum=1, maximum=256, advanced=True
    )
    self_ensemble: bool = option(False, "Average eight flipped and rotated runs of each model.", advanced=True)


@dataclass(frozen=True)
class Result:
    """table: dicts with the same keys, one a frame, slice and method; frames and slices count from 0.

    plot, picture: PNG bytes, None where they could not be drawn.
    report: JSON-able: the mean of each figure by method, one-sided Wilcoxon p of the default against each, calibration of
    the expected error, what the default chose and why, warnings.
    """

    table: tuple[Mapping[str, Any], ...]
    plot: bytes | None = None
    picture: bytes | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


def evaluate_slices(volume: Volume | Sequence[Volume], options: Options = Options(), *, progress: Progress = Progress()) -> Result:
    """Score every method on the left-out slices of every frame of one volume.

    Slices 1, 3, 5 … are left out and rebuilt from 0, 2, 4 …; nothing that is fitted or chosen sees them. The default chooses on the
    first frame that is not constant; constant frames are left out, and said. Raises InputError
    for a volume of fewer than 3 slices or one that cannot be interpolated, OptionError for an unknown method.
    """
    from ..volume import frames_of

    frames = frames_of(volume)
    name = str(frames[0].meta.get("name", "volume")) if frames else "volume"
    return score_cohort({name: frames}, options, progress=progress)


def score_cohort(volumes: Mapping[str, Sequence[Volume]], options: Options = Options(), *, progress: Progress = Progress()) -> Result:
    """The same for several volumes by name: the table has a row for each one's slices, means are over volumes."""
    from .slice_evaluation import score, summarise

    validate(options)
    scores = []
    for number, (name, frames) in enumerate(volumes.items()):
        scores.append(score(frames, name, options, progress.part(0.95 * number / len(volumes), 0.95 * (number + 1) / len(volumes))))
    result = summarise(scores, options)
    progress(1.0, "done")
    return result
