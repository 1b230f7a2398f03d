"""The header that a derived slice starts from: a source slice's, made classic and free of what described its pixels; or a minimal one."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from ..volume import Volume
from .dicom_headers import FrameFacts

SOP_CLASSES = {
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
"""Classic image storage of each modality that derived slices are written for."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""For every other modality, and for images that do not say theirs: they claim nothing of how they were acquired. Position, orientation
and spacing are written all the same (a standard extended SOP class), so that readers that go by them place the slices."""
UNKNOWN = "OT"
"""The modality "other", of an image that does not say its own."""

_STALE = (
    "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "NumberOfFrames",
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelDataProviderURL", "IconImageSequence", "DataSetTrailingPadding",
    "DigitalSignaturesSequence", "MACParametersSequence", "RealWorldValueMappingSequence", "ModalityLUTSequence",
    "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "DimensionIndexSequence", "DimensionOrganizationSequence",
    "SourceImageSequence", "InstanceCreationDate", "InstanceCreationTime", "SpacingBetweenSlices", "ImagesInAcquisition",
)  # fmt: skip
"""Elements that speak of the source's pixels, frames or slice step."""

_KEPT_GROUPS = {0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0040}
_FROM_FRAME = (
    "EchoTime", "DiffusionBValue", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "SliceThickness", "FrameType",
    "RepetitionTime", "FlipAngle", "EchoTrainLength",
)  # fmt: skip
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
    "ReferringPhysicianName", "Manufacturer", "PositionReferenceIndicator", "Laterality", "PatientPosition", "AcquisitionNumber",
)  # fmt: skip
"""Elements that every image must have, if only empty."""

_REQUIRED: dict[str, dict[str, Any]] = {
    "MR": {
        "ScanningSequence": "RM", "SequenceVariant": "NONE", "ScanOptions": "", "MRAcquisitionType": "", "RepetitionTime": None,
        "EchoTime": None, "EchoTrainLength": None,
    },
    "CT": {"KVP": None},
}  # fmt: skip


def classic(dataset: Any, frame: int) -> Any:
    """A copy of a source header (of its frame `frame`) without pixels, private elements, overlays and multi-frame structure."""
    from pydicom.datadict import keyword_for_tag
    from pydicom.dataset import Dataset

    template = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in dataset.keys():  # noqa: SIM118 (iterating a dataset itself decodes all of it, frames included)
            if tag.group in _KEPT_GROUPS and keyword_for_tag(tag) not in _STALE:
                template[tag] = copy.deepcopy(dataset[tag])
        template.remove_private_tags()
        if "PerFrameFunctionalGroupsSequence" in dataset:
            _flatten(template, FrameFacts(dataset, frame))
        for _ in template.iterall():
            pass  # decodes what is inside sequences too: what is left raw would be written in the source's byte order
    _fill(template)
    return template


def _flatten(template: Any, fact: Any) -> None:
    """Bring what a classic header says of one slice up from the functional groups."""
    for keyword in _FROM_FRAME:
        value = fact.value("EffectiveEchoTime" if keyword == "EchoTime" else keyword)
        if value is not None:
            setattr(template, "ImageType" if keyword == "FrameType" else keyword, value)
    template.pop("FrameType", None)
    template.pop("EffectiveEchoTime", None)


def _fill(template: Any) -> None:
    """Add what the classic object requires and the source left out."""
    for keyword, value in {**dict.fromkeys(_TYPE_2, ""), **_REQUIRED.get(str(template.get("Modality")), {})}.items():
        if keyword not in template:
            setattr(template, keyword, value)
    if "BodyPartExamined" in template and not template.Laterality:
        del template.Laterality  # asked for where the part is unknown or paired, an error where it is neither


def modality_of(volume: Volume) -> str:
    """The modality to write an image with that never was DICOM: what it says of itself, CT where it is in HU, else UNKNOWN."""
    stated = str(volume.meta.get("modality") or "")
    return stated or ("CT" if volume.meta.get("units") == "HU" else UNKNOWN)


def blank(modality: str) -> Any:
    """A minimal valid header for an image that never was DICOM: nobody's, of an unknown study."""
    from pydicom.dataset import Dataset

    template = Dataset()
    template.Modality = modality
    _fill(template)
    return template
