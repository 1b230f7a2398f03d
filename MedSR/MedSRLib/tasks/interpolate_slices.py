"""Interpolate slices: a thick-sliced volume in, the slice spacing that was asked for out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .options import Port, option, validate

if TYPE_CHECKING:
    from ..volume import Volume

TITLE = "Interpolate slices"
VERB = "interpolate-slices"
SUMMARY = "Give a thick-sliced volume the slice spacing you ask for, with a map of what to trust."
METHODS = ("auto", "model", "flow", "bspline", "lanczos", "linear")
AXES = ("auto", "i", "j", "k")
DEVICES = ("auto", "cpu", "cuda", "mps")

INPUTS = (
    Port("volume", "volume", "The thick-sliced volume (NRRD, NIfTI, MHA, a DICOM file or folder)."),
    Port("segmentation", "segmentation", "A label volume on the same grid, interpolated by shape.", required=False),
)
OUTPUTS = (
    Port("volume", "volume", "The interpolated volume, of the input's scalar type and units."),
    Port("fidelity", "volume", "Expected absolute error of each voxel, in input units.", required=False),
    Port("segmentation", "segmentation", "The labels on the new grid.", required=False),
    Port("picture", "figure", "Sagittal and coronal views before and after, with the fidelity map.", required=False),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose. The same fields are the command's flags, the browser's form and the Slicer page."""

    spacing_mm: float = option(
        0.0, "Slice spacing of the result; 0 takes the in-plane spacing (isotropic).", unit="mm", minimum=0.0, maximum=1000.0
    )
    factor: float = option(
        0.0, "Instead of a spacing: how many times finer; 0 leaves it to the spacing.", unit="×", minimum=0.0, maximum=64.0
    )
    method: str = option(
        "auto", "auto measures on this volume which method serves it best; model insists on the learned one.", choices=METHODS
    )
    model: str = option("", "Identifier of the model; empty takes the default one.")
    axis: str = option("auto", "The through-plane axis of the voxel grid; auto takes the coarsest.", choices=AXES)
    device: str = option("auto", "Where the model runs.", choices=DEVICES, advanced=True)
    batch_size: int = option(
        8, "Slices computed at once; made smaller by itself where memory is short.", minimum=1, maximum=256, advanced=True
    )
    self_ensemble: bool = option(False, "Average eight flipped and rotated runs of the model: slower, slightly better.", advanced=True)
    allow_shear: bool = option(
        False, "Resample a tilted or sheared volume to a right-angled grid first, instead of refusing it.", advanced=True
    )


@dataclass(frozen=True)
class Result:
    """frames: one interpolated Volume a time point. fidelity: expected |error| a voxel, same grid, float32.

    report: JSON-able facts (method, model, why it was chosen, the leave-out table, output grid, warnings).
    """

    volume: tuple[Volume, ...]
    fidelity: tuple[Volume, ...]
    segmentation: Volume | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[], bytes | None] = lambda: None

    @cached_property
    def picture(self) -> bytes | None:
        """PNG of the views before and after, drawn when asked for; None without matplotlib."""
        return self.draw()


def interpolate_slices(
    volume: Volume | Sequence[Volume],
    options: Options = Options(),
    *,
    segmentation: Volume | Sequence[Volume] | None = None,
    progress: Progress = Progress(),
) -> Result:
    """Interpolate each frame through the plane.

    volume: the frames of one image, sharing a grid. The output grid has evenly spaced slice centres; the first and the
    last are the first and last acquired ones, and the spacing is the nearest to the one asked for that divides the
    distance between them. An acquired slice that lies on this grid is copied bit for bit; its fidelity is 0. Voxel axes
    keep their order and direction. Raises InputError, OptionError, ModelError, ResourceError, DependencyError.
    """
    from ..volume import frames_of
    from .slice_engine import run

    validate(options)
    return run(frames_of(volume), options, segmentation, progress)
