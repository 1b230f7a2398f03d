"""What a person reads of a result: pictures, plots and provenance. Matplotlib inside functions; figures are PNG bytes."""

from __future__ import annotations

import io
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .errors import DependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .volume import Volume

INK, PAPER, MUTED, ACCENT = "#1c2330", "#ffffff", "#6b7485", "#0f766e"
WINDOW_PERCENTILES = (1.0, 99.5)
PANEL_INCHES = 3.4
"""Width of one view in the picture before and after."""
ZOOM_PIXELS = 40
"""Side of the part of a scan that its super-resolution is shown in."""
LIBRARIES = ("numpy", "scipy", "SimpleITK", "torch", "opencv-python-headless", "pydicom")


def before_after(before: Volume, after: Volume, error: Volume, method: str) -> bytes:
    """The two views across the slices, before and after, and the expected error: through the centre of what is bright.

    All three have their slices along z. Raises DependencyError without matplotlib.
    """
    low, high = np.percentile(before.array, WINDOW_PERCENTILES)
    centre = _centre(before.array, low)
    top = float(np.percentile(error.array, 99.5)) or 1.0
    columns = {"Acquired slices": before, f"Interpolated ({method})": after, "Expected error": error}
    views = [[_View(volume, across, centre[across]) for volume in columns.values()] for across in (1, 2)]
    ratios = [row[0].height / row[0].width for row in views]
    figure = _figure(11, PANEL_INCHES * sum(ratios) + 1.0)
    axes = figure.subplots(2, 3, squeeze=False, height_ratios=ratios)
    for row, across in enumerate((1, 2)):
        for column, (title, volume) in enumerate(columns.items()):
            shown = {"cmap": "magma", "vmin": 0, "vmax": top} if volume is error else {"cmap": "gray", "vmin": low, "vmax": high}
            drawn = views[row][column].draw(axes[row][column], **shown)
            axes[row][column].set_ylim(*_ends(axes[row][column], views[row][0]))
            if row == 0:
                axes[row][column].set_title(title, color=INK, fontsize=11)
        axes[row][0].annotate(
            _plane(before, across), (0, 0.5), (-6, 0), "axes fraction", "offset points", rotation=90, ha="right", va="center", color=MUTED
        )
    bar = figure.colorbar(drawn, ax=list(axes[:, 2]), aspect=30, pad=0.02)
    bar.set_label(str(before.meta.get("units") or "image units"), fontsize=8, color=MUTED)
    bar.ax.tick_params(labelsize=7, colors=MUTED)
    step = f"{before.spacing_mm[2]:.3g} mm → {after.spacing_mm[2]:.3g} mm between slices"
    figure.suptitle(step, color=INK, fontsize=12)
    return _png(figure)


def _ends(axes: Axes, view: _View) -> tuple[float, float]:
    """The limits that show all of `view`, the way up that the axes already are."""
    low, high = float(view.edges[0]), float(view.edges[-1])
    return (high, low) if axes.yaxis_inverted() else (low, high)


def _plane(volume: Volume, across: int) -> str:
    """The name of the plane that is seen when array axis `across` (1 = y, 2 = x) is cut: that of the nearest anatomical one."""
    normal = np.abs(volume.direction[:, 1 if across == 1 else 0])
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


class _View:
    """One plane across the slices of a volume whose slices lie along z. across: the array axis that is cut, 1 or 2."""

    def __init__(self, volume: Volume, across: int, index: int) -> None:
        self.image = np.take(volume.array, min(index, volume.shape[across] - 1), axis=across)
        self.width = volume.spacing_mm[0 if across == 1 else 1] * self.image.shape[1]
        positions = volume.slice_positions_mm
        middles, half = (positions[1:] + positions[:-1]) / 2, float(np.median(np.diff(positions))) / 2
        self.edges = np.concatenate([[positions[0] - half], middles, [positions[-1] + half]])
        self.height = float(self.edges[-1] - self.edges[0])
        self.head_up = volume.direction[np.abs(volume.direction[:, 2]).argmax(), 2] > 0

    def draw(self, axes: Axes, **shown: Any) -> Any:
        """Each slice as thick as it is, without smoothing."""
        columns = np.linspace(0, self.width, self.image.shape[1] + 1)
        drawn = axes.pcolormesh(columns, self.edges, self.image, shading="flat", rasterized=True, **shown)
        axes.set_aspect("equal")
        axes.set_axis_off()
        if not self.head_up:
            axes.invert_yaxis()
        return drawn


def _centre(array: np.ndarray, floor: float) -> tuple[int, int, int]:
    weight = np.clip(array.astype(np.float64) - floor, 0, None)
    total = weight.sum() or 1.0
    sums = [weight.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    return tuple(int(np.round((s * np.arange(len(s))).sum() / total)) for s in sums)  # type: ignore[return-value]


def enlarged(
    scan: np.ndarray, plain: np.ndarray, made: np.ndarray, error: np.ndarray, name: str, unit: str, window: tuple[float, float] | None
) -> bytes:
    """One slice in a row: all of the scan, then where most was added to it: the scan's pixels, bicubic, the result, the expected error.

    scan: (h, w); plain, made, error: (f·h, f·w). window: values of black and white, by percentiles where None.
    """
    factor = made.shape[0] // scan.shape[0]
    y, x, size = _busiest(np.abs(made.astype(np.float32) - plain), factor, ZOOM_PIXELS)
    low, high = window or tuple(np.percentile(scan, WINDOW_PERCENTILES))
    fine = np.s_[factor * y : factor * (y + size), factor * x : factor * (x + size)]
    figure = _figure(15, 3.6)
    axes = figure.subplots(1, 5)
    shown = {"Scan": scan, "Scan, nearer": scan[y : y + size, x : x + size], "Bicubic": plain[fine], f"Result ({name})": made[fine]}
    for one, (title, image) in zip(axes, shown.items(), strict=False):
        one.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        one.set_title(title, color=INK, fontsize=10)
    axes[0].plot(*np.array([(x, y), (x + size, y), (x + size, y + size), (x, y + size), (x, y)]).T - 0.5, color=ACCENT)
    drawn = axes[4].imshow(error[fine], cmap="magma", vmin=0, vmax=float(np.percentile(error[fine], 99.5)) or 1.0)
    axes[4].set_title("Expected error", color=INK, fontsize=10)
    bar = figure.colorbar(drawn, ax=axes[4], fraction=0.046)
    bar.set_label(unit or "image units", fontsize=8, color=MUTED)
    bar.ax.tick_params(labelsize=7, colors=MUTED)
    for one in axes:
        one.set_axis_off()
    return _png(figure)


def _busiest(added: np.ndarray, factor: int, most: int) -> tuple[int, int, int]:
    """(y, x, size) in pixels of the scan of the square, at most `most` wide, with most added to it."""
    h, w = (n // factor for n in added.shape)
    size = min(h, w, most)
    sums = np.pad(added.reshape(h, factor, w, factor).sum(axis=(1, 3)), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    total = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    y, x = np.unravel_index(int(total.argmax()), total.shape)
    return int(y), int(x), size


def box_plot(scores: Mapping[str, Mapping[str, Sequence[float]]], highlight: str = "") -> bytes:
    """Box plots like Figure 3 of Sander et al. 2020: scores[metric][method] = values a slice, one panel a metric.

    highlight: the method drawn in colour. Raises DependencyError without matplotlib.
    """
    figure = _figure(3.1 * len(scores) + 0.6, 3.6)
    for axes, (metric, methods) in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores.items(), strict=True):
        values = [[v for v in column if np.isfinite(v)] for column in methods.values()]
        boxes = axes.boxplot(values, patch_artist=True, widths=0.6, medianprops={"color": INK}, flierprops={"markersize": 3})
        for name, box in zip(methods, boxes["boxes"], strict=True):
            box.set(facecolor=ACCENT if name == highlight else "#dbe2ea", edgecolor=INK, linewidth=0.8)
        axes.set_xticks(range(1, len(methods) + 1), list(methods), rotation=40, ha="right", fontsize=8)
        axes.set_title(metric, fontsize=11, color=INK)
        axes.tick_params(axis="y", labelsize=8)
        axes.grid(axis="y", color="#e5e9f0", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def band_plot(bands: Sequence[str], lines: Mapping[str, Sequence[float]], label: str) -> bytes:
    """Power in bands of spatial frequency, relative to a reference, one line a method: 1 is as much as there should be."""
    figure = _figure(6.0, 3.6)
    axes = figure.subplots()
    for number, (name, values) in enumerate(lines.items()):
        axes.plot(range(len(bands)), values, marker="o", label=name, color=ACCENT if number == 0 else MUTED)
    axes.axhline(1.0, color=INK, linewidth=0.7)
    axes.set_yscale("log")
    axes.set_xticks(range(len(bands)), list(bands), fontsize=8)
    axes.set_xlabel("spatial frequency, in Nyquist frequencies of the scan", fontsize=9, color=INK)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def picture_row(
    reference: np.ndarray, made: Mapping[str, np.ndarray], captions: Mapping[str, str], aspect: float = 1.0, title: str = "left-out slice"
) -> bytes:
    """A row like Figure 4 of Sander et al. 2020: the reference and each method, below them their differences from it.

    reference: (h, w); made[method]: (h, w) in the same units. Blue is too dark, red too bright. aspect: pixel height / width.
    """
    figure = _figure(2.1 * (len(made) + 1), 4.9)
    axes = figure.subplots(2, len(made) + 1, squeeze=False)
    low, high = np.percentile(reference, WINDOW_PERCENTILES)
    reach = 0.5 * float(high - low) or 1.0
    axes[0][0].imshow(reference, cmap="gray", vmin=low, vmax=high, aspect=aspect)
    axes[0][0].set_title(title, fontsize=9, color=INK)
    for column, (name, image) in enumerate(made.items(), 1):
        axes[0][column].imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect)
        axes[0][column].set_title(f"{name}\n{captions.get(name, '')}".strip(), fontsize=9, color=INK)
        drawn = axes[1][column].imshow(image - reference, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect=aspect)
    for one in axes.ravel():
        one.set_axis_off()
    if made:
        bar = figure.colorbar(drawn, ax=axes[1][0], location="left", fraction=0.3, shrink=0.8)
        bar.set_label("difference", fontsize=8, color=MUTED)
        bar.ax.tick_params(labelsize=7, colors=MUTED)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError("figures need matplotlib", fix="install matplotlib") from error
    figure = Figure(figsize=(width, height), dpi=110, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": f"MedSR {__version__}"})
    return buffer.getvalue()


def provenance(
    task: str,
    report: Mapping[str, Any],
    *,
    inputs: Mapping[str, Any],
    options: Mapping[str, Any],
    seconds: float,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """JSON-able record of how a result was made: versions, model, options, identity of each input, seconds, warnings."""
    return {
        "task": task,
        "software": {"medsr": __version__, "python": sys.version.split()[0], "platform": platform.platform(), **_versions()},
        "inputs": dict(inputs),
        "options": dict(options),
        "model": report.get("model"),
        "seconds": round(seconds, 3),
        "warnings": list(warnings),
        "report": dict(report),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
