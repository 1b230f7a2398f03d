"""Ways to enlarge clinical CT by 8: bicubic, Wiener deconvolution then bicubic, any network; each (slices, h, w) → (8h, 8w), HU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from MedSRLib.intensity import HOUNSFIELD
from MedSRLib.tasks.ct_parts import Enlarger
from MedSRLib.tasks.super_resolve_ct import FACTOR

from . import degrade


@dataclass(frozen=True)
class Scan:
    """What a method is given. clinical: (slices, h, w) HU, the middle one is enlarged; how it was acquired, as far as known."""

    clinical: np.ndarray
    kernel: str
    clinical_mm: float
    noise_hu: float


Method = Callable[[Scan], np.ndarray]


def middle(scan: Scan) -> np.ndarray:
    return scan.clinical[len(scan.clinical) // 2].astype(np.float32)


def bicubic(scan: Scan) -> np.ndarray:
    return _enlarged(middle(scan))


def wiener(scan: Scan) -> np.ndarray:
    """With the true kernel, pixel and noise, which networks are not told."""
    return _enlarged(degrade.wiener(middle(scan), degrade.KERNELS[scan.kernel], scan.clinical_mm, scan.noise_hu))


def _enlarged(image: np.ndarray) -> np.ndarray:
    return Enlarger((image.shape[0], image.shape[1]), FACTOR).bicubic(image)


PLAIN: dict[str, Method] = {"bicubic": bicubic, "Wiener, bicubic": wiener}


def learned(module: Any) -> Method:
    """A network on the whole image at once, with as many neighbouring slices as it takes."""

    def enlarge(scan: Scan) -> np.ndarray:
        import torch

        at, around = len(scan.clinical) // 2, module.slices // 2
        if around > at:
            raise ValueError(f"the network takes {module.slices} slices; there are {len(scan.clinical)}")
        given = HOUNSFIELD.read(scan.clinical[at - around : at + around + 1])
        with torch.inference_mode():
            return HOUNSFIELD.written(module(torch.from_numpy(given)[None])[0, 0].numpy())

    return enlarge


def averaging_back(method: Method) -> Method:
    """What `method` makes, changed so that its mean over each pixel of the scan is the scan: A = mean by 8, noise and all."""

    def enlarge(scan: Scan) -> np.ndarray:
        y = middle(scan)
        return Enlarger((y.shape[0], y.shape[1]), FACTOR).consistent(method(scan), y)

    return enlarge


def acquired_back(method: Method) -> Method:
    """What `method` makes, changed so that it would have been acquired as the scan was: A = point spread, then mean by 8; A known.

    x + A⁺(y − A x) of the range–null-space decomposition (Wang et al., ICLR 2023); the noise of y is divided by the kernel's MTF.
    """

    def enlarge(scan: Scan) -> np.ndarray:
        kernel, made = degrade.KERNELS[scan.kernel], method(scan)
        lacking = middle(scan) - degrade.projected(made, kernel, scan.clinical_mm)
        return made + degrade.pseudo_inverse(lacking, kernel, scan.clinical_mm)

    return enlarge


CONSISTENT = {"averages back": averaging_back, "acquired back": acquired_back}


def networks(names: list[str]) -> dict[str, tuple[Method, str]]:
    """Each of `names`, a checkpoint of training.train or an installed model, with its sha256. LABEL=CHECKPOINT names it in the tables."""
    from MedSRLib import models

    from .evaluate import from_checkpoint

    found = {}
    for name in names:
        label, _, path = name.rpartition("=")
        if Path(path).is_file():
            found[label or _named(Path(path))] = learned(from_checkpoint(Path(path))), models.sha256(Path(path))
        else:
            found[label or path] = learned(models.build(path)), models.card(path).sha256
    return found


def _named(path: Path) -> str:
    """runs/NAME/version_K/checkpoints/best.ckpt → NAME; else the file's own name."""
    parts = path.parts
    return parts[parts.index("runs") + 1] if "runs" in parts[:-2] else path.stem
