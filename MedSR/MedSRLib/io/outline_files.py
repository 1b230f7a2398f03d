"""Outline files to one type: QuPath GeoJSON, Aperio XML, mask pictures, label volumes, Slicer segmentations; and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..outlines import Outline
from ..outlines_check import checked
from .series import suffix_of

VOLUMES = (".seg.nrrd", ".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")
PICTURES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".gif")


@dataclass(frozen=True)
class OutlineFile:
    """What a file of outlines holds, in level-0 pixels of its slide.

    size: (width, height) of the picture that a mask covers, level-0 pixels; None where the file does not say.
    mpp_um: (x, y) micrometres per level-0 pixel that the file states, else None. warnings: sentences a user should see.
    """

    outlines: tuple[Outline, ...]
    size: tuple[int, int] | None = None
    mpp_um: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


def read_outlines(path: str | Path, slide_size: tuple[int, int] | None = None, slice_index: int | None = None) -> OutlineFile:
    """Read outlines, whatever the format.

    slide_size: (width, height) of the slide in level-0 pixels; a mask of another size is taken to cover the whole slide, where
    its shape agrees. slice_index: which slice of a label volume, needed only where several hold labels.
    Raises InputError where the file cannot be read for what it is, or holds no outline with an area on the slide.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="check the path")
    found = _read(path, slide_size, slice_index)
    kept, said = checked(found.outlines, slide_size or found.size, str(path))
    return OutlineFile(kept, found.size, found.mpp_um, found.warnings + said)


def _read(path: Path, slide_size: tuple[int, int] | None, slice_index: int | None) -> OutlineFile:
    suffix = suffix_of(path)
    if suffix in (".geojson", ".json"):
        from . import outline_geojson

        return OutlineFile(*_no_size(outline_geojson.read(path)))
    if suffix == ".xml":
        from . import outline_aperio

        return outline_aperio.read(path)
    if suffix in PICTURES:
        from . import outline_masks

        return outline_masks.read_picture(path, slide_size)
    if suffix in VOLUMES:
        from . import outline_masks

        return outline_masks.read_volume(path, slide_size, slice_index)
    fix = "give QuPath GeoJSON, Aperio XML, a mask picture (PNG, TIFF), or labels as NRRD or NIfTI"
    raise InputError(f"{suffix!r} is not the ending of a file of outlines", where=str(path), fix=fix)


def _no_size(found: tuple[tuple[Outline, ...], tuple[str, ...]]) -> tuple[tuple[Outline, ...], None, None, tuple[str, ...]]:
    return found[0], None, None, found[1]
