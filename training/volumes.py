"""The volumes that models are trained on: which, under what licence, thinned how, read into normalised slice stacks."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

HERE = Path(__file__).parent
PAPER_PIXEL_MM = 1.4
"""In-plane pixel of the published protocol."""


@dataclass(frozen=True)
class Source:
    """One volume and how slice pairs are taken from it.

    pixel_mm: in-plane pixels that its slices are resampled to. gaps: distances of the two kept slices, in slices.
    axes: array axes (0 is z) that serve as the through-plane axis. step: every how many slices a pair starts.
    lesion_copies: further stacks of the same slices with synthetic lesions in them (synthetic_lesions.py).
    share: how often the volume is drawn, 1 being as often as the others of its group.
    blur: standard deviation in new pixels of the Gaussian that goes before sampling (0.5 keeps shrinking from aliasing,
        and gives shrunk slices the sharpness, relative to their pixels, that slices have in use).
    """

    name: str
    path: str
    licence: str
    pixel_mm: tuple[float, ...]
    gaps: tuple[int, ...]
    axes: tuple[int, ...] = (0,)
    step: int = 1
    group: str = "other"
    blur: float = 0.0
    lesion_copies: int = 0
    share: float = 1.0


def split(which: str) -> list[str]:
    """Subject names of the committed ACDC split, `which` being train or validation."""
    return json.loads((HERE / "splits/acdc_10mm.json").read_text())[which]


def acdc(which: str, pixel_mm: tuple[float, ...], gaps: tuple[int, ...] = (2,)) -> list[Source]:
    """The subjects of one side of the split. Their files are called patientNNN_frameNN.nii.gz."""
    where, licence = "cardiac/acdc_10mm/{}_*.nii.gz", "CC BY-NC-SA 4.0"
    return [Source(s, where.format(s), licence, pixel_mm, gaps, group="cardiac", blur=0.5) for s in split(which)]


def others(which: str = "other") -> list[Source]:
    """Other anatomy, all under a stated licence: splits/other.json, or splits/other_lesions.json, the same volumes with lesions."""
    rows = json.loads((HERE / f"splits/{which}.json").read_text())["train"]
    return [Source(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}, blur=0.4) for row in rows]


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(z, y, x) float32 array and its (z, y, x) spacing in mm, from NIfTI, NRRD, a DICOM folder or a .tar.xz of one.

    Spacing is SimpleITK's: for ACDC, whose sform is the identity, that is pixdim, which is the true one.
    """
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    if path.name.endswith(".tar.xz"):
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
            return read(next(p.parent for p in sorted(Path(folder).rglob("*")) if p.is_file()))
    if path.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image).astype(np.float32), np.array(image.GetSpacing()[::-1])


def normalised(volume: np.ndarray) -> np.ndarray:
    """1st percentile to 0, 99th to 1, linear, nothing clamped."""
    low, high = np.percentile(volume, (1, 99))
    return ((volume - low) / max(high - low, 1e-6)).astype(np.float32)


def resampled(slices: np.ndarray, pixel_mm: tuple[float, float], wanted_mm: float, blur: float = 0.0) -> np.ndarray:
    """(n, h, w) slices at square pixels of about `wanted_mm`, by a cubic spline, corner centres kept, after a Gaussian."""
    from scipy.ndimage import gaussian_filter, zoom

    sigma = [blur * wanted_mm / p if wanted_mm > p else 0 for p in pixel_mm]
    smooth = gaussian_filter(slices, (0, *sigma)) if any(sigma) else slices
    return zoom(smooth, (1, pixel_mm[0] / wanted_mm, pixel_mm[1] / wanted_mm), order=3).astype(np.float32)


def stacks(source: Source, root: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(key, slices (n, h, w) float32) of the volume, one for each through-plane axis and in-plane pixel."""
    path = next(iter(sorted(root.glob(source.path))))
    volume, spacing = read(path)
    volume = normalised(volume)
    for axis in source.axes:
        slices = np.ascontiguousarray(np.moveaxis(volume, axis, 0))
        plane = tuple(np.delete(spacing, axis))
        for pixel in source.pixel_mm:
            made = resampled(slices, plane, pixel, source.blur)
            yield f"{source.name}_axis{axis}_{pixel:.2f}mm", made
