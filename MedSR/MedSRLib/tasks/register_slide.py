"""Register a whole slide to an MRI: a slide or its outlines in, the transform that lays it on its MRI slice out, outlines carried along."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .options import Port, option, validate

if TYPE_CHECKING:
    from ..geometry_warp import Placement
    from ..volume import Volume
    from .slide_pyramid import FusedSlide

TITLE = "Register slide to MRI"
VERB = "register-slide"
SUMMARY = "Lay a histology slide on its MRI slice: transform, outlines as labels on the MRI, fused image, Dice."
METHODS = ("auto", "pictures", "features", "mask")
ORIENTATIONS = ("r0", "r90", "r180", "r270", "f0", "f90", "f180", "f270")
"""f mirrors the slide left to right first; then it is turned clockwise by so many degrees, as seen beside the MRI's usual view."""
LANDMARK_USES = ("start", "correction")
TRANSFORM_USES = ("start", "result")

BATCH_FIGURES = ("dice", "dice_linear", "grade")
"""What the summary of a batch says of each case."""

INPUTS = (
    Port("mri", "volume", "The MRI (NRRD, NIfTI, MHA, a DICOM file or folder), or the gland's mask alone."),
    Port("slide", "file", "The slide (SVS, NDPI, OME-TIFF, DICOM, TIFF, PNG), or its outlines or label volume alone."),
    Port("mri_mask", "segmentation", "The gland on the MRI: a label volume on the same grid.", required=False, layers=True),
    Port("outlines", "file", "Outlines on the slide (QuPath GeoJSON, Aperio XML, mask picture, labels), carried along.", required=False),
    Port(
        "landmarks",
        "file",
        "Pairs of points: CSV with slide_x, slide_y (pixels of the finest level) and lps_x, lps_y, lps_z (mm).",
        required=False,
    ),
    Port("transform", "file", "A linear transform of an earlier run, or of a slide laid by hand (.h5, .tfm).", required=False),
    Port(
        "case",
        "file",
        "The case's description: JSON that says how each slide is flipped and turned, and if known its MRI slice and pixel size.",
        required=False,
    ),
)
OUTPUTS = (
    Port("transform", "transform", "The linear transform, patient to slide in LPS mm, for Slicer and SimpleITK.", ending=".h5"),
    Port("registration", "facts", "Transform, scores, grade, Dice and provenance.", ending=".json"),
    Port("dice", "table", "Dice, 95 % Hausdorff distance and centroids of each outline."),
    Port("warp", "transform", "The grid transform of the deformable refinement, where asked for.", required=False, ending=".h5"),
    Port("labels", "segmentation", "The outlines on the MRI's grid, in layers where they overlap.", required=False),
    Port(
        "labelmap", "segmentation", "The same as NIfTI, in one layer: later outlines cover earlier ones.", required=False, ending=".nii.gz"
    ),
    Port("dicom_seg", "dicom_seg", "The same as DICOM SEG, where the MRI is a DICOM series.", required=False),
    Port("fused", "volume", "Slide and MRI in one colour image on the MRI slice's pixels.", required=False),
    Port("fused_slide", "pyramid", "The same with finer pixels, as a pyramid that slide viewers open.", required=False, ending=".ome.tif"),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose. The same fields are the command's flags, the browser's form and the Slicer page."""

    method: str = option(
        "auto",
        "pictures compares what slide and MRI show; features finds the place by a learned model (PyTorch), then compares the pictures from "
        "there; mask lays the gland's outline on the gland's mask; auto takes pictures or mask, both where both are.",
        choices=METHODS,
    )
    slice: int = option(-1, "The MRI slice, counted from 0; -1 searches all that hold enough of the gland.", minimum=-1, maximum=9999)
    slide_slice: int = option(
        -1,
        "Where the slide is given as a label volume with labels on several slices: which of them it is, counted from 0; -1 the only one.",
        minimum=-1,
        maximum=9999,
    )
    mpp_um: float = option(
        0.0,
        "Micrometres per pixel of the slide's finest level; 0 takes what the file says, or the gland's size where that is implausible.",
        unit="µm",
        minimum=0.0,
        maximum=100000.0,
    )
    orientation: str = option(
        "auto",
        "How the slide lies beside the MRI's usual view: r0 as it is, r90 a quarter turn clockwise, f0 mirrored left to right, f90 "
        "mirrored, then turned; auto tries all eight. Outlines alone cannot tell them apart: r0 is then taken, unless another overlaps "
        "clearly better.",
        choices=("auto", *ORIENTATIONS),
    )
    rotation_deg: float = option(0.0, "Further clockwise turn of the slide.", unit="°", minimum=-180.0, maximum=180.0)
    gland: str = option("", "Name of the outline that drives the registration; empty takes the one called gland, prostate or capsule.")
    deformable: bool = option(False, "Refine by a smooth warp (B-spline) after the linear step, as a grid transform beside it.")
    landmarks_as: str = option(
        "start", "start begins at the landmarks; correction applies them to what the masks found.", choices=LANDMARK_USES
    )
    transform_as: str = option(
        "start", "start begins at the given transform; result keeps it as it is, carries the outlines and scores.", choices=TRANSFORM_USES
    )
    opacity: float = option(
        0.5, "Of the slide in the fused image: 0 shows the MRI's brightness, 1 the slide alone.", minimum=0.0, maximum=1.0
    )
    fused_um: float = option(
        0.0,
        "Pixel of the fused pyramid (OME-TIFF) of the gland; 0 covers the MRI slice by 2000 pixels a side.",
        unit="µm",
        minimum=0.0,
        maximum=10000.0,
    )
    accept_any: bool = option(False, "Give the result even where the sanity checks refuse it.", advanced=True)


@dataclass(frozen=True)
class Paths:
    """The files that the task itself reads."""

    slide: Path
    outlines: Path | None = None
    landmarks: Path | None = None
    transform: Path | None = None
    case: Path | None = None


@dataclass(frozen=True)
class Result:
    """placement: where the slide lies. transform, warp: (4x4 slide frame to LPS mm, displacement Volume or None); None without a warp.

    registration: JSON-able facts, also the report. dice: a row an outline. labels: uint8 on the MRI's grid, in layers where outlines
    overlap (volume_layers.py); labelmap: in one layer, where later outlines cover earlier ones; dicom_seg: as labels, where the MRI is a
    DICOM series and highdicom is there. fused: RGB. fused_slide: made as it is written, see slide_pyramid.py.
    """

    placement: Placement
    transform: Any
    warp: Any
    registration: Mapping[str, Any]
    dice: tuple[dict[str, Any], ...]
    labels: Volume | None
    dicom_seg: Volume | None = None
    fused_slide: FusedSlide | None = None
    draw: Callable[[], Volume | None] = field(default=lambda: None)

    @property
    def not_asked_for(self) -> tuple[str, ...]:
        """Outputs whose absence needs no warning of its own: they need a warp, a picture, or a DICOM series."""
        return ("warp", "fused", "fused_slide", "dicom_seg")

    @property
    def labelmap(self) -> Volume | None:
        from ..volume_layers import flattened

        return None if self.labels is None else flattened(self.labels)

    @property
    def report(self) -> Mapping[str, Any]:
        return self.registration

    @cached_property
    def fused(self) -> Volume | None:
        """Made when asked for; None where the slide has no picture."""
        return self.draw()


def in_words(report: Mapping[str, Any]) -> str:
    """The result in a line: where the slide lies, how well, whether to believe it."""
    dice, straight = report["dice"], report["dice_linear"]
    bent = f" ({straight:.3f} before bending)" if dice is not None and report.get("warp") else ""
    agreement = "" if dice is None else f", Dice {dice:.3f}{bent}"
    return f"slice {report['slice']}, orientation {report['orientation']['chosen']}{agreement}; grade: {report['grade']}"


def register_slide(
    mri: Volume | Sequence[Volume],
    options: Options = Options(),
    *,
    slide: Path,
    mri_mask: Volume | None = None,
    outlines: Path | None = None,
    landmarks: Path | None = None,
    transform: Path | None = None,
    case: Path | None = None,
    progress: Progress = Progress(),
) -> Result:
    """Lay a slide on one slice of an MRI, driven by what both pictures show, by the gland on both, or by both.

    mri: one frame; a volume of one value beside 0 is a mask alone. slide: a path, since a slide is too large to be held; so are
    outlines, landmarks, transform and case. Nothing is resampled but the fused image. The transform maps the slide's frame (mm,
    geometry_slice.py) to LPS mm. Raises InputError for what cannot be registered or is refused by the sanity checks, OptionError,
    DependencyError.
    """
    from ..volume import frames_of
    from .slide_engine import run

    validate(options)
    paths = Paths(Path(slide), outlines, landmarks, transform, case)
    return run(frames_of(mri), options, paths, mri_mask, progress)
