"""What a file or folder holds, before it is read. Standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".seq.nrrd", ".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima")
"""The endings of image files that are read; the longest first."""

MODALITY_KEY = "modality"
"""Key of a NRRD's header that keeps the modality of its image, as DICOM's two letters."""


@dataclass(frozen=True)
class SeriesInfo:
    """One image among those of a file or folder.

    uid: SeriesInstanceUID ("" for a file that is not DICOM), with "#2", "#3" behind it where one UID holds several images.
    files: in no particular order. shape: (frames, z, y, x) as far as the headers tell, 0 where unknown.
    """

    uid: str
    description: str
    modality: str
    files: tuple[Path, ...]
    shape: tuple[int, int, int, int] = (0, 0, 0, 0)


def suffix_of(path: Path) -> str:
    """The ending of an image file's name, lower case and whole (".nii.gz", ".seq.nrrd")."""
    name = path.name.lower()
    return next((s for s in SUFFIXES if name.endswith(s)), path.suffix.lower())


def stem_of(path: Path) -> str:
    """The name without its ending: "heart" for "heart.seq.nrrd"."""
    suffix = suffix_of(path)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def is_modality(text: str) -> bool:
    """Whether a text is a modality as DICOM writes it ("CT"); NRRD files of other programs say "DWMRI" there."""
    return len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()


def file_meta(path: Path, warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    """Volume.meta of a file that says nothing about patient or modality: its name and its sha256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": stem_of(path), "modality": "", "units": "", "identity": {"sha256": digest}, "warnings": tuple(warnings)}
