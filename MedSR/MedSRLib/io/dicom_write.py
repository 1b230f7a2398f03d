"""Volumes to a derived DICOM series: one classic file a slice and frame, with the source's patient, study and frame of reference.

Every file says that it is derived (Image Type, derivation code and text, the source slices on both sides, MedSR as contributing
equipment) and has UIDs of its own. Private elements, overlays and anything that described the source's pixels are left out.
"""

from __future__ import annotations

import copy
import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import OutputError
from ..volume import ORTHOGONAL_TOLERANCE, Volume
from .atomic import replacing_folder
from .dicom_headers import Slice, header, slices_of
from .dicom_scale import Scale, scale_for
from .dicom_template import SECONDARY_CAPTURE, SOP_CLASSES, UNKNOWN, blank, classic, modality_of

SUFFIX = " MedSR"
"""Added to the source's Series Description."""


@dataclass(frozen=True)
class _Source:
    """A slice of the source series, a classic header made from its own, and how many frames its file holds."""

    slice: Slice
    template: Any
    sop_class: str
    frames: int


def write(folder: Path, frames: Sequence[Volume]) -> None:
    """Write a new folder of DICOM files, all or nothing; `folder` may exist where it is empty.

    The headers come from the files that `meta["dicom_files"]` names, slice by slice the nearest one; without them a minimal valid
    series is written, of the modality that the frames state, or as Secondary Capture (see `doubts`). Values keep the source's rescale
    where it holds them exactly, else they are stored as whole numbers, else as 16 bits over their range, with the largest error said
    in Derivation Description.
    Raises OutputError where the values or the grid do not fit DICOM, or the system refuses.
    """
    _check(frames, folder)
    sources = [_sources(frame, folder) for frame in frames]
    scale = scale_for([f.array for f in frames], [(s.slice.slope, s.slice.intercept) for source in sources for s in source], folder)
    series = _series_facts(frames[0], sources[0], len(frames), scale)
    with replacing_folder(folder) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote header values
        number = 0
        for index, (frame, source) in enumerate(zip(frames, sources, strict=True)):
            for z, position in enumerate(_positions(frame)):
                number += 1
                dataset = _template(frame, source, position)
                _set(dataset, series | _slice_facts(frame, z, position, number, index, len(frames)))
                if source:
                    dataset.SourceImageSequence = _references(source, position, _step_mm(frame))
                _set_pixels(dataset, frame.array[z], scale)
                _save(dataset, part / f"IM{number:05d}.dcm", folder)


def doubts(frames: Sequence[Volume]) -> tuple[str, ...]:
    """Sentences that a user should hear before these frames become DICOM."""
    if frames[0].meta.get("dicom_files") or modality_of(frames[0]) != UNKNOWN:
        return ()
    return (
        "the image does not say its modality: the DICOM series is written as Secondary Capture of modality OT, "
        "which some viewers show as single pictures; start from the DICOM series to keep modality, patient and study",
    )


def _check(frames: Sequence[Volume], folder: Path) -> None:
    first = frames[0]
    if first.array.ndim != 3:
        raise OutputError("colour is not written to DICOM", where=str(folder))
    x, y = first.direction[:, 0], first.direction[:, 1]
    if abs(x @ y) > ORTHOGONAL_TOLERANCE:
        raise OutputError(
            "rows and columns that are not at right angles do not fit DICOM", where=str(folder), fix="resample the volume first"
        )
    if any(f.array.dtype.kind == "f" and not np.all(np.isfinite(f.array)) for f in frames):
        raise OutputError("NaN or infinite voxels do not fit DICOM", where=str(folder), fix="write NRRD")


def _positions(frame: Volume) -> np.ndarray:
    """(z, 3) LPS mm of the first pixel of each slice."""
    return np.array(frame.origin_mm) + frame.slice_positions_mm[:, None] * frame.direction[:, 2]


def _normal(frame: Volume) -> np.ndarray:
    normal = np.cross(frame.direction[:, 0], frame.direction[:, 1])
    return normal / np.linalg.norm(normal)


def _step_mm(frame: Volume) -> float:
    """Distance between neighbouring planes, at right angles to them; the median where steps differ."""
    return float(frame.spacing_mm[2] * abs(frame.direction[:, 2] @ _normal(frame)))


def _sources(frame: Volume, folder: Path) -> list[_Source]:
    """The source slices of one frame; none where it does not come from DICOM."""
    files, numbers = frame.meta.get("dicom_files") or (), frame.meta.get("dicom_frames") or ()
    known: dict[str, tuple[Any, list[Slice]]] = {}
    found = []
    for file, number in zip(files, numbers or [0] * len(files), strict=True):
        if file not in known:
            known[file] = (header(Path(file)), slices_of(Path(file)))
        dataset, slices = known[file]
        if dataset is None or number >= len(slices) or slices[number].position is None:
            raise OutputError(f"the source file {file} can no longer be read", where=str(folder), fix="bring it back, or write NRRD")
        found.append(_Source(slices[number], classic(dataset, number), str(dataset.SOPClassUID), len(slices)))
    return found


def _distance(source: _Source, position: np.ndarray) -> float:
    return float(np.linalg.norm(source.slice.position - position))


def _template(frame: Volume, source: Sequence[_Source], position: np.ndarray) -> Any:
    """A fresh header: that of the nearest source slice, else a minimal one."""
    if not source:
        return blank(modality_of(frame))
    return copy.deepcopy(min(source, key=lambda s: _distance(s, position)).template)


def _references(source: Sequence[_Source], position: np.ndarray, step_mm: float) -> list[Any]:
    """Source Image Sequence: the source slice at this place, or those on both sides of it."""
    from pydicom.dataset import Dataset

    near = sorted(source, key=lambda s: _distance(s, position))[:2]
    if near and _distance(near[0], position) < 1e-3 * step_mm:
        near = near[:1]
    items = []
    for one in near:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.slice.instance
        if one.frames > 1 and not one.slice.mosaic:
            item.ReferencedFrameNumber = one.slice.frame + 1
        item.PurposeOfReferenceCodeSequence = [_code("121322", "Source image for image processing operation")]
        items.append(item)
    return items


def _code(value: str, meaning: str) -> Any:
    """A code of the DICOM vocabulary (DCM)."""
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _series_facts(first: Volume, source: Sequence[_Source], frames: int, scale: Scale) -> dict[str, Any]:
    """What all files of the new series share."""
    from pydicom.uid import generate_uid

    now = datetime.datetime.now()
    template = source[0].template if source else blank(modality_of(first))
    text = str(first.meta.get("derivation") or "Resampled by MedSR: generated slices are not acquired data. Research software.")
    number = template.get("SeriesNumber")
    facts: dict[str, Any] = {
        "SeriesInstanceUID": generate_uid(prefix=None),
        "SeriesNumber": (int(number) if number not in (None, "") else 0) + 1000,
        "SeriesDescription": (str(template.get("SeriesDescription") or first.meta.get("name") or "")[: 64 - len(SUFFIX)] + SUFFIX).strip(),
        "SeriesDate": now.strftime("%Y%m%d"),
        "SeriesTime": now.strftime("%H%M%S"),
        "ContentDate": now.strftime("%Y%m%d"),
        "ContentTime": now.strftime("%H%M%S"),
        "DerivationDescription": f"{text} {scale.note}".strip()[:1024],
        "DerivationCodeSequence": [_code("113085", "Spatial resampling")],
    }
    facts |= {uid: generate_uid(prefix=None) for uid in ("StudyInstanceUID", "FrameOfReferenceUID") if not template.get(uid)}
    if frames > 1:
        facts["NumberOfTemporalPositions"] = frames
    return facts


def _slice_facts(frame: Volume, z: int, position: np.ndarray, number: int, index: int, frames: int) -> dict[str, Any]:
    """What one file says of its place, size and instance."""
    from pydicom.uid import generate_uid

    x, y = frame.direction[:, 0], frame.direction[:, 1]
    facts: dict[str, Any] = {
        "SOPInstanceUID": generate_uid(prefix=None),
        "InstanceNumber": number,
        "ImagePositionPatient": _ds(position),
        "ImageOrientationPatient": _ds([*x, *y]),
        "PixelSpacing": _ds([frame.spacing_mm[1], frame.spacing_mm[0]]),
        "SliceLocation": _ds([position @ _normal(frame)])[0],
        "Rows": frame.array.shape[1],
        "Columns": frame.array.shape[2],
    }
    if frame.positions_mm is None:
        facts["SpacingBetweenSlices"] = _ds([_step_mm(frame)])[0]
    if frames > 1:
        facts["TemporalPositionIdentifier"] = index + 1
    b_value = frame.meta.get("frame_keys", {}).get("b_value")
    if b_value is not None:
        facts["DiffusionBValue"] = float(b_value)
    if frames > 1 and frame.meta.get("frame_time_ms") is not None:
        facts["TriggerTime"] = _ds([frame.meta["frame_time_ms"]])[0]
    return facts


def _ds(numbers: Any) -> list[str]:
    """Numbers as decimal strings of at most 16 characters, as exact as that allows."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(n) + 0.0) for n in numbers]


def _set(dataset: Any, facts: dict[str, Any]) -> None:
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)


def _set_pixels(dataset: Any, values: np.ndarray, scale: Scale) -> None:
    thickness = dataset.get("SliceThickness")
    step = dataset.get("SpacingBetweenSlices")
    if step is not None:
        dataset.SliceThickness = _ds([min(float(thickness), float(step)) if thickness not in (None, "") else float(step)])[0]
    kind = [v for v in list(dataset.get("ImageType") or [])[2:] if v != "MOSAIC"] or ["AXIAL" if dataset.Modality == "CT" else "OTHER"]
    dataset.ImageType = ["DERIVED", "SECONDARY", *kind]
    dataset.SOPClassUID = SOP_CLASSES.get(str(dataset.Modality), SECONDARY_CAPTURE)
    if dataset.SOPClassUID == SECONDARY_CAPTURE:
        dataset.ConversionType = "WSD"  # made on a workstation
    dataset.ContributingEquipmentSequence = [*(dataset.get("ContributingEquipmentSequence") or []), _equipment()]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, dataset.get("PhotometricInterpretation") or "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(scale.signed)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        dataset.pop(keyword, None)
    if scale.stated or dataset.Modality == "CT":
        dataset.RescaleIntercept, dataset.RescaleSlope = _ds([scale.intercept])[0], _ds([scale.slope])[0]
        dataset.RescaleType = "HU" if dataset.Modality == "CT" else "US"
    dataset.add_new(0x7FE00010, "OW", scale.stored(values).tobytes())


def _equipment() -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName, item.SoftwareVersions = "MedSR", "MedSR", __version__
    item.PurposeOfReferenceCodeSequence = [_code("109102", "Processing Equipment")]
    item.ContributionDateTime = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
    item.ContributionDescription = "Spatial resampling"
    return item


def _save(dataset: Any, path: Path, folder: Path) -> None:
    """Write one file, explicit little endian, by pydicom 2.4 or 3."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength, meta.FileMetaInformationVersion = 0, b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    whole = FileDataset(str(path), dataset, file_meta=meta, preamble=bytes(128))
    if int(pydicom.__version__.split(".")[0]) < 3:
        whole.is_little_endian, whole.is_implicit_VR = True, False
    buffer = BytesIO()  # pydicom would hide the number of a full disk's error
    try:
        whole.save_as(buffer)
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise OutputError("the source's DICOM header cannot be copied", where=str(folder), fix="write NRRD") from error
    path.write_bytes(buffer.getvalue())
