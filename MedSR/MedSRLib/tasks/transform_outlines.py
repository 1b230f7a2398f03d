"""Carry outlines by an earlier registration: from the slide onto the MRI's grid, or labels of the MRI onto the slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .options import Port, option, validate

if TYPE_CHECKING:
    from ..outlines import Outline
    from ..volume import Volume

TITLE = "Transform outlines"
VERB = "transform-outlines"
SUMMARY = "Carry outlines of a slide onto its MRI, or labels of the MRI onto the slide, by the transform of an earlier registration."
DIRECTIONS = ("to-mri", "to-slide")

INPUTS = (
    Port("transform", "file", "The linear transform that register-slide wrote (.h5, .tfm)."),
    Port("outlines", "file", "Outlines on the slide (QuPath GeoJSON, Aperio XML, mask picture, labels); to-slide: labels on the MRI."),
    Port("mri", "volume", "The MRI whose grid the labels are for; to-slide does without.", required=False),
    Port("warp", "file", "The grid transform that the registration wrote beside it, where it was deformable.", required=False),
)
OUTPUTS = (
    Port(
        "moved",
        "outlines",
        "To-mri: labels as .seg.nrrd, .nii.gz or another volume, or DICOM SEG as .dcm; to-slide: outlines as .geojson.",
        ending=".seg.nrrd",
    ),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose. The same fields are the command's flags, the browser's form and the Slicer page."""

    direction: str = option("to-mri", "to-mri carries outlines of the slide onto the MRI, to-slide the other way.", choices=DIRECTIONS)
    mpp_um: float = option(
        0.0,
        "Micrometres per pixel of the slide's finest level, as the registration used; 0 takes what registration.json beside it says.",
        unit="µm",
        minimum=0.0,
        maximum=100000.0,
    )
    slide_slice: int = option(
        -1,
        "Where the outlines are a label volume with labels on several slices: which of them is the slide, from 0; -1 the only one.",
        minimum=-1,
    )


@dataclass(frozen=True)
class Result:
    """moved: labels, uint8 on the MRI's grid, or outlines in the slide's finest pixels. report: slice, a row an outline, warnings."""

    moved: Volume | tuple[Outline, ...]
    report: Mapping[str, Any] = field(default_factory=dict)


def transform_outlines(
    transform: Path,
    options: Options = Options(),
    *,
    outlines: Path,
    mri: Volume | Sequence[Volume] | None = None,
    warp: Path | None = None,
    progress: Progress = Progress(),
) -> Result:
    """Carry every outline of a file. mri: one frame, needed to-mri; to-slide it is only compared with the labels' grid.

    Raises InputError for a transform that does not lay its slide on a slice of the MRI, or outlines of which none lies on it,
    OptionError where the slide's pixel size is not said.
    """
    from ..volume import frames_of
    from .outlines_carried import to_mri, to_slide

    validate(options)
    carry = to_mri if options.direction == DIRECTIONS[0] else to_slide
    result = carry(Path(transform), Path(outlines), options, None if mri is None else frames_of(mri), warp)
    progress(1.0, "done")
    return result
