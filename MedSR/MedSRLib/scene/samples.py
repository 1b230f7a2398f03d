"""The sample data that ships: registered with Slicer's Sample Data page, served from the extension itself, checked by sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError
from .exchange import load
from .nodes import add_node
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


def register(resources: Path) -> None:
    """Offer the samples on Slicer's Sample Data page; called once Slicer has started."""
    for sample in (STILL, CINE, THORAX):
        offer(resources, sample, partial(load_sample, resources, sample))


def offer(resources: Path, sample: Sample, add: Callable[[], Any]) -> None:
    """Put one sample on the Sample Data page. add: brings it into the scene."""
    import SampleData

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
        customDownloader=lambda _source: add(),
    )
