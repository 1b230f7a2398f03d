"""The samples of a slide and its MRI: several files each, and what the registration's page is to be filled with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import slicer

from ..errors import DependencyError
from . import attributes, slides
from .exchange import load
from .nodes import add_node
from .samples import Sample, checked, offer
from .segmentations import Segment, add_segmentation

SUGGESTION = "suggestion"
"""Attribute of an MRI: the page's parameters that belong to it, as JSON."""
GLAND = Segment(1, "Segment_1", "prostate", (0.16, 0.63, 0.24))


@dataclass(frozen=True)
class Pair:
    """mri: the volume, or where there is none the gland's mask alone. mask: the gland on it. files: {parameter of the page: file}.

    shas: {file: sha256} of mask and files. others: further parameters. slide: the file of a picture that views can show.
    """

    mri: Sample
    mask: str
    files: Mapping[str, str]
    shas: Mapping[str, str]
    others: Mapping[str, Any]
    slide: str = ""

    def path(self, resources: Path, file: str) -> Path:
        """A file that was checked. Raises InputError where it is missing or altered."""
        return checked(resources, replace(self.mri, file=file, sha256=self.shas[file]))


OUTLINES = Pair(
    Sample(
        "ProstateMRI",
        "prostate_t2.nrrd",
        "prostate_t2",
        "15eb891b6b623fe74f383984a79d69ab72e7fee1c05d802c0a349f61de172ed5",
        icon="ProstateMRI.png",
    ),
    "prostate_t2_gland.nrrd",
    {"slidePath": "prostate_outlines_D1D2D3D4.geojson", "casePath": "prostate_case.json"},
    {
        "prostate_t2_gland.nrrd": "3dd3ea9d564ee3361866ef1ae5a289fbbb62f2a64fb4c07399546e8d1269badf",
        "prostate_outlines_D1D2D3D4.geojson": "833e174ae1e72974732f088abda2a7c20e175947631c54d7c83ac14ba079e8b0",
        "prostate_case.json": "65fed46e9e7f06fcf3271d87b0264dfb3f59929e0ab4a916388bf7b6c66098f6",
    },
    {"slice": 14, "mpp_um": 7.2},
)
"""A T2 of the prostate, and what pathologists drew on the slide of its slice 14."""
SLIDE = Pair(
    Sample(
        "ProstateSlide",
        "prostate_slide_gland.nrrd",
        "prostate_gland",
        "a2fc39e3517a8c062dd66d48d17b138ef6acee036c6b35de0832fc5b1c4cc989",
        icon="ProstateSlide.png",
    ),
    "",
    {"slidePath": "prostate_slide.ome.tif", "outlinesPath": "prostate_slide_cancer.geojson"},
    {
        "prostate_slide.ome.tif": "9830cb9b2a6c647c2d463ebc5f23872bda45ef665ae79f541dfe6e49ae7608c2",
        "prostate_slide_cancer.geojson": "2a4720f1865c9f0af7854b9fba2c16fdf0914541c6ea7c17abca099878c00da7",
    },
    {"slice": 12},
    slide="prostate_slide.ome.tif",
)
"""A whole-mount slide of the prostate, and the gland's mask on the MRI of the same patient."""
PAIRS = (OUTLINES, SLIDE)


def load_pair(resources: Path, pair: Pair) -> Any:
    """Add the MRI, its mask, and the slide where it can be read; returns the MRI's node. Raises InputError."""
    files = {parameter: pair.path(resources, file) for parameter, file in pair.files.items()}
    scene, labels = slicer.mrmlScene, not pair.mask
    mri = add_node(scene, load(checked(resources, pair.mri))[0], pair.mri.node, labels=labels)
    suggested: dict[str, Any] = {**{name: str(path) for name, path in files.items()}, **pair.others}
    if pair.mask:
        gland = add_segmentation(scene, load(pair.path(resources, pair.mask))[0], f"{pair.mri.node} gland", (GLAND,))
        gland.SetReferenceImageGeometryParameterFromVolumeNode(mri)
        suggested["mriMask"] = gland.GetID()
    if pair.slide:
        suggested |= _shown(scene, pair.path(resources, pair.slide))
    attributes.write(mri, {SUGGESTION: json.dumps(suggested)})
    return mri


def _shown(scene: Any, path: Path) -> dict[str, str]:
    """The slide's node; nothing where the library that reads it is not installed yet: then its path is enough."""
    try:
        return {"slideNode": slides.add_slide(scene, slides.read_picture(path), "prostate_slide").GetID(), "slidePath": ""}
    except DependencyError:
        return {}


def suggestion_of(mri: Any) -> dict[str, Any]:
    """What the page is to be filled with for an MRI; nodes by their ID. {} for any other volume."""
    text = attributes.read(mri).get(SUGGESTION)
    return dict(json.loads(text)) if text else {}


def register(resources: Path) -> None:
    """Offer them on Slicer's Sample Data page; called once Slicer has started."""
    for pair in PAIRS:
        offer(resources, pair.mri, partial(load_pair, resources, pair))
