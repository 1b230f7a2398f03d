"""Writing labels as DICOM SEG, referring to the slices of the series that they lie on. By highdicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import DependencyError, InputError
from ..volume import Volume
from ..volume_layers import numbers_of, segment
from .atomic import replacing_file

PROSTATE_NAMES = ("prostate", "gland", "prostate gland", "whole prostate", "whole gland")
ALGORITHM = "MedSR slide registration"


def can_refer(volume: Volume) -> bool:
    """Whether the volume came from one DICOM file a slice, which a segmentation can refer to."""
    files = volume.meta.get("dicom_files") or ()
    return len(set(files)) == volume.shape[0]


def write(path: Path, labels: Volume) -> None:
    """Write the labels of a volume's grid (uint8, (z, y, x) or (z, y, x, layer)) as binary segments, named as meta["segments"] says.

    Raises InputError where the volume did not come from DICOM slices or holds no label, DependencyError without highdicom.
    """
    if not can_refer(labels) or not labels.array.any():
        raise InputError("there are no DICOM slices, or no labels on them, to refer to", where=str(labels.meta.get("name", "labels")))
    try:
        import highdicom as hd
    except ImportError as error:
        raise DependencyError("DICOM SEG needs highdicom", fix="install highdicom") from error
    import pydicom

    numbers, names = numbers_of(labels), labels.meta.get("segments", {})
    dataset = hd.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in labels.meta["dicom_files"]],
        pixel_array=np.stack([segment(labels, number) for number in numbers], axis=-1).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(hd, place, str(names.get(n, f"Label {n}"))) for place, n in enumerate(numbers, 1)],
        series_instance_uid=hd.UID(),
        series_number=9000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="MedSR",
        manufacturer_model_name="MedSR",
        software_versions=__version__,
        device_serial_number="0",
        series_description="Slide outlines on MRI",
    )
    with replacing_file(path) as file:
        dataset.save_as(file)


def _segment(hd: Any, number: int, name: str) -> Any:
    """A segment says what it is only where its name does; else it is a region."""
    from pydicom.sr.codedict import codes

    prostate = name.casefold() in PROSTATE_NAMES
    region = hd.sr.CodedConcept("111030", "DCM", "Image Region")
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure if prostate else codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=codes.SCT.Prostate if prostate else region,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        # a person drew the outlines; what was computed is where they lie
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            ALGORITHM, hd.sr.CodedConcept("123109", "DCM", "Manual Processing"), __version__
        ),
    )
