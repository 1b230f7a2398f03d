"""How super_resolve_ct does its work: check, plan, then slice by slice: tiles through the network, put together, written away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .. import tiles
from ..errors import DependencyError
from ..geometry_region import finer_in_plane
from ..intensity import HOUNSFIELD, Intensity
from ..io.slabs import new_array, release
from ..run import Progress
from ..volume import Volume
from .card_range import outside
from .ct_compose import Composer
from .ct_input import check_finite, grid_warnings, intensity_for, why_not_hu
from .ct_lungs import Where, where
from .ct_network import MOST_CONTEXT, Network
from .ct_plan import JobPlan, plan_job
from .ct_planes import Planes
from .ct_region import Region, cut
from .slice_input import check_frames
from .super_resolve_ct import FACTOR, Options, Result

AGREEMENT_HU = 2.0
"""Tiles cut differently agree to within this (RMS), or it is said that they do not: a fraction of the noise of any chest CT."""
DERIVATION = "Super-resolved by MedSR: detail is computed, not acquired. Research software."
LUNG_WINDOW = (-1350.0, 150.0)
"""HU from black to white in the picture."""
LIMITED_TO = {"mask": ", in the mask", "lungs": ", in the lungs", "all": ""}
SLICES_SHARE = 0.3
"""Part of the progress that interpolating the slices afterwards gets."""


@dataclass
class Job:
    """What all slices have in common. network: None for bicubic.

    trial: what Planes.try_a_tile found.
    """

    options: Options
    network: Network | None
    intensity: Intensity
    plan: JobPlan
    grid: tiles.Plan
    where: Where
    warnings: list[str]
    trial: dict[str, Any] = field(default_factory=dict)


def run(frames: Sequence[Volume], options: Options, mask: Volume | None, progress: Progress) -> Result:
    """See super_resolve_ct, which this is the inside of."""
    began = time.perf_counter()
    progress(0.0, "Checking")
    check_frames(frames)
    check_finite(frames)
    job, regions = _prepare(frames, options, mask)
    between = SLICES_SHARE / (1 - SLICES_SHARE) * len(regions) if options.slice_spacing_mm > 0 else 0.0
    *filling, last = progress.shares([1.0] * len(regions) + [between])
    made: list[tuple[Volume, Volume]] = []
    facts: dict[str, Any] = {}
    for region, part in zip(regions, filling, strict=True):
        one, facts = fill(region, job, part)
        made.append(one)
    draw = partial(_draw, regions[0], job, *made[0])
    report = _report(job, regions[0], facts, len(frames))
    if options.slice_spacing_mm > 0:
        made, report["slices"] = _slices_between(made, job, last)
        volume = made[0][0]
        report["grid"] |= {"shape": list(volume.shape), "spacing_mm": [round(s, 6) for s in volume.spacing_mm]}
    report["seconds"] = round(time.perf_counter() - began, 3)
    progress(1.0, "done")
    return Result(tuple(volume for volume, _ in made), tuple(fidelity for _, fidelity in made), report, draw)


def _prepare(frames: Sequence[Volume], options: Options, mask: Volume | None) -> tuple[Job, list[Region]]:
    """Everything that can be refused is refused here."""
    warnings = [str(w) for w in frames[0].meta.get("warnings", ())]
    network = _network(options, warnings) if options.method == "model" else None
    if network is None:
        intensity = Intensity(in_hu=not why_not_hu(frames[0]))
    else:
        intensity = intensity_for(frames[0], network.intensity, options.any_modality, warnings)
        warnings += outside(network.card, frames[0])
    margin = (network.slices // 2, MOST_CONTEXT) if network else (0, MOST_CONTEXT)
    regions = [cut(frame, options.roi, margin, intensity.in_hu) for frame in frames]
    warnings += [*regions[0].warnings, *grid_warnings(regions[0].volume)]
    plan = plan_job(regions[0].volume, len(frames), options)
    plan.check()
    context = network.context if network else 0
    grid = tiles.plan(regions[0].volume.shape[1:], size=options.tile, context=context, overlap=options.overlap)  # type: ignore[arg-type]
    asked = "none" if network is None and options.region == "auto" else options.region
    return Job(options, network, intensity, plan, grid, where(frames, mask, regions[0], asked, intensity.in_hu), warnings), regions


def _network(options: Options, warnings: list[str]) -> Network:
    how: dict[str, Any] = {"device": options.device, "self_ensemble": options.self_ensemble, "batch_size": options.batch_size}
    return Network(options.model, **how, warn=warnings.append)


def fill(region: Region, job: Job, progress: Progress) -> tuple[tuple[Volume, Volume], dict[str, Any]]:
    """One frame on its finer grid, its expected error, and the facts that were counted."""
    shape = (region.volume.shape[0], *(FACTOR * n for n in region.volume.shape[1:]))
    out, expected = new_array(shape, region.volume.array.dtype), new_array(shape, np.float32)
    has_error = job.network is not None and job.network.gives_error
    how: dict[str, Any] = {"intensity": job.intensity, "has_error": has_error, "consistent": job.options.consistent}
    composer = Composer(region, FACTOR, inside=job.where.inside, **how)
    planes = Planes(region, job.network, job.intensity, job.grid, job.where.inside, job.options.batch_size)
    if not job.trial:
        job.trial.update(planes.try_a_tile(progress))
    seconds = job.trial.get("seconds_a_tile", 0.0) * job.grid.count * shape[0] * job.plan.frames
    text = job.plan.sentence(seconds) if job.trial else job.plan.size_text
    for z in range(shape[0]):
        part = progress.part(z / shape[0], (z + 1) / shape[0])
        part(0.0, text)
        composer.put(z, planes.made(z, part), out, expected)
        for array in (out, expected):
            release(array)
    if composer.tally.limited:
        job.warnings.append(f"{composer.tally.limited} voxels left the range of {out.dtype} and were limited to it")
    volume = finer_in_plane(region.volume, out, FACTOR).with_(meta={"derivation": DERIVATION})
    return (volume, volume.with_(array=expected)), composer.tally.facts()


def _slices_between(made: list[tuple[Volume, Volume]], job: Job, progress: Progress) -> tuple[list[tuple[Volume, Volume]], dict[str, Any]]:
    """Slices interpolated between the finer ones. What is expected of them adds up: of the interpolation, and of what it starts from."""
    from .interpolate_slices import Options as SliceOptions
    from .interpolate_slices import interpolate_slices

    how: dict[str, Any] = {"spacing_mm": job.options.slice_spacing_mm, "axis": "k", "device": job.options.device, "allow_shear": True}
    result = interpolate_slices(tuple(volume for volume, _ in made), SliceOptions(**how), progress=progress.part(0.0, 0.7))
    errors = tuple(fidelity for _, fidelity in made)
    before = interpolate_slices(errors, SliceOptions(**how | {"method": "linear"}), progress=progress.part(0.7, 1.0)).volume
    job.warnings += [w for w in result.report["warnings"] if w not in job.warnings]
    total = [a.with_(array=a.array + b.array) for a, b in zip(result.fidelity, before, strict=True)]
    return list(zip(result.volume, total, strict=True)), {name: result.report[name] for name in ("method", "model", "why", "grid")}


def _report(job: Job, region: Region, facts: dict[str, Any], frames: int) -> dict[str, Any]:
    scan, network, grid = region.volume, job.network, job.grid
    agreement = job.trial.get("disagreement_rms", 0.0)
    if agreement > AGREEMENT_HU * job.intensity.scale / HOUNSFIELD.scale:
        job.warnings.append(
            f"tiles cut differently differ by {agreement:.1f} (RMS): this model looks at whole tiles, so leave their size as it is"
        )
    return {
        "task": "super_resolve_ct",
        "method": job.options.method,
        "model": network.facts() if network else None,
        "why": f"{network.card.id} on {network.device}{LIMITED_TO[job.where.part]}" if network else "bicubic was asked for",
        "grid": {
            "factor": FACTOR,
            "shape": list(job.plan.shape),
            "spacing_mm": [round(s / f, 6) for s, f in zip(scan.spacing_mm, (FACTOR, FACTOR, 1), strict=True)],
            "input_spacing_mm": [round(s, 6) for s in scan.spacing_mm],
            "region_shape": list(scan.shape),
            "rotated": region.box is not None,
        },
        "plan": asdict(job.plan) | {"seconds": round(job.trial.get("seconds_a_tile", 0.0) * grid.count * job.plan.slices * frames, 1)},
        "tiles": {"a_slice": grid.count, "kept": grid.rows.kept, "context": grid.context, "overlap": grid.rows.overlap, **job.trial},
        "detail": job.where.facts(),
        "scan": facts,
        "units": job.intensity.unit,
        "frames": frames,
        "options": asdict(job.options),
        "warnings": list(dict.fromkeys(job.warnings)),
    }


def _draw(region: Region, job: Job, volume: Volume, fidelity: Volume) -> bytes | None:
    from ..report import enlarged

    z = region.volume.shape[0] // 2
    plain = Composer(region, FACTOR, inside=None, intensity=job.intensity, has_error=False, consistent=False).bicubic(z)
    window = LUNG_WINDOW if job.intensity.in_hu else None
    name = job.network.card.id if job.network else "bicubic"
    try:
        return enlarged(region.volume.array[z], plain, volume.array[z], fidelity.array[z], name, job.intensity.unit, window)
    except DependencyError:
        return None
