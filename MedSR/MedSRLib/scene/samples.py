"""The sample data that ships: registered with Slicer's Sample Data page, served from the extension itself, checked by sha256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError
from .exchange import load
from .nodes import add_node
from .segmentations import add_segmentation, segments_of
from .sequences import add_sequence

CATEGORY = "MedSR"


@dataclass(frozen=True)
class Sample:
    """file: in Resources/SampleData, icon: in Resources/Icons. index: (name, unit, values) of a sequence's frames, None for a still."""

    title: str
    file: str
    node: str
    sha256: str
    index: tuple[str, str, tuple[str, ...]] | None = None
    icon: str = "PigCine.png"


STILL = Sample("PigCine", "pig_cine_ed.nrrd", "pig_cine", "bae8aecc96d4c3a0db990bd1d744a38175b9af708efd32392cee23b33afd96a2")
CINE = Sample(
    "PigCineSequence",
    "pig_cine_4phases.seq.nrrd",
    "pig_cine_4phases",
    "22740a4567645ae91767d8043995e6f18b68bbea79733c2bebee0cc05de8556b",
    ("time", "ms", ("10", "167", "325", "483")),
)
THORAX = Sample(
    "ThoraxCT", "thorax_ct.nrrd", "thorax_ct", "a4b8d545030ca48a185332bd7dc2e2a7f8f43a72dd745ccff59a8774c11b1d2c", icon="ThoraxCT.png"
)
PROSTATE = Sample(
    "ProstateT2",
    "prostate_t2.nrrd",
    "prostate_t2",
    "7a788e01508eecc3b2e689567247af27bdf45248d1954fcf986c394a29b4a8e3",
    icon="ProstateT2.png",
)
PROSTATE_GLAND = Sample(
    "", "prostate_t2_gland.nrrd", "prostate_t2 gland", "f9499876fa70f3e77b3b845143ddeadcab4b716e8383ddf7b163aaa18a18322e"
)
PROSTATE_OUTLINES = Sample("", "prostate_t2_slide.geojson", "", "8e143f6be56d18b05857d78354be004121e9f2b418c7326e8c3d70e344273825")
SLIDE = Sample("ProstateSlide", "prostate_slide.tiff", "prostate_slide", "bd775fa83b9aa79050573a9bfc2f9cdad1674f9cbe3132aa91ad64415911b533")
SLIDE_GLAND = Sample(
    "", "prostate_slide_gland.nrrd", "prostate_slide gland", "084c358e7f3c27de078781a25a0b064f98acdd09074ccf3ed1ede9999644e404"
)
OUTLINES_SLICE, OUTLINES_ORIENTATION, OUTLINES_UM = 2, "r0", 7.2
"""Where PROSTATE_OUTLINES lie on PROSTATE (slice from 0), which way round, and their pixel: what the description of the case says."""


def _path(resources: Path, sample: Sample) -> Path:
    return resources / "SampleData" / sample.file


def checked(resources: Path, sample: Sample) -> Path:
    """The file of a sample. Raises InputError where it is missing or is not the file that was shipped."""
    path = _path(resources, sample)
    if not path.is_file():
        raise InputError("the sample is missing", where=str(path), fix="install the extension again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sample.sha256:
        raise InputError("the sample is not the file that was shipped", where=str(path), fix="install the extension again")
    return path


def load_sample(resources: Path, sample: Sample) -> Any:
    """Add a sample to Slicer's scene; returns the node that views show."""
    frames = load(checked(resources, sample))
    scene = slicer.mrmlScene
    if sample.index is None:
        return add_node(scene, frames[0], sample.node)
    return add_sequence(scene, frames, sample.node, index=sample.index)[1]


def load_volume(resources: Path) -> Any:
    """The still volume: 20 slices of 5 mm."""
    return load_sample(resources, STILL)


def load_sequence(resources: Path) -> Any:
    """The cine: four phases of the same heart."""
    return load_sample(resources, CINE)


def load_ct(resources: Path) -> Any:
    """A part of a chest CT in HU: 16 slices of 1 mm through a lung."""
    return load_sample(resources, THORAX)


def load_prostate(resources: Path) -> tuple[Any, Any]:
    """(T2-weighted MRI of a prostate, segmentation of its gland)."""
    mri = load_sample(resources, PROSTATE)
    labels = load(checked(resources, PROSTATE_GLAND))[0].with_(meta={"segments": {1: "gland"}})
    gland = add_segmentation(slicer.mrmlScene, labels, PROSTATE_GLAND.node, segments_of(labels))
    gland.SetReferenceImageGeometryParameterFromVolumeNode(mri)
    return mri, gland


def load_slide_gland(resources: Path) -> Any:
    """The gland of the case of the slide SLIDE, a volume of one value beside 0: its MRI is not to be had."""
    return load_sample(resources, SLIDE_GLAND)


def register(resources: Path) -> None:
    """Offer the samples on Slicer's Sample Data page; called once Slicer has started."""
    import SampleData

    special = {PROSTATE: lambda: load_prostate(resources)[0]}
    for sample in (STILL, CINE, THORAX, PROSTATE):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.title,
            # A source needs an address: this one is a file of the extension, so that scripts can ask for the sample by name.
            uris=_path(resources, sample).as_uri(),
            fileNames=sample.file,
            nodeNames=sample.node,
            loadFileType="SequenceFile" if sample.index else "VolumeFile",
            thumbnailFileName=str(resources / "Icons" / sample.icon),
            checksums=f"SHA256:{sample.sha256}",
            customDownloader=lambda _source, sample=sample: special.get(sample, lambda: load_sample(resources, sample))(),
        )
