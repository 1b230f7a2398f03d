"""Image files and folders to Volumes, and back: one function to read, one to write, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError, OutputError
from ..volume import Volume
from .series import SeriesInfo, stem_of, suffix_of

GRID_TOLERANCE_MM = 1e-4
"""Largest difference between the grids of two frames that still counts as one grid."""

_NRRD = (".nrrd", ".nhdr", ".seq.nrrd", ".seg.nrrd")
_META = (".mha", ".mhd")
_NIFTI = (".nii", ".nii.gz")
_READABLE = "give NRRD, NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd), or a DICOM file or folder"
_WRITABLE = "use .nrrd, .seq.nrrd, .seg.nrrd, .nii, .nii.gz, .mha, .mhd, or a folder name for DICOM"


def read(path: str | Path, series: str = "") -> tuple[Volume, ...]:
    """The frames of one image, sharing a grid; a 3-D image gives one.

    path: a NRRD, NIfTI or MetaImage file, a DICOM file (which stands for its series) or a folder of DICOM files.
    series: which of several DICOM series, by UID as `list_series` gives it; needed only where there are several.
    Raises InputError, one sentence, where the image cannot be read for what it is.
    """
    path = _existing(path)
    if _is_dicom(path):
        from .dicom import read as read_dicom

        return read_dicom(path, series)
    if series:
        raise InputError("is not DICOM and has no series to choose", where=str(path), fix="leave the series out")
    return _read_file(path)


def read_labels(path: str | Path) -> tuple[Volume, ...]:
    """The frames of a label volume, as `read` gives them, but a Slicer segmentation may hold segments that overlap (volume_layers.py)."""
    path = _existing(path)
    if suffix_of(path) == ".seg.nrrd":
        from . import itk

        return itk.read(path, layered=True)
    return read(path)


def list_series(path: str | Path) -> list[SeriesInfo]:
    """The images that `path` holds: one for a file that is not DICOM, one for each series of a DICOM folder."""
    path = _existing(path)
    if _is_dicom(path):
        from .dicom import list_series as list_dicom

        return list_dicom(path)
    frames = _read_file(path)
    return [SeriesInfo("", stem_of(path), "", (path,), (len(frames), *frames[0].shape))]  # type: ignore[arg-type]


def write(path: str | Path, frames: Volume | Sequence[Volume]) -> None:
    """Write one image: all of it, or nothing, and an existing file is replaced only by a complete one.

    A name without an ending, or an existing (empty) folder, becomes a folder of derived DICOM.
    Raises OutputError where the frames do not fit the format or the system refuses.
    """
    path = Path(path).expanduser()
    frames = (frames,) if isinstance(frames, Volume) else tuple(frames)
    suffix = suffix_of(path)
    _check_frames(frames, path)
    if path.is_dir() or not suffix:
        from .dicom_write import write as write_dicom

        return write_dicom(path, frames)
    if suffix not in _NRRD + _META + _NIFTI:
        raise OutputError(f"{suffix!r} is not an ending that can be written", where=str(path), fix=_WRITABLE)
    _check_fits(frames, path)
    if suffix in _NIFTI:
        from .nifti import write as write_file
    elif suffix in _META:
        from .metaimage import write as write_file
    elif suffix == ".nhdr":
        raise OutputError("a header without its voxels is not written", where=str(path), fix="use .nrrd")
    else:
        from .nrrd import write as write_file
    return write_file(path, [_plain(f) for f in frames])


def doubts(path: str | Path, frames: Volume | Sequence[Volume]) -> tuple[str, ...]:
    """Sentences that a user should hear of what `write` will make of these frames; none where nothing is guessed."""
    path = Path(path).expanduser()
    frames = (frames,) if isinstance(frames, Volume) else tuple(frames)
    if not frames or (suffix_of(path) and not path.is_dir()):
        return ()
    from .dicom_write import doubts as dicom_doubts

    return dicom_doubts(frames)


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    try:
        if not path.exists():
            raise InputError("there is no such file or folder", where=str(path), fix="check the path")
        if path.is_file() and path.stat().st_size == 0:
            raise InputError("the file is empty", where=str(path), fix="copy or export it again")
        if path.is_file():
            path.open("rb").close()
    except OSError as error:
        raise InputError(f"cannot be opened ({error.strerror})", where=str(path), fix="check its permissions") from error
    return path


def _is_dicom(path: Path) -> bool:
    if path.is_dir() or suffix_of(path) in (".dcm", ".ima", ""):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_file(path: Path) -> tuple[Volume, ...]:
    suffix = suffix_of(path)
    if suffix in _NIFTI:
        from . import nifti

        return nifti.read(path)
    if suffix in _META:
        from . import metaimage

        return metaimage.read(path)
    if suffix in _NRRD:
        from . import itk

        return itk.read(path)
    if suffix in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"):
        raise InputError("a picture is not a volume", where=str(path), fix=_READABLE)
    raise InputError(f"{suffix!r} is not the ending of an image that can be read", where=str(path), fix=_READABLE)


def _check_frames(frames: tuple[Volume, ...], path: Path) -> None:
    if not frames:
        raise OutputError("there is no frame to write", where=str(path))
    first = frames[0]
    for frame in frames[1:]:
        same = frame.array.shape == first.array.shape and frame.array.dtype == first.array.dtype
        if not same or np.abs(frame.affine - first.affine).max() > GRID_TOLERANCE_MM:
            raise OutputError("the frames do not share one grid and scalar type", where=str(path))


def _check_fits(frames: tuple[Volume, ...], path: Path) -> None:
    """Raise OutputError for what none of the file formats can hold without a silent change."""
    first = frames[0]
    if first.array.ndim != 3 and (suffix_of(path) not in (".nrrd", ".seg.nrrd") or len(frames) > 1):
        raise OutputError("colour is not written to this format", where=str(path), fix="use .nrrd")
    if first.positions_mm is not None:
        raise OutputError("unevenly spaced slices do not fit this format", where=str(path), fix="interpolate them first, or write DICOM")
    if first.array.dtype.kind not in "biuf" or first.array.dtype.itemsize > 8 or first.array.dtype == np.float16:
        raise OutputError(f"{first.array.dtype} voxels do not fit this format", where=str(path), fix="convert them to float32")


def _plain(frame: Volume) -> Volume:
    """Booleans as 0 and 1."""
    return frame.with_(array=frame.array.astype(np.uint8)) if frame.array.dtype == bool else frame
