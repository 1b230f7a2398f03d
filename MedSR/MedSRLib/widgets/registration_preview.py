"""What the registration's page says before Register: what would be laid where, or why nothing would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError, MedSRError
from ..io.series import stem_of, suffix_of
from ..scene.masks import check_mask
from ..scene.nodes import has_image
from ..scene.registration_words import slice_words
from ..tasks.slide_input import OUTLINES_ALONE
from .page import without_flags

FILES = {"outlinesPath": "outlines", "landmarksPath": "landmarks", "casePath": "description"}


def file_of(text: str, what: str) -> Path:
    """The file that was typed. Raises InputError where it is not there."""
    path = Path(text.strip().strip("'\"")).expanduser()
    if not path.exists():
        raise InputError("there is no such file", where=f"{what}: {text}", fix="check the path, or choose it by the button")
    return path


def file_or_none(text: str, what: str) -> Path | None:
    """The same; None where nothing was typed."""
    return file_of(text, what) if text.strip() else None


def landmarks_of(parameters: Any) -> Any:
    """A pair of point lists, or a file; None where neither was given. Raises InputError for one list alone."""
    lists = parameters.slidePoints, parameters.mriPoints
    if all(lists):
        return lists
    if any(lists):
        raise InputError("landmarks need two lists, on the slide and on the MRI", where="landmarks", fix="choose both, or none")
    return file_or_none(parameters.landmarksPath, "landmarks")


def is_picture(slide: Any) -> bool:
    """Whether a slide, a node or a path, is a picture; else it is outlines alone."""
    if isinstance(slide, (str, Path)):
        return suffix_of(Path(slide)) not in OUTLINES_ALONE
    return not slide.IsA("vtkMRMLLabelMapVolumeNode")


def slide_of(parameters: Any) -> Any:
    """The slide's node, or its path. Raises InputError where neither is chosen, or the file is not there."""
    if parameters.slideNode is not None:
        return parameters.slideNode
    if not parameters.slidePath.strip():
        raise InputError("no slide is chosen", fix="choose its file, or an open picture of it")
    return file_of(parameters.slidePath, "slide")


def name_of(path: Path) -> str:
    """What a slide's node is called."""
    return stem_of(path).removesuffix(".ome")


def foretold(parameters: Any) -> tuple[str, bool]:
    """(what a click would do in one sentence, or why it would do nothing; whether it makes sense)."""
    try:
        return _sentence(parameters), True
    except MedSRError as error:
        text = without_flags(error.sentence())
        return text[:1].upper() + text[1:], False


def _sentence(parameters: Any) -> str:
    mri = parameters.inputVolume
    if not has_image(mri):
        raise InputError("no MRI is chosen", fix="choose it, or the mask of its gland alone")
    slide, count = slide_of(parameters), mri.GetImageData().GetDimensions()[2]
    if parameters.slice >= count:
        raise InputError(f"the MRI has slices 0 to {count - 1}, not {parameters.slice}", where=mri.GetName(), fix="choose one of them")
    if parameters.mriMask is not None:
        check_mask(parameters.mriMask, mri)
    for parameter, what in FILES.items():
        if getattr(parameters, parameter).strip():
            file_of(getattr(parameters, parameter), what)
    if parameters.fusedPath.strip() and not is_picture(slide):
        raise InputError("outlines alone have no picture to fuse", where="fused pyramid", fix="leave its file out")
    name = slide.name if isinstance(slide, Path) else slide.GetName()
    where = slice_words(parameters.slice, count, bool(parameters.casePath.strip()))
    if parameters.startHere and parameters.registration is not None:
        where = "the slice where it lies now"
    guided = ", guided by the gland's mask" if parameters.mriMask is not None or mri.IsA("vtkMRMLLabelMapVolumeNode") else ""
    return f"{name} is laid on {where} of {mri.GetName()}{guided}."
