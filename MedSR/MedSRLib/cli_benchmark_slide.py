"""What `medsr benchmark register-slide` measures: from slide to transform, features and the rest apart, SimpleITK beside it; fusing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import cli_benchmark_pair as pair
from .cli_benchmark_child import peak_mb

if TYPE_CHECKING:
    import numpy as np

    from .tasks.register_slide import Result
    from .tasks.slide_pictures import Picture

REFERENCE = "SimpleITK mutual information, affine, from a start"
PREPARE = "the slide"
FROM_START, SEARCHED, FUSED = "pictures, from the same start", "pictures, all orientations", "fused OME-TIFF at the slide's pixels"
SIDE, QUICK_SIDE = 20000, 2500
MATTES_BINS, MATTES_STEPS = 32, 200
MATTES_LEVELS = ((4, 1.5), (2, 0.8), (1, 0.0))
"""(shrink factor, Gaussian in mm) from coarse to fine."""


def plan(quick: bool) -> dict[str, Any]:
    """How large, how often."""
    return {"side": QUICK_SIDE if quick else SIDE, "repeats": 1 if quick else 3}


def methods() -> list[str]:
    """What is measured beside the reference."""
    return [FROM_START, SEARCHED, FUSED]


def described(values: dict[str, Any]) -> str:
    """The pair in words."""
    side = values["side"]
    return f"slide of {side}×{side} pixels of {_mpp(values):g} µm, MRI slice of {pair.MRI_PIXELS}×{pair.MRI_PIXELS} of {pair.MRI_MM} mm"


def measure(values: dict[str, Any]) -> dict[str, Any]:
    """features_seconds: reading the slide, its tissue, its maps (the reference: its picture). seconds: the rest, search and fit.
    task_seconds: both. error_mm: over the tissue, against the truth. fuse_seconds: writing the pyramid. All the fastest run."""
    if values["method"] == PREPARE:
        pair.write_slide(_slide(values), values["side"])
        return {}
    run = {REFERENCE: _reference, FUSED: _fused}.get(values["method"], _registered)
    return {**run(values), "peak_mb": peak_mb()}


def _slide(values: dict[str, Any]) -> Path:
    return Path(values["folder"]) / "slide.ome.tif"


def _mpp(values: dict[str, Any]) -> float:
    return pair.SIDE_MM * 1000 / values["side"]


def _fastest(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run that took least; start_seconds: what the first took beyond it."""
    best = min(runs[1:], key=lambda run: run["task_seconds"])
    return {**best, "start_seconds": runs[0]["task_seconds"] - best["task_seconds"]}


def _registered(values: dict[str, Any]) -> dict[str, Any]:
    return _fastest([_register_once(values) for _ in range(values["repeats"] + 1)])


def _register_once(values: dict[str, Any]) -> dict[str, Any]:
    """The whole task, with its own calls for features timed where they are made."""
    from . import registration
    from .tasks import slide_engine, slide_pictures

    volume, watch = pair.mri(), Stopwatch()
    transform_as = "start" if values["method"] == FROM_START else ""
    with watch.around(slide_engine, "slide_side"), watch.around(slide_pictures, "picture"), watch.around(registration, "maps"):
        began = time.perf_counter()
        made = _task(values, volume, transform_as)
        seconds = time.perf_counter() - began
    return _timed(seconds, watch.seconds, made.placement.in_plane)


def _timed(task: float, features: float, in_plane: np.ndarray) -> dict[str, Any]:
    return {"task_seconds": task, "features_seconds": features, "seconds": task - features, "error_mm": pair.error_mm(in_plane)}


class Stopwatch:
    """seconds: spent in the functions that it is put around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def around(self, module: ModuleType, name: str) -> Iterator[None]:
        """Until the end of the `with`, each call of module.name counts."""
        function = getattr(module, name)

        def counted(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(module, name, counted)
        try:
            yield
        finally:
            setattr(module, name, function)


def _task(values: dict[str, Any], volume: Any, transform_as: str = "", in_plane: np.ndarray | None = None) -> Result:
    """transform_as: of Options; empty searches without a transform. in_plane: what is given, the common start where None."""
    from .geometry_slice import slice_plane
    from .io import transforms
    from .tasks.register_slide import Options, register_slide

    if not transform_as:
        return register_slide((volume,), Options(slice=0, fused_um=_mpp(values)), slide=_slide(values))
    path = Path(values["folder"]) / "given.tfm"
    transforms.write_linear(path, slice_plane(volume, 0).place(pair.start() if in_plane is None else in_plane))
    options = Options(transform_as=transform_as, fused_um=_mpp(values))
    return register_slide((volume,), options, slide=_slide(values), transform=path)


def _picture(values: dict[str, Any]) -> Picture:
    from .tasks.register_slide import Options
    from .tasks.slide_input import slide_side
    from .tasks.slide_pictures import picture

    with ExitStack() as stack:
        return picture(slide_side(_slide(values), None, Options(), None, None, stack))


def _reference(values: dict[str, Any]) -> dict[str, Any]:
    return _fastest([_reference_once(values) for _ in range(values["repeats"] + 1)])


def _reference_once(values: dict[str, Any]) -> dict[str, Any]:
    """The same picture of the slide, in grey, laid on the MRI by SimpleITK."""
    image = pair.mri().array[0]
    began = time.perf_counter()
    shown = _picture(values)
    features = time.perf_counter() - began
    in_plane = mattes(image, shown, pair.start())
    task = time.perf_counter() - began
    return _timed(task, features, in_plane)


def mattes(image: np.ndarray, shown: Picture, in_plane: np.ndarray) -> np.ndarray:
    """3×3, slide mm to plane mm, by the mutual information of MRI slice (h, w) and the tissue's brightness, from `in_plane`."""
    import numpy as np
    import SimpleITK as sitk

    fixed = sitk.GetImageFromArray(image.astype(np.float32))
    fixed.SetSpacing([pair.MRI_MM] * 2)
    first = (np.array(shown.rgb.shape[1::-1]) - 1) / 2 * shown.pixel_mm
    moving, tissue = (sitk.GetImageFromArray(a) for a in (shown.rgb.mean(-1, dtype=np.float32), shown.tissue.astype(np.uint8)))
    for picture in (moving, tissue):
        picture.SetSpacing([shown.pixel_mm] * 2)
        picture.SetOrigin((shown.centre_mm - first).tolist())
    onto = np.linalg.inv(in_plane)
    affine = sitk.AffineTransform(2)
    affine.SetCenter([(pair.MRI_PIXELS - 1) / 2 * pair.MRI_MM] * 2)
    affine.SetMatrix(onto[:2, :2].ravel().tolist())
    affine.SetTranslation((onto[:2, 2] + onto[:2, :2] @ affine.GetCenter() - affine.GetCenter()).tolist())
    method = _method(affine)
    method.SetMetricMovingMask(tissue)
    found = method.Execute(fixed, moving)
    made = np.eye(3)
    made[:2, 2] = found.TransformPoint((0.0, 0.0))
    for axis, unit in enumerate(((1.0, 0.0), (0.0, 1.0))):
        made[:2, axis] = np.array(found.TransformPoint(unit)) - made[:2, 2]
    return np.linalg.inv(made)


def _method(affine: Any) -> Any:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(MATTES_BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, MATTES_STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([level[0] for level in MATTES_LEVELS])
    method.SetSmoothingSigmasPerLevel([level[1] for level in MATTES_LEVELS])
    method.SetInitialTransform(affine, inPlace=False)
    return method


def _fused(values: dict[str, Any]) -> dict[str, Any]:
    """The pyramid of the gland at the slide's own pixels, laid as it truly lies, written once."""
    fused = _task(values, pair.mri(), "result", pair.truth()).fused_slide
    assert fused is not None
    path = Path(values["folder"]) / "fused.ome.tif"
    began = time.perf_counter()
    fused.write(path)
    seconds = time.perf_counter() - began
    rows, columns = fused.grid.shape
    return {"fuse_seconds": seconds, "fused_pixels": f"{columns}×{rows}", "fused_mb": path.stat().st_size / 2**20}
