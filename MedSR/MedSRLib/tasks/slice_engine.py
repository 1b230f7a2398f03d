"""How interpolate_slices does its work: the grid, the method for this volume, the slices in chunks, the report."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from ..errors import DependencyError, InputError, ModelError, OptionError
from ..geometry import (
    AXES,
    SAME_SPACING,
    SlicePlan,
    bracket,
    cast_like,
    default_spacing_mm,
    place_slices,
    plan_slices,
    same_grid,
    swap_axis,
)
from ..run import Progress, check_memory
from ..volume import Volume, frames_of
from .interpolate_slices import Options, Result
from .slice_candidates import Candidate, classical, learned
from .slice_choice import Calibration, Choice, Method, choose, tried, try_methods
from .slice_cost import LABELS, LOADING, cost, trial_cost
from .slice_input import Stack, check_frames, is_constant, prepare, to_working, varied_frames
from .slice_shapes import interpolate_labels

AUTOMATIC = ("model", "flow", "linear")
"""What auto chooses from, the preferred and costliest first."""
CHUNK_VOXELS = 2**24
"""Voxels made at once (64 MB as float32): bounds the memory that a method takes beside the result itself."""


@dataclass(frozen=True)
class Filled:
    """One frame on its new grid, its expected error, and how many voxels had to be limited to the scalar type's range."""

    volume: Volume
    fidelity: Volume
    limited: int


def run(frames: Sequence[Volume], options: Options, segmentation: Volume | Sequence[Volume] | None, progress: Progress) -> Result:
    """See interpolate_slices, which this is the inside of."""
    began = time.perf_counter()
    check_frames(frames)
    stack = prepare(frames[0], options.axis, options.allow_shear)
    varied, flat = varied_frames(frames)
    if varied[0] > 0:  # a constant frame tells methods nothing of each other
        stack = prepare(frames[varied[0]], options.axis, options.allow_shear)
    plan = plan_slices(stack.volume, _spacing(stack.volume, options))
    labels = None if segmentation is None else _labels(segmentation, frames[0], options)
    first = stack.volume.array
    check_memory(memory_bytes(first.shape, first.dtype.itemsize, len(plan.targets_mm), len(frames)), "the result")
    warnings = list(dict.fromkeys(stack.warnings + flat + _grid_warnings(plan, stack.volume.slice_positions_mm)))
    picking, *filling, carrying = progress.shares(_weights(stack.volume, plan, options.method, len(frames), labels is not None))
    candidate, choice = pick(stack.volume, to_working(stack.volume.array).slices, options, warnings, picking)
    made = []
    for number, (frame, part) in enumerate(zip(frames, filling, strict=True)):
        frame_stack = stack if number == varied[0] else prepare(frame, options.axis, options.allow_shear)
        made.append(fill(frame_stack, plan, candidate.run, choice.calibration(candidate.name), part))
    limited = sum(m.limited for m in made)
    if limited:
        warnings.append(f"{limited} voxels left the range of {frames[0].array.dtype} and were limited to it")
    carried = None if labels is None else _carry_labels(labels, plan, carrying)
    report = _report(stack, plan, candidate, choice, warnings, options, len(frames), time.perf_counter() - began)
    draw = partial(_draw, stack, made[varied[0]], candidate.name)
    progress(1.0, "done")
    return Result(tuple(m.volume for m in made), tuple(m.fidelity for m in made), carried, report, draw)


def _weights(volume: Volume, plan: SlicePlan, method: str, frames: int, labels: bool) -> list[float]:
    """Nominal seconds of choosing, of each frame, and of carrying labels along. `auto` counts as the costliest it may choose."""
    methods = AUTOMATIC if method == "auto" else (method,)
    missing = int(np.count_nonzero(plan.source < 0))
    fill = cost(methods[0], volume.shape[0] - 1, missing)
    trials = trial_cost(methods, len(tried(volume.array)))
    return [trials, *[fill] * frames, LABELS * missing * labels]


def pick(volume: Volume, slices: np.ndarray, options: Options, warnings: list[str], progress: Progress) -> tuple[Candidate, Choice]:
    """The method to use, and the trials on left-out slices of this volume that chose it (auto) or calibrate it (the others)."""
    settings: dict[str, Any] = {"device": options.device, "batch_size": options.batch_size, "self_ensemble": options.self_ensemble}
    settings["warn"] = warnings.append
    positions, why_not = volume.slice_positions_mm, ""
    loading, trying = progress.shares([LOADING, 1 - LOADING])
    loading(0.0, "loading the model" if options.method in ("auto", "model") else "")
    if options.method == "auto":
        candidates, why_not = _automatic(options.model, settings)
    elif options.method == "model":
        candidates = {"model": learned(options.model, **settings)}
    else:
        candidates = {options.method: classical(options.method)}
    trials = try_methods(slices, positions, {name: c.run for name, c in candidates.items()}, trying)
    asked = Choice(options.method, f"{options.method} was asked for", trials)
    choice = asked if options.method != "auto" else choose(trials, tuple(candidates), why_not)
    warnings.extend(candidates[choice.method].outside(volume))
    return candidates[choice.method], choice


def _automatic(model: str, settings: dict[str, Any]) -> tuple[dict[str, Candidate], str]:
    """What auto chooses from, the preferred first, and why something is missing from it."""
    candidates, why_not = {}, []
    try:
        candidates["model"] = learned(model, **settings)
    except (ModelError, DependencyError) as error:
        if model:
            raise
        why_not.append(error.sentence().rstrip("."))
    if importlib.util.find_spec("cv2") is not None:
        candidates["flow"] = classical("flow")
    else:
        why_not.append("flow needs OpenCV, which is not installed")
    candidates["linear"] = classical("linear")
    return candidates, "; ".join(why_not)


def fill(stack: Stack, plan: SlicePlan, method: Method, calibration: Calibration, progress: Progress) -> Filled:
    """One frame on the output grid: acquired slices copied, the others made in chunks of whole memory-bounded calls.

    A frame of one value stays of that value, whatever the method: some would change it by rounding, Lanczos by its weights.
    """
    volume, array = stack.volume, stack.volume.array
    shape = (len(plan.targets_mm), *array.shape[1:])
    out, error = np.empty(shape, array.dtype), np.zeros(shape, np.float32)
    held = plan.source >= 0
    out[held] = array[plan.source[held]]
    work, missing, limited = to_working(array), np.flatnonzero(~held), 0
    if is_constant(array):
        out[missing], missing = array.flat[0], missing[:0]
    positions = volume.slice_positions_mm
    per_chunk = max(1, CHUNK_VOXELS // (shape[1] * shape[2]))
    chunks = [missing[i : i + per_chunk] for i in range(0, len(missing), per_chunk)]
    for done, rows in enumerate(chunks):
        targets = plan.targets_mm[rows]
        made = method(work.slices, positions, targets, progress.part(done / len(chunks), (done + 1) / len(chunks)))
        out[rows], outside = cast_like(work.restored(made), array.dtype)
        limited += outside
        error[rows] = calibrated(made.expected_error, positions, targets, calibration) * np.float32(work.scale)
    result = place_slices(volume, out, plan)
    return Filled(swap_axis(result, stack.axis), swap_axis(result.with_(array=error), stack.axis), limited)


def calibrated(raw: np.ndarray, positions_mm: np.ndarray, targets_mm: np.ndarray, calibration: Calibration) -> np.ndarray:
    """A method's expected error (m, h, w), scaled as the left-out slices of this volume say."""
    _, alpha = bracket(np.asarray(positions_mm, float), np.asarray(targets_mm, float))
    shape = (4 * alpha * (1 - alpha) * calibration.floor).astype(np.float32)
    return raw * np.float32(calibration.slope) + shape[:, None, None]


def _spacing(volume: Volume, options: Options) -> float:
    if options.spacing_mm > 0 and options.factor > 0:
        raise OptionError("a spacing and a factor were both given", where="{factor}", fix="give one of them")
    if options.factor > 0:
        if options.factor < 1:
            raise OptionError(f"a factor of {options.factor:g} makes the slices coarser", where="{factor}", fix="give a factor above 1")
        return volume.spacing_mm[2] / options.factor
    return options.spacing_mm or default_spacing_mm(volume)


def _grid_warnings(plan: SlicePlan, positions_mm: np.ndarray) -> tuple[str, ...]:
    """Sentences where the spacing is not the one asked for, and where acquired slices fall between the new ones."""
    said = []
    if abs(plan.spacing_mm - plan.asked_mm) > 1e-3 * plan.asked_mm:
        exact = f"{plan.spacing_mm:.4g} mm instead of {plan.asked_mm:.4g} mm"
        said.append(f"the slices are {exact} apart, so that the first and the last acquired slice stay where they are")
    kept, acquired = int((plan.source >= 0).sum()), len(positions_mm)
    if kept < acquired:
        step = float(np.median(np.diff(positions_mm)))
        whole = step / max(1, round(step / plan.asked_mm))
        even = np.ptp(np.diff(positions_mm)) <= SAME_SPACING * step
        hint = f": a spacing of {whole:.4g} mm keeps them all" if even else ""
        said.append(f"{kept} of {acquired} acquired slices lie on the new grid, the others are interpolated too{hint}")
    return tuple(said)


def memory_bytes(shape: tuple[int, ...], itemsize: int, targets: int, frames: int) -> int:
    """Peak memory of the job: results and fidelity of all frames, the working copy, and one chunk being made. shape: (z, y, x)."""
    pixels = shape[1] * shape[2]
    return targets * pixels * (itemsize + 4) * frames + 3 * 4 * shape[0] * pixels + 5 * 4 * min(CHUNK_VOXELS, targets * pixels)


def _labels(segmentation: Volume | Sequence[Volume], reference: Volume, options: Options) -> Stack:
    labels = frames_of(segmentation)[0]
    if labels.array.dtype.kind not in "bui":
        raise InputError("a segmentation holds whole numbers", where=str(labels.meta.get("name", "segmentation")))
    if not same_grid(labels, reference):
        raise InputError("the segmentation is not on the volume's grid", where=str(labels.meta.get("name", "segmentation")))
    return prepare(labels.with_(positions_mm=reference.positions_mm), options.axis, options.allow_shear, labels=True)


def _carry_labels(stack: Stack, plan: SlicePlan, progress: Progress) -> Volume:
    volume = stack.volume
    pixel_mm = (volume.spacing_mm[1], volume.spacing_mm[0])
    array = interpolate_labels(volume.array, volume.slice_positions_mm, plan.targets_mm, pixel_mm, progress)
    held = plan.source >= 0
    array[held] = volume.array[plan.source[held]]
    return swap_axis(place_slices(volume, array, plan), stack.axis)


def _report(
    stack: Stack, plan: SlicePlan, candidate: Candidate, choice: Choice, warnings: list[str], options: Options, frames: int, seconds: float
) -> dict[str, Any]:
    volume, held = stack.volume, int(np.count_nonzero(plan.source >= 0))
    return {
        "task": "interpolate_slices",
        "method": candidate.name,
        "model": candidate.model or None,
        "why": choice.why,
        "trials": [trial.row() for trial in choice.trials],
        "grid": {
            "axis": AXES[stack.axis],
            "spacing_mm": round(plan.spacing_mm, 6),
            "asked_mm": round(plan.asked_mm, 6),
            "input_spacing_mm": round(volume.spacing_mm[2], 6),
            "input_slices": volume.shape[0],
            "slices": len(plan.targets_mm),
            "acquired_slices_kept": 0 if stack.resampled else held,
        },
        "fidelity_calibration": asdict(choice.calibration(candidate.name)),
        "frames": frames,
        "options": asdict(options),
        "warnings": warnings,
        "seconds": round(seconds, 3),
    }


def _draw(stack: Stack, made: Filled, method: str) -> bytes | None:
    from ..report import before_after

    try:
        return before_after(stack.volume, swap_axis(made.volume, stack.axis), swap_axis(made.fidelity, stack.axis), method)
    except DependencyError:
        return None
