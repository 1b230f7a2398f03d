"""What one registration is worth, measured on the files that it wrote. Everything is on the one MRI slice that the slide lies on.

Outlines: Dice, the 95th percentile of surface distances (the larger of both ways) and the distance of centroids, in the plane.
SSIM (Gaussian window, metrics.py) and mutual information compare the brightness (BT.601) of the fused image with the MRI, upscaled
bilinearly to its pixels, both 0 to 255: over the whole picture, most of which is the MRI itself, and inside the tissue alone.
Mutual information is of the joint histogram of MI_BINS equal bins each, in bits: from 0 (independent) to the smaller of both entropies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import same_grid
from ..geometry_plane import Window
from ..geometry_slice import slice_plane
from ..geometry_warp import Placement, Warp
from ..io import formats, transforms
from ..io.landmarks import read_landmarks
from ..io.outline_masks import MOST_LABELS
from ..io.series import file_meta
from ..io.slides import open_slide
from ..metrics import dice, entropy_bits, hausdorff95, mutual_information_bits, ssim
from ..volume import Volume
from ..volume_layers import flattened, layers_of, numbers_of
from . import slide_landmarks
from .slide_gate import GRADES
from .slide_input import GLAND_NAMES, mri_side
from .slide_outputs import LUMINANCE, grey_levels
from .slide_pyramid import PUBLISHED_PIXELS, bilinear
from .slide_report import MOVED

MI_BINS = 64
CASE_COLUMNS = (
    "landmark_median_mm", "landmark_max_mm", "ssim", "ssim_tissue", "mi_bits", "mi_tissue_bits", "entropy_tissue_bits",
    "jacobian_min", "folded_share",
)  # fmt: skip
LABELS = ("labels.seg.nrrd", "labelmap.nii.gz")
"""The carried outlines, the better file first."""
COVERED = 0.9
"""An outline whose label has less than this share of its area lies under others."""


@dataclass(frozen=True)
class Case:
    """One registration's folder, what its registration.json says, and what it is measured against."""

    name: str
    folder: Path
    facts: Mapping[str, Any]
    reference: Volume | None = None
    landmarks: Path | None = None
    mri: Sequence[Volume] | None = None

    @property
    def slice(self) -> int:
        return int(self.facts["slice"])

    @property
    def gland(self) -> str:
        return str(self.facts["gland"]["name"])


def read_facts(folder: Path) -> dict[str, Any]:
    """registration.json. Raises InputError where it is none."""
    path = folder / "registration.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["slice"], facts["gland"]["name"], facts["slide_to_patient"], facts["mpp"]["used_um"], facts["outlines"][0]["outline"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError("is no registration's report", where=str(path), fix="give the folder that register-slide wrote") from error
    return dict(facts)


def measure(case: Case, said: list[str]) -> list[dict[str, Any]]:
    """The rows of one case; warnings are added to `said`."""
    labels = _labels(case, said)
    grade = str(case.facts.get("grade", ""))
    if grade != GRADES[0]:
        said.append(
            f"{case.name}: graded {grade or 'by nobody'}: " + "; ".join(map(str, case.facts.get("reasons") or ("no reason noted",)))
        )
    if case.facts.get("moved_by_hand"):
        said.append(f"{case.name}: {MOVED}; score its position to have them measured anew")
    rows = _against(case, labels, said) if case.reference is not None else _by_the_mask(case, labels, said)
    whole = _landmarks(case, labels) | _likeness(case, labels, said) | _folding(case)
    blank = dict.fromkeys(CASE_COLUMNS)
    return [{"case": case.name, "grade": grade, **row, **(blank | whole if i == 0 else blank)} for i, row in enumerate(rows)]


def _labels(case: Case, said: list[str]) -> Volume:
    """The carried outlines as labels, with their names."""
    found = [p for p in (case.folder / name for name in LABELS) if p.is_file()]
    if not found:
        raise InputError("there are no labels beside registration.json", where=str(case.folder), fix="run register-slide again")
    if found[0].name != LABELS[0]:
        said.append(f"{case.name}: {LABELS[0]} is not there, {found[0].name} is measured, where outlines cover each other")
    labels = formats.read_labels(found[0])[0]
    names = {i: row["outline"] for i, row in enumerate(case.facts["outlines"], 1)}
    return labels if labels.meta.get("segments") else labels.with_(array=labels.array, meta={"segments": names})


def _by_the_mask(case: Case, labels: Volume, said: list[str]) -> list[dict[str, Any]]:
    """Without a reference: the gland's labels against the mask that drove the registration."""
    mask, driven = (
        _driving_mask(case, labels),
        "without reference labels the gland's figures are against the mask that drove the registration",
    )
    if mask is None and case.facts["outlines"][0].get("dice") is None:
        said.append(f"{case.name}: there are neither reference labels nor a mask that drove the registration to measure outlines against")
    elif mask is None:
        said.append(f"{case.name}: {driven}, as registration.json has them: the mask is not where it was, and nothing was measured anew")
    if mask is None:
        keys = ("outline", "dice", "hausdorff95_mm", "centroid_distance_mm", "area_mm2")
        return [{**{key: row[key] for key in keys}, "reference_mm2": None} for row in case.facts["outlines"]]
    said.append(f"{case.name}: {driven}")
    names = {row["outline"].casefold(): row["outline"] for row in case.facts["outlines"]}
    ours = regions(labels, case.slice, case.gland)
    gland = case.gland.casefold()
    gone = [shown for name, shown in names.items() if name not in ours]
    said += [f"{case.name}: the labels hold nothing of {shown!r} on slice {case.slice}" for shown in gone]
    if not ours:
        raise InputError(f"the labels are empty on slice {case.slice}", where=str(case.folder), fix="run register-slide again")
    return [_compared(names.get(name, name), found, mask if name == gland else None, labels.spacing_mm) for name, found in ours.items()]


def _driving_mask(case: Case, labels: Volume) -> np.ndarray | None:
    """(rows, columns) bool of the mask in the place that registration.json notes; None where it is not there, or is another."""
    inputs = case.facts.get("provenance", {}).get("inputs", {})
    noted = inputs.get("mri_mask") or inputs.get("mri") or {}
    path = Path(str(noted.get("path", "")))
    if not path.is_file() or file_meta(path)["identity"] != noted.get("identity"):
        return None
    mask = formats.read_labels(path)[0]
    if len(numbers_of(mask)) > MOST_LABELS:  # an MRI that was registered by what it shows
        return None
    if not same_grid(mask, labels):
        what = "the labels no longer lie on the grid of the mask that drove the registration"
        raise InputError(what, where=str(case.folder), fix="run register-slide again, or export them on that grid")
    return layers_of(mask)[case.slice].any(-1)


def _against(case: Case, labels: Volume, said: list[str]) -> list[dict[str, Any]]:
    """A row for each carried outline; figures are None where the reference has none of its name."""
    assert case.reference is not None
    if not same_grid(labels, case.reference):
        raise InputError("the reference does not lie on the MRI's grid", where=case.name, fix="export it on that grid")
    ours, truth = regions(labels, case.slice, case.gland), regions(case.reference, case.slice, case.gland)
    common = [name for name in ours if name in truth]
    if not common:
        what = f"no outline ({', '.join(ours)}) is named as one of the reference ({', '.join(truth) or 'empty on this slice'})"
        raise InputError(what, where=case.name, fix="name its labels as the outlines")
    said += [f"{case.name}: the reference has no {name!r}" for name in ours if name not in truth]
    rows = []
    areas = {row["outline"].casefold(): row["area_mm2"] for row in case.facts["outlines"]}
    for name, mask in ours.items():
        row = _compared(name, mask, truth.get(name), labels.spacing_mm)
        if row["area_mm2"] < COVERED * (areas.get(name) or 0):
            said.append(f"{case.name}: {name!r} lies under other outlines, and is measured without that part")
        rows.append(row)
    return rows


def regions(labels: Volume, index: int, gland: str) -> dict[str, np.ndarray]:
    """{name in lower case: (rows, columns) bool} of the labels on one slice, the gland first.

    Where outlines overlap, labels of one layer have the later one alone. There the gland, which holds the others, is all that is
    labelled. One label without a name is the gland.
    """
    plane, names = layers_of(labels)[index], labels.meta.get("segments", {})
    numbers = [int(n) for n in np.unique(plane) if n]
    called = {n: str(names.get(n, f"Label {n}")).casefold() for n in numbers}
    if not names and len(set(np.unique(labels.array)) - {0}) == 1:
        called = dict.fromkeys(numbers, gland.casefold())
    synonyms = {gland.casefold(), *GLAND_NAMES}
    drawn = {n: (plane == n).any(-1) for n in numbers}
    glands = [n for n in numbers if called[n] in synonyms]
    held = glands if plane.shape[-1] > 1 else numbers
    whole = {gland.casefold(): np.logical_or.reduce([drawn[n] for n in held])} if glands else {}
    return whole | {called[n]: drawn[n] for n in numbers if n not in glands}


def _compared(name: str, mask: np.ndarray, truth: np.ndarray | None, spacing_mm: tuple[float, ...]) -> dict[str, Any]:
    pixel, step = spacing_mm[0] * spacing_mm[1], np.array(spacing_mm[:2])
    row: dict[str, Any] = {"outline": name, **dict.fromkeys(("dice", "hausdorff95_mm", "centroid_distance_mm"))}
    row |= {"area_mm2": float(mask.sum() * pixel), "reference_mm2": None}
    if truth is None:
        return row
    centres = [np.argwhere(m).mean(0)[::-1] * step for m in (mask, truth)]
    return row | {
        "dice": dice(mask, truth),
        "hausdorff95_mm": hausdorff95(mask, truth, (spacing_mm[1], spacing_mm[0])),
        "centroid_distance_mm": float(np.linalg.norm(centres[0] - centres[1])),
        "reference_mm2": float(truth.sum() * pixel),
    }


def placement_of(case: Case, grid: Volume) -> Placement:
    """Where the slide lies, by registration.json and warp.h5. grid: any volume on the MRI's grid."""
    plane, warp = slice_plane(grid, case.slice), case.folder / "warp.h5"
    placed = Placement.of_matrix(plane, np.array(case.facts["slide_to_patient"], float))
    return (
        placed if case.facts.get("warp") is None else Placement(plane, placed.in_plane, Warp.of_volume(transforms.read_warp(warp), plane))
    )


def _landmarks(case: Case, labels: Volume) -> dict[str, Any]:
    if case.landmarks is None:
        return {}
    mpp = case.facts["mpp"]["used_um"]
    left = slide_landmarks.remaining(placement_of(case, labels), read_landmarks(case.landmarks), (mpp[0], mpp[1]))
    return {"landmark_median_mm": left["median_mm"], "landmark_max_mm": left["max_mm"]}


def _folding(case: Case) -> dict[str, Any]:
    """Of the warp; an affine is the same everywhere and does not fold."""
    warp = case.facts.get("warp")
    return {"folded_share": 0.0} if warp is None else {"jacobian_min": warp["jacobian_min"], "folded_share": warp["folded_share"]}


def _likeness(case: Case, labels: Volume, said: list[str]) -> dict[str, Any]:
    """SSIM and mutual information of fused image and MRI; {} where there is no picture of one of them, which is said."""
    fused = _fused(case)
    if fused is None or case.mri is None:
        what = "fused image" if fused is None else "MRI where it was"
        said.append(f"{case.name}: there is no {what}, so neither SSIM nor mutual information")
        return {}
    mri = mri_side(case.mri, flattened(labels))
    if not mri.picture:
        said.append(f"{case.name}: the MRI is a mask alone, so there is neither SSIM nor mutual information")
        return {}
    picture, box = fused
    grid = Window(box, (picture.shape[0], picture.shape[1]))
    x, y = (box[axis] + (np.arange(grid.shape[1 - axis]) + 0.5) * grid.step[axis] - 0.5 for axis in (0, 1))
    upscaled = bilinear(grey_levels(mri.volume.array[case.slice]), y, x)
    tissue = layers_of(labels)[case.slice].any(-1)[_nearest(y, labels.shape[1])][:, _nearest(x, labels.shape[2])]
    return compared(picture.astype(float) @ LUMINANCE, upscaled, tissue)


def compared(image: np.ndarray, upscaled: np.ndarray, tissue: np.ndarray) -> dict[str, Any]:
    """SSIM and mutual information of two pictures of 0 to 255, whole and inside the tissue (h, w) bool."""
    return {
        "ssim": ssim(upscaled, image, 255.0),
        "ssim_tissue": ssim(upscaled, image, 255.0, tissue) if tissue.any() else None,
        "mi_bits": mutual_information_bits(upscaled, image, MI_BINS, (0.0, 255.0)),
        "mi_tissue_bits": mutual_information_bits(upscaled[tissue], image[tissue], MI_BINS, (0.0, 255.0)),
        "entropy_tissue_bits": entropy_bits(upscaled[tissue], MI_BINS, (0.0, 255.0)),
    }


def _nearest(at: np.ndarray, count: int) -> np.ndarray:
    """Indices of the pixels whose centres are nearest to pixel coordinates."""
    return np.clip(np.floor(at + 0.5).astype(int), 0, count - 1)


def _fused(case: Case) -> tuple[np.ndarray, tuple[float, float, float, float]] | None:
    """((h, w, 3), its box in the MRI slice's picture coordinates): of the pyramid, at most as large as published, else of fused.nrrd."""
    pyramid, plain, known = case.folder / "fused_slide.ome.tif", case.folder / "fused.nrrd", case.facts.get("fused_slide")
    if pyramid.is_file() and known:
        with open_slide(pyramid) as slide:
            x0, y0, x1, y1 = known["box_px"]
            return slide.read(slide.window_within(3 * PUBLISHED_PIXELS**2)), (x0, y0, x1, y1)
    if plain.is_file():
        import SimpleITK as sitk

        picture = sitk.GetArrayFromImage(sitk.ReadImage(str(plain)))[0]
        return picture, (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
    return None
