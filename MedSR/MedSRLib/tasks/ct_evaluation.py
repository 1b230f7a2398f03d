"""How evaluate_ct measures: the reference cut to the result, each slice scored, means and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import metrics
from ..errors import DependencyError, InputError
from ..geometry import same_grid
from ..geometry_region import Ranges, crop, place_of
from ..intensity import HOUNSFIELD
from ..run import Progress
from ..volume import Volume
from .ct_input import check_finite, filled, name_of, padding_of
from .ct_parts import Enlarger
from .evaluate_ct import Options, Result
from .slice_input import check_frames
from .super_resolve_ct import FACTOR

BAND_EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of spatial frequency, in the scan's Nyquist frequencies: what its pixels can hold ends at 1."""
BYTE_RANGE = 255.0
METHODS = ("result", "bicubic")


@dataclass(frozen=True)
class Compared:
    """One slice. truth: (H, W) or None; scan: (h, w); made: the result (H, W); inside: (h, w) bool."""

    truth: np.ndarray | None
    scan: np.ndarray
    made: np.ndarray
    inside: np.ndarray


def score(reference: Volume, result: Volume, mask: Volume | None, options: Options, progress: Progress) -> Result:
    """See evaluate_ct, which this is the inside of."""
    for volume in (reference, result):
        check_frames((volume,))
        check_finite((volume,))
    factor, ranges = _fit(reference, result)
    part = crop(reference, ranges)
    inside = _inside(mask, reference, ranges, factor)
    plain = Enlarger((result.shape[1] // FACTOR, result.shape[2] // FACTOR), FACTOR)
    rows: list[dict[str, Any]] = []
    for z in range(part.shape[0]):
        progress(z / part.shape[0], "Measuring")
        one = _compared(part.array[z], result.array[z], None if inside is None else inside[z], factor, plain)
        if one.inside.any():
            rows += [
                {"slice": z, "method": name, **_row(one, image, plain, options.data_range)} for name, image in _images(one, plain).items()
            ]
    if not rows:
        raise InputError("nothing lies within the mask", where="{mask}", fix="give another mask")
    means = [_means(rows, name) for name in METHODS]
    what = "the truth" if factor == 1 else "the scan"
    report = {
        "task": "evaluate_ct",
        "summary": means,
        "reference": what,
        "slices": part.shape[0],
        "warnings": _warnings(reference, factor, options),
    }
    middle = part.shape[0] // 2
    shown = _compared(part.array[middle], result.array[middle], None, factor, plain)
    plot, picture = _figures(shown, plain, means, what)
    progress(1.0, "done")
    return Result(tuple(rows), plot, picture, report)


def _warnings(reference: Volume, factor: int, options: Options) -> list[str]:
    said = [] if factor == 1 else ["the reference is the scan, not the truth: what was added to it cannot be judged by it"]
    if factor == 1 and reference.array.dtype.itemsize == 1 and options.data_range > BYTE_RANGE:
        said.append(f"values of 8 bits range over {BYTE_RANGE:g}, not {options.data_range:g}: PSNR and SSIM flatter (option: data range)")
    return said


def _fit(reference: Volume, result: Volume) -> tuple[int, Ranges]:
    """(1 for the truth or FACTOR for the scan, the voxels of the reference under the result). Raises InputError."""
    if any(n % FACTOR for n in result.shape[1:]):
        pixels = f"{result.shape[2]} × {result.shape[1]} pixels"
        raise InputError(f"{pixels} are no multiple of {FACTOR}", where=name_of(result), fix="give a whole result")
    factor = 1 if np.allclose(result.spacing_mm[:2], reference.spacing_mm[:2], rtol=0.05) else FACTOR
    return factor, place_of(result, reference, factor)


def _inside(mask: Volume | None, reference: Volume, ranges: Ranges, factor: int) -> np.ndarray | None:
    """(z, h, w) bool in pixels of the scan: those that lie in the mask wholly."""
    if mask is None:
        return None
    if not same_grid(mask, reference):
        raise InputError("the mask is not on the grid of the reference", where=str(mask.meta.get("name", "mask")))
    found = crop(mask, ranges).array != 0
    if factor == FACTOR:
        return found
    z, h, w = found.shape
    return found.reshape(z, h // FACTOR, FACTOR, w // FACTOR, FACTOR).all(axis=(2, 4))


def _compared(reference: np.ndarray, made: np.ndarray, inside: np.ndarray | None, factor: int, plain: Enlarger) -> Compared:
    """Padding is left out of what is measured, and filled, so that no figure sees its edge."""
    padding = padding_of(reference, HOUNSFIELD)
    clean = filled(reference, padding)
    truth = clean if factor == 1 else None
    scan = plain.average(clean) if factor == 1 else clean
    padded = np.zeros(scan.shape, bool) if padding is None else (plain.average(padding) > 0 if factor == 1 else padding)
    return Compared(truth, scan, filled(made, padding_of(made, HOUNSFIELD)), ~padded if inside is None else inside & ~padded)


def _images(one: Compared, plain: Enlarger) -> dict[str, np.ndarray]:
    return {"result": one.made, "bicubic": plain.bicubic(one.scan)}


def _row(one: Compared, image: np.ndarray, plain: Enlarger, data_range: float) -> dict[str, Any]:
    """The figures of one image of a slice."""
    fine = plain.nearest(one.inside)
    departure = (plain.average(image) - one.scan)[one.inside].astype(np.float64)
    against = plain.nearest(one.scan) if one.truth is None else one.truth
    ratios = band_powers(image) / band_powers(against)
    return {
        "psnr_db": None if one.truth is None else metrics.psnr(one.truth, image, data_range, fine),
        "ssim": None if one.truth is None else metrics.ssim(one.truth, image, data_range, fine),
        "departure_rms": float(np.sqrt(np.square(departure).mean())),
        "departure_mean": float(departure.mean()),
        "sharpness": None if one.truth is None else metrics.sharpness(image, one.truth),
        **{_band(k): _number(ratio) if one.truth is not None or BAND_EDGES[k + 1] <= 1 else None for k, ratio in enumerate(ratios)},
    }


def band_powers(image: np.ndarray) -> np.ndarray:
    """Power of a fine image (8h, 8w) in each of the bands between BAND_EDGES, squared units a pixel."""
    return metrics.band_powers(image.astype(np.float64), [edge * 0.5 / FACTOR for edge in BAND_EDGES])


def _band(k: int) -> str:
    return f"power_{BAND_EDGES[k]:g}_{BAND_EDGES[k + 1]:g}"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _means(rows: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """The mean of each figure over the slices; of None alone it is None."""
    chosen = [row for row in rows if row["method"] == method]
    means: dict[str, Any] = {"method": method}
    for name in (key for key in chosen[0] if key not in ("slice", "method")):
        values = [row[name] for row in chosen if row[name] is not None and np.isfinite(row[name])]
        means[name] = float(np.mean(values)) if values else None
    return means


def _figures(one: Compared, plain: Enlarger, means: list[dict[str, Any]], what: str) -> tuple[bytes | None, bytes | None]:
    from ..report import band_plot, picture_row

    reference = plain.nearest(one.scan) if one.truth is None else one.truth
    bands = [k for k in range(len(BAND_EDGES) - 1) if any(row[_band(k)] is not None for row in means)]
    lines = {row["method"]: [row[_band(k)] if row[_band(k)] is not None else np.nan for k in bands] for row in means}
    try:
        plot = band_plot([f"{BAND_EDGES[k]:g}–{BAND_EDGES[k + 1]:g}" for k in bands], lines, f"power relative to {what}")
        return plot, picture_row(reference, _images(one, plain), {}, title=what)
    except DependencyError:
        return None, None
