"""How evaluate_slices does its work: keep every other slice, rebuild the rest by each method, score, test, draw."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DependencyError, InputError, MedSRError, ModelError, OptionError
from ..geometry import crop_centre, resample_in_plane
from ..metrics import psnr, sharpness, snli, ssim, vif, wilcoxon_greater
from ..run import Progress
from ..volume import Volume
from . import interpolate_slices
from .evaluate_slices import Options, Result
from .slice_candidates import Candidate, classical, installed, learned
from .slice_choice import PSNR_CEILING, Choice, tried
from .slice_cost import cost, trial_cost
from .slice_engine import AUTOMATIC, calibrated, pick
from .slice_input import check_frames, prepare, to_working, varied_frames
from .slice_methods import CLASSICAL
from .slice_references import REFERENCES
from .synthesis import Synthesis

PUBLISHED_MM, PUBLISHED_PIXELS = 1.4, 128
"""Pixel size and central crop of Sander et al. 2020."""
SCALE_PERCENTILES = (1, 99)
METRICS = {"ssim": "SSIM", "psnr_db": "PSNR [dB]", "vif": "VIF", "snli": "SNLI", "sharpness": "sharpness"}
PLOTTED = ("ssim", "psnr_db", "vif")
DEFAULT = "default"
REBUILT = 0.85
"""Share of a frame's evaluation after which all methods have rebuilt its left-out slices; scoring is the rest."""
BY_NAME_ONLY = ("tvl1", "tvl1-smoothed")


@dataclass(frozen=True)
class Split:
    """A stack with every other slice left out.

    kept: (n, h, w) float32 and kept_mm: (n,); truth: (m, h, w) and truth_mm: (m,); index: (m,) of the left-out slices.
    data_range: what PSNR and SSIM take as the grey range, from the kept slices only. level, unit: input value = unit · (level + value)
    where values were centred (see slice_input.Working), 0 and 1 where they were not.
    """

    volume: Volume
    kept: np.ndarray
    kept_mm: np.ndarray
    truth: np.ndarray
    truth_mm: np.ndarray
    index: np.ndarray
    data_range: float
    pixel_mm: tuple[float, float]
    level: float = 0.0
    unit: float = 1.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contest:
    """The methods that are compared, which one the default is on this volume, why, and warnings."""

    candidates: dict[str, Candidate]
    best: Candidate
    choice: Choice
    warnings: list[str]

    @property
    def row(self) -> str:
        """The name that the default's choice has in the table."""
        return str(self.best.model.get("id", self.best.name))


@dataclass(frozen=True)
class Score:
    """One volume: rows of the table, what the default chose (and the row of it), and an example.

    That is the most typical left-out slice of its first frame, by each method.
    """

    rows: list[dict[str, Any]]
    choice: Choice
    row: str
    example: dict[str, np.ndarray]
    split: Split
    left_out: int
    warnings: tuple[str, ...]


def split(volume: Volume, options: Options) -> Split:
    """Leave out every other slice. What the kept slices become depends on the kept slices only."""
    stack = prepare(volume, options.axis)
    name = str(volume.meta.get("name", "volume"))
    if stack.volume.shape[0] < 3:
        raise InputError("two slices are too few to leave one out", where=name, fix="give a volume of 3 slices or more")
    kept = np.arange(0, stack.volume.shape[0], 2)
    left = np.arange(1, kept[-1], 2)
    work = to_working(stack.volume.array)
    plain, level, unit = stack.volume.with_(array=work.slices), work.offset / work.scale, work.scale
    low, high = (float(p) for p in np.percentile(plain.array[kept], SCALE_PERCENTILES))
    data_range = high - low or 1.0
    if options.protocol == "published":
        scaled = plain.with_(array=((plain.array - low) / data_range).clip(0, 1))
        finer = resample_in_plane(scaled, PUBLISHED_MM)
        plain = crop_centre(finer.with_(array=finer.array.clip(0, 1)), PUBLISHED_PIXELS, PUBLISHED_PIXELS)
        data_range, level, unit = 1.0, 0.0, 1.0
    at, array, pixel_mm = plain.slice_positions_mm, np.ascontiguousarray(plain.array, np.float32), plain.spacing_mm[1::-1]
    return Split(plain, array[kept], at[kept], array[left], at[left], left, data_range, pixel_mm, level, unit, stack.warnings)


def enter(parts: Split, options: Options, progress: Progress = Progress()) -> Contest:
    """Load the methods, and let the default choose, on kept slices alone, as interpolate_slices does."""
    warnings: list[str] = []
    settings: dict[str, Any] = {"device": options.device, "batch_size": options.batch_size, "self_ensemble": options.self_ensemble}
    candidates = _candidates(options.methods, settings, warnings)
    kept = parts.volume.with_(
        array=parts.kept,
        positions_mm=tuple(parts.kept_mm),
        spacing_mm=(*parts.volume.spacing_mm[:2], float(np.median(np.diff(parts.kept_mm)))),
    )
    best, choice = pick(kept, parts.kept, interpolate_slices.Options(method="auto", **settings), warnings, progress)
    return Contest(candidates, best, choice, warnings)


def rebuild(parts: Split, contest: Contest, options: Options, progress: Progress = Progress()) -> dict[str, Synthesis]:
    """The left-out slices by each method, `default` among them. Sees kept slices only."""
    made: dict[str, Synthesis] = {}
    # the last part counts nothing: the method chosen usually is one of those that ran
    *making, last = progress.shares([*_costs(parts, contest.candidates), 0.0])
    for (name, candidate), part in zip(contest.candidates.items(), making, strict=True):
        try:
            made[name] = _run(candidate, parts, part)
        except MedSRError as error:
            if options.methods:
                raise
            contest.warnings.append(f"{name} is left out: {error.sentence()}")
    best = contest.best
    chosen = made.get(contest.row) or _run(best, parts, last)
    expected = calibrated(chosen.expected_error, parts.kept_mm, parts.truth_mm, contest.choice.calibration(best.name))
    made[DEFAULT] = Synthesis(chosen.values, expected)
    return made


def _run(candidate: Candidate, parts: Split, progress: Progress) -> Synthesis:
    """A method on the kept slices; one whose weights do not sum to 1 gets the level back that was taken off the values."""
    made = candidate.run(parts.kept, parts.kept_mm, parts.truth_mm, progress)
    off = (np.broadcast_to(made.gain, len(parts.truth_mm)) - 1) * parts.level
    return Synthesis(made.values + off.astype(np.float32)[:, None, None], made.expected_error) if off.any() else made


def _costs(parts: Split, candidates: Iterable[str]) -> list[float]:
    """Nominal seconds of each method."""
    pairs = len(parts.kept) - 1
    return [cost(name, pairs, pairs) for name in candidates]


def _candidates(names: Sequence[str], settings: Mapping[str, Any], warnings: list[str]) -> dict[str, Candidate]:
    """What to compare: everything that can run, or what is named. Raises OptionError for a name that is nothing."""
    models = installed()
    known = (*CLASSICAL, *REFERENCES, *models)
    unknown = [n for n in names if n not in (*known, DEFAULT)]
    if unknown:
        raise OptionError(f"there is no method or model {unknown[0]!r}", where="{methods}", fix="use some of " + ", ".join(known))
    wanted = [n for n in known if (n in names if names else n not in BY_NAME_ONLY)]
    found: dict[str, Candidate] = {}
    for name in wanted:
        try:
            found[name] = _candidate(name, models, settings)
        except (ModelError, DependencyError) as error:
            if names:
                raise
            warnings.append(f"{name} is left out: {error.sentence()}")
    return found


def _candidate(name: str, models: Sequence[str], settings: Mapping[str, Any]) -> Candidate:
    if name in models:
        return learned(name, name=name, **settings)
    if name.startswith("flow") and importlib.util.find_spec("cv2") is None:
        raise DependencyError("optical flow needs OpenCV", fix="install opencv-python-headless")
    return Candidate(name, REFERENCES[name]) if name in REFERENCES else classical(name)


def score(frames: Sequence[Volume], name: str, options: Options, progress: Progress = Progress()) -> Score:
    """Leave out, rebuild and score every frame of one volume that is not constant; the first of them chooses for all."""
    check_frames(frames)
    varied, flat = varied_frames(frames)
    first = split(frames[varied[0]], options)
    choosing, *scoring = progress.shares(_weights(first, options, len(varied)))
    contest = enter(first, options, choosing)
    rows: list[dict[str, Any]] = []
    example: dict[str, np.ndarray] = {}
    for done, (frame, part) in enumerate(zip(varied, scoring, strict=True)):
        part(0.0, f"frame {frame + 1} of {len(frames)}" if len(frames) > 1 else "")
        parts = split(frames[frame], options) if done else first
        made = rebuild(parts, contest, options, part.part(0.0, REBUILT))
        rows += _rows(parts, name, frame, made, part.part(REBUILT, 1.0))
        example = example or _example(parts, made, rows)
    warnings = list(dict.fromkeys((*first.warnings, *flat, *contest.warnings)))
    return Score(rows, contest.choice, contest.row, example, first, len(varied) * len(first.index), tuple(warnings))


def _weights(parts: Split, options: Options, frames: int) -> list[float]:
    """Nominal seconds of choosing, and of each frame."""
    names = options.methods or (*CLASSICAL, *REFERENCES, *installed())
    a_frame = sum(_costs(parts, (name for name in names if options.methods or name not in BY_NAME_ONLY))) / REBUILT
    return [trial_cost(AUTOMATIC, len(tried(parts.kept))), *[a_frame] * frames]


def _rows(parts: Split, name: str, frame: int, made: Mapping[str, Synthesis], progress: Progress) -> list[dict[str, Any]]:
    """One frame: a row for each method and left-out slice."""
    rows = []
    for done, (method, synthesis) in enumerate(made.items()):
        progress(done / len(made), f"scoring {method}")
        rows += [_row(parts, name, frame, method, synthesis, i) for i in range(len(parts.index))]
    return rows


def _example(parts: Split, made: Mapping[str, Synthesis], rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The most typical left-out slice by each method, and as it was acquired under the name ""."""
    typical = _typical([row for row in rows if row["method"] == DEFAULT])
    return {method: s.values[typical] for method, s in made.items()} | {"": parts.truth[typical]}


def _row(parts: Split, name: str, frame: int, method: str, made: Synthesis, i: int) -> dict[str, Any]:
    truth, value, at = parts.truth[i], made.values[i], int(parts.index[i])
    return {
        "volume": name,
        "frame": frame,
        "slice": at,
        "position_mm": round(float(parts.truth_mm[i]), 4),
        "method": method,
        "ssim": round(ssim(truth, value, parts.data_range), 5),
        "psnr_db": round(min(PSNR_CEILING, psnr(truth, value, parts.data_range)), 4),
        "vif": round(vif(truth, value, parts.data_range), 5),
        "snli": round(snli(value, parts.kept[at // 2], parts.kept[at // 2 + 1]), 5),
        "sharpness": round(sharpness(value, truth), 5),
        "mean_error": float(f"{np.abs(value - truth).mean() * parts.unit:.5g}"),
        "expected_error": float(f"{made.expected_error[i].mean() * parts.unit:.5g}"),
    }


def _typical(rows: list[dict[str, Any]]) -> int:
    """The left-out slice whose SSIM is the median: neither the best nor the worst is shown."""
    order = np.argsort([row["ssim"] for row in rows])
    return int(order[len(order) // 2])


def summarise(scores: Sequence[Score], options: Options) -> Result:
    """One result of all volumes: means over volumes of their slices' means (of all frames), Wilcoxon over all slices, figures."""
    rows = [row for one in scores for row in one.rows]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    warnings = list(dict.fromkeys(w for one in scores for w in one.warnings))
    report = {
        "task": "evaluate_slices",
        "protocol": options.protocol,
        "volumes": len(scores),
        "left_out_slices": sum(one.left_out for one in scores),
        "summary": [_summary(rows, method) for method in methods],
        "chosen": {one.rows[0]["volume"]: {"method": one.choice.method, "row": one.row, "why": one.choice.why} for one in scores},
        "trials": {one.rows[0]["volume"]: [t.row() for t in one.choice.trials] for one in scores},
        "warnings": warnings,
    }
    plot, picture = _figures(scores, rows, methods, warnings)
    return Result(tuple(rows), plot, picture, report)


def _column(rows: Sequence[Mapping[str, Any]], method: str, metric: str) -> np.ndarray:
    return np.array([row[metric] for row in rows if row["method"] == method], float)


def _summary(rows: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    """One method: the mean of each figure, how far the default is above it, and p that this is chance."""
    volumes = list(dict.fromkeys(row["volume"] for row in rows))
    out: dict[str, Any] = {"method": method}
    for metric in METRICS:
        means = [_column([r for r in rows if r["volume"] == v], method, metric) for v in volumes]
        out[metric] = _rounded(np.mean([m[np.isfinite(m)].mean() for m in means if np.isfinite(m).any()] or [np.nan]))
    for metric in ("ssim", "psnr_db"):
        p = wilcoxon_greater(_column(rows, DEFAULT, metric), _column(rows, method, metric)) if method != DEFAULT else float("nan")
        out[f"p_{metric}"] = float(f"{p:.3g}") if np.isfinite(p) else None
    error, expected = _column(rows, method, "mean_error"), _column(rows, method, "expected_error")
    out["expected_over_actual_error"] = _rounded(expected.mean() / error.mean()) if error.mean() > 0 else None
    return out


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _figures(
    scores: Sequence[Score], rows: list[dict[str, Any]], methods: list[str], warnings: list[str]
) -> tuple[bytes | None, bytes | None]:
    from ..report import box_plot, picture_row

    panels = {METRICS[m]: {name: _column(rows, name, m).tolist() for name in methods} for m in PLOTTED}
    shown = dict(scores[0].example)
    reference, parts = shown.pop(""), scores[0].split
    grey = parts.data_range
    captions = {n: f"{ssim(reference, image, grey):.3f} · {psnr(reference, image, grey):.1f} dB" for n, image in shown.items()}
    try:
        return box_plot(panels, DEFAULT), picture_row(reference, shown, captions, parts.pixel_mm[0] / parts.pixel_mm[1])
    except DependencyError as error:
        warnings.append("no figure was drawn: " + error.sentence())
        return None, None
