"""Evaluate a super-resolved CT: against the truth at its own pixel size, or against the scan that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .options import Port, option, validate

if TYPE_CHECKING:
    from ..volume import Volume

TITLE = "Evaluate CT super-resolution"
VERB = "evaluate ct"
SUMMARY = "Compare a super-resolved CT, and bicubic enlargement beside it, with the truth or with the scan it was made from."

INPUTS = (
    Port(
        "reference",
        "volume",
        "The truth (micro-CT, a phantom) on the result's grid or around it; or the scan that the result was made from.",
    ),
    Port("result", "volume", "The super-resolved volume."),
    Port("mask", "segmentation", "A label volume on the reference's grid: only what lies within it is measured.", required=False),
)
OUTPUTS = (
    Port("table", "table", "One row a slice and method: PSNR, SSIM, departure from the scan, sharpness, power of each band."),
    Port("plot", "figure", "The power spectrum of the result and of bicubic, relative to the reference.", required=False),
    Port("picture", "figure", "The middle slice: reference, bicubic, result, and their differences.", required=False),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose. The same fields are the command's flags, the browser's form and the Slicer page."""

    data_range: float = option(
        1000.0, "Range of values that PSNR and SSIM take as the whole: 1000 HU is air to water.", minimum=1e-6, maximum=1e9, advanced=True
    )


@dataclass(frozen=True)
class Result:
    """table: dicts with the same keys, one a slice and method ("result", "bicubic"); PSNR and SSIM are None against a scan.

    report: JSON-able: the mean of each figure by method, what the reference was taken for, warnings.
    """

    table: tuple[Mapping[str, Any], ...]
    plot: bytes | None = None
    picture: bytes | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


def evaluate_ct(
    reference: Volume | Sequence[Volume],
    options: Options = Options(),
    *,
    result: Volume | Sequence[Volume],
    mask: Volume | Sequence[Volume] | None = None,
    progress: Progress = Progress(),
) -> Result:
    """Measure a result slice by slice, and the bicubic enlargement of the scan beside it.

    reference: on the grid of the result, or larger; then the scan is its 8×8 block means. Or the scan itself, with pixels 8 times
    as large; then there is no truth, and departure, sharpness and spectrum are all that is measured. Raises InputError where the
    grids do not fit, OptionError.
    """
    from ..volume import frames_of
    from .ct_evaluation import score

    validate(options)
    inside = None if mask is None else frames_of(mask)[0]
    return score(frames_of(reference)[0], frames_of(result)[0], inside, options, progress)
