"""DICOM headers to Slices: one record for each picture, whether it came in its own file or as a frame of a multi-frame one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

MAX_DEPTH = 4
"""How many folders down DICOM files are looked for: patient, study, series and one more."""

_NOT_FOR_US = {
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole-slide picture, not a volume",
    "1.2.840.10008.5.1.4.1.1.66.4": "a DICOM segmentation; export it from Slicer as .seg.nrrd",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose grid, not an image",
}


@dataclass(frozen=True, eq=False)
class Slice:
    """One picture and where it lies, or None where its header does not say.

    frame: its number in the file, from 0. position: (3,) LPS mm of the centre of its first pixel. axes: (2, 3) unit directions along
    a row (x) and along a column (y). spacing_mm: (x, y). thickness_mm: distance to the next slice as the header claims, else thickness.
    keys: what tells the frames of a 4-D series apart, in the order in which they count ("kind", "temporal_position", "trigger_time_ms",
    "b_value", "echo_time_ms"). order: instance number and frame, the last resort. mosaic: how many slices a Siemens mosaic holds (`frame`
    is then its tile), -1 where it does not say, 0 for any other file. refusal: why this kind of object is no volume, else "".
    """

    path: Path
    frame: int
    series: str
    instance: str
    modality: str
    description: str
    size: tuple[int, int]
    colour: bool
    mosaic: int
    syntax: str
    position: np.ndarray | None
    axes: np.ndarray | None
    spacing_mm: tuple[float, float] | None
    thickness_mm: float | None
    slope: float
    intercept: float
    units: str
    keys: Mapping[str, Any]
    order: tuple[float, int]
    refusal: str

    @property
    def placed(self) -> bool:
        """True where the header says where the picture lies."""
        return self.position is not None and self.axes is not None and self.spacing_mm is not None


def slices_below(path: Path) -> list[Slice]:
    """Every picture of a folder and the folders in it; of a file, those of its own series beside it."""
    if path.is_dir():
        return [s for file in _files(path, MAX_DEPTH) for s in slices_of(file)]
    own = slices_of(path)
    if not own:
        raise InputError("is not a DICOM image, or is damaged", where=str(path), fix="give a DICOM image file or its folder")
    beside = [s for file in _files(path.parent, 0) if file != path for s in slices_of(file)]
    return own + [s for s in beside if s.series == own[0].series]


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        raise InputError(f"cannot be opened ({error.strerror})", where=str(folder), fix="check its permissions") from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.upper() == "DICOMDIR":
            continue
        if entry.is_file():
            yield Path(entry.path)
        elif depth > 0 and entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), depth - 1)


def header(path: Path) -> Any:
    """The pydicom Dataset of a file without its pixels, or None where the file is not DICOM."""
    import pydicom

    try:
        with path.open("rb") as file:
            marked = file.read(132)[128:] == b"DICM"
        if not marked and path.suffix.lower() not in ("", ".dcm", ".ima"):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote header values, and none of them concerns geometry
            return pydicom.dcmread(path, stop_before_pixels=True, force=not marked)
    except Exception as error:
        if is_damage(error):
            return None
        raise


_DAMAGED = (OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, NotImplementedError, RuntimeError)
"""What pydicom and its decoders raise on files that are not DICOM, cut short or damaged, beside pydicom's own exceptions."""


def is_damage(error: Exception) -> bool:
    """Whether an exception of pydicom or its decoders says that the file is not what it should be."""
    return isinstance(error, _DAMAGED) or type(error).__module__.partition(".")[0] == "pydicom"


def slices_of(path: Path) -> list[Slice]:
    """The pictures of one file; none where it is not a DICOM image."""
    dataset = header(path)
    if dataset is None or "SOPClassUID" not in dataset or "Rows" not in dataset or "Columns" not in dataset:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            slices = [_slice(path, dataset, frame) for frame in range(int(dataset.get("NumberOfFrames") or 1))]
            if "MOSAIC" not in (dataset.get("ImageType") or ()):
                return slices
            from .dicom_mosaic import tiles_of

            return tiles_of(slices[0], dataset)
        except Exception as error:
            if is_damage(error):
                return []
            raise


def _slice(path: Path, dataset: Any, frame: int) -> Slice:
    fact = FrameFacts(dataset, frame)
    spacing, position = fact.floats("PixelSpacing", 2), fact.floats("ImagePositionPatient", 3)
    image_type = [str(v) for v in fact.value("FrameType", dataset.get("ImageType")) or []]
    return Slice(
        path=path,
        frame=frame,
        series=str(dataset.get("SeriesInstanceUID", "")),
        instance=str(dataset.get("SOPInstanceUID", "")),
        modality=str(dataset.get("Modality", "")),
        description=str(dataset.get("SeriesDescription") or dataset.get("ProtocolName") or ""),
        size=(int(dataset.Rows), int(dataset.Columns)),
        colour=int(dataset.get("SamplesPerPixel", 1)) > 1 or not str(dataset.get("PhotometricInterpretation", "MONO")).startswith("MONO"),
        mosaic=0,
        syntax=str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")),
        position=position,
        axes=_axes(fact.floats("ImageOrientationPatient", 6)),
        spacing_mm=None if spacing is None or spacing.min() <= 0 else (float(spacing[1]), float(spacing[0])),
        thickness_mm=fact.number("SpacingBetweenSlices") or fact.number("SliceThickness"),
        slope=_or(fact.number("RescaleSlope"), 1.0),
        intercept=_or(fact.number("RescaleIntercept"), 0.0),
        units="HU" if dataset.get("Modality") == "CT" else "",
        keys=_keys(fact, dataset, image_type),
        order=(_or(fact.number("InstanceNumber"), 0.0), frame),
        refusal=_NOT_FOR_US.get(str(dataset.SOPClassUID), ""),
    )


def _keys(fact: FrameFacts, dataset: Any, image_type: list[str]) -> dict[str, Any]:
    offset = fact.number("TemporalPositionTimeOffset")
    return {
        "kind": "/".join(image_type[2:]),
        "temporal_position": _first(fact.number("TemporalPositionIndex"), fact.number("TemporalPositionIdentifier")),
        "trigger_time_ms": _first(fact.number("TriggerTime"), fact.number("NominalCardiacTriggerDelayTime")),
        "time_offset_ms": None if offset is None else offset * 1000,
        "b_value": _first(fact.number("DiffusionBValue"), _private_b_value(dataset)),
        "echo_time_ms": _first(fact.number("EffectiveEchoTime"), fact.number("EchoTime")),
    }


def _private_b_value(dataset: Any) -> float | None:
    """Siemens' own element; other makers keep b-values in forms that instance order serves as well."""
    value = dataset.get((0x0019, 0x100C))
    if value is None or not str(dataset.get("Manufacturer", "")).upper().startswith("SIEMENS"):
        return None
    text = value.value.decode("ascii", "ignore") if isinstance(value.value, bytes) else str(value.value)
    return float(text) if text.strip().replace(".", "", 1).isdigit() else None


def _first(*values: float | None) -> float | None:
    return next((v for v in values if v is not None), None)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _axes(numbers: np.ndarray | None) -> np.ndarray | None:
    if numbers is None:
        return None
    axes = numbers.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    return axes / lengths if lengths.min() > 0.5 and abs(axes[0] @ axes[1]) < 0.1 else None


class FrameFacts:
    """Header values of one frame: its own functional groups, then the shared ones, then the top level."""

    def __init__(self, dataset: Any, frame: int) -> None:
        own = dataset.get("PerFrameFunctionalGroupsSequence") or []
        shared = dataset.get("SharedFunctionalGroupsSequence") or []
        groups = [own[frame]] if frame < len(own) else []
        self._places = [item for group in groups + list(shared[:1]) for item in _items(group)] + [dataset]

    def value(self, keyword: str, default: Any = None) -> Any:
        """The value nearest to the frame; `default` where there is none."""
        found = (place.get(keyword) for place in self._places if keyword in place)
        return next((v for v in found if v is not None and v != ""), default)

    def number(self, keyword: str) -> float | None:
        """A finite number, or None."""
        value = self.value(keyword)
        value = value[0] if hasattr(value, "__len__") and not isinstance(value, str | bytes) and len(value) else value
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        return number if np.isfinite(number) else None

    def floats(self, keyword: str, count: int) -> np.ndarray | None:
        """(count,) finite numbers, or None."""
        try:
            values = np.array([float(v) for v in self.value(keyword, ())])
        except (TypeError, ValueError):
            return None
        return values if values.shape == (count,) and np.all(np.isfinite(values)) else None


def _items(group: Any) -> list[Any]:
    """The first item of each macro in a functional group (plane position, pixel measures, ...)."""
    return [element.value[0] for element in group if element.VR == "SQ" and len(element.value) > 0]
