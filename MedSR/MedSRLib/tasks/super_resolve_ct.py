"""Super-resolve a CT volume: a scan in HU in, its pixels eight times finer per side out, with a map of what to trust."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..run import Progress
from .options import Port, option, validate

if TYPE_CHECKING:
    from ..volume import Volume

TITLE = "Super-resolve CT"
VERB = "super-resolve-ct"
SUMMARY = "Make the pixels of a CT volume, or of a region of it, eight times finer per side, with a map of what to trust."
METHODS = ("model", "bicubic")
REGIONS = ("auto", "lungs", "all")
DEVICES = ("auto", "cpu", "cuda", "mps")
FACTOR = 8

INPUTS = (
    Port("volume", "volume", "The CT volume in HU (NRRD, NIfTI, MHA, a DICOM file or folder)."),
    Port("mask", "segmentation", "A label volume on the same grid: the model's detail only within it, bicubic outside.", required=False),
)
OUTPUTS = (
    Port("volume", "volume", "The finer volume, of the input's scalar type and units."),
    Port("fidelity", "volume", "The map of what to trust: expected absolute error of each voxel, in HU.", required=False),
    Port("picture", "figure", "The scan, its bicubic enlargement and the result, with the expected error.", required=False),
)


@dataclass(frozen=True)
class Options:
    """What a user may choose. The same fields are the command's flags, the browser's form and the Slicer page."""

    method: str = option("model", "model runs the learned model; bicubic only interpolates, and needs no model.", choices=METHODS)
    model: str = option("", "Identifier of the model; empty takes the default one.")
    roi: str = option(
        "",
        "The region, x,y,z,width,depth,height: centre and size of a box in LPS mm; nine numbers more are the unit directions of its "
        "axes where it is rotated; or ijk,i0,i1,j0,j1,k0,k1 in voxels, ends not included; empty takes the whole volume.",
    )
    region: str = option(
        "auto",
        "Where the model adds detail, bicubic elsewhere, unless a mask is given: auto takes the lungs of a chest CT, and everything "
        "where there are none.",
        choices=REGIONS,
    )
    consistent: bool = option(
        False, "Make the result average back to the scan exactly, before rounding: its noise comes back with its values."
    )
    slice_spacing_mm: float = option(
        0.0, "Interpolate the slices afterwards, to this spacing; 0 keeps them.", unit="mm", minimum=0.0, maximum=1000.0
    )
    any_modality: bool = option(False, "Take a volume that is not CT in HU all the same.", advanced=True)
    device: str = option("auto", "Where the model runs.", choices=DEVICES, advanced=True)
    self_ensemble: bool = option(False, "Average eight flipped and rotated runs of the model: slower, slightly better.", advanced=True)
    tile: int = option(
        128,
        "Side of the tiles that the model is given, in pixels of the scan; it must exceed twice the model's context and the overlap.",
        minimum=16,
        maximum=1024,
        advanced=True,
    )
    overlap: int = option(8, "Pixels of the scan over which tiles are blended.", minimum=0, maximum=64, advanced=True)
    batch_size: int = option(
        4, "Tiles computed at once; made smaller by itself where memory is short.", minimum=1, maximum=256, advanced=True
    )


@dataclass(frozen=True)
class Result:
    """volume: one finer Volume a time point. fidelity: expected |error| a voxel in HU, same grid, float32.

    report: JSON-able facts (method, model, grid, plan, how the result averages back to the scan, what was added, warnings).
    """

    volume: tuple[Volume, ...]
    fidelity: tuple[Volume, ...]
    report: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[], bytes | None] = lambda: None

    @cached_property
    def picture(self) -> bytes | None:
        """PNG of scan, bicubic, result and expected error, drawn when asked for; None without matplotlib."""
        return self.draw()


def super_resolve_ct(
    volume: Volume | Sequence[Volume],
    options: Options = Options(),
    *,
    mask: Volume | Sequence[Volume] | None = None,
    progress: Progress = Progress(),
) -> Result:
    """Make the pixels of each slice eight times finer per side; slices, directions and the physical box stay.

    volume: the frames of one image, sharing a grid, in HU. The first pixel's centre moves by 3.5 new pixels towards the edge
    along both axes of the plane. Padding (below −1500 HU) is kept as it is; the model is given the nearest tissue in its place.
    A rotated region has a grid of its own, to which the scan is resampled first. Results of 256 MB and more lie in unnamed
    temporary files. Raises InputError, OptionError, ModelError, ResourceError, DependencyError.
    """
    from ..volume import frames_of
    from .ct_engine import run

    validate(options)
    return run(frames_of(volume), options, None if mask is None else frames_of(mask)[0], progress)


def output_bytes(volume: Volume | Sequence[Volume], options: Options) -> dict[str, int]:
    """Bytes of each output before it is written, at most: what a disk must have room for."""
    from ..volume import frames_of
    from .ct_plan import output_bytes as sizes

    return sizes(frames_of(volume), options)
