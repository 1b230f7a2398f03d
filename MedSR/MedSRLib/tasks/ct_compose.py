"""One slice put together: bicubic, the model's detail, consistency, padding, the expected error; and what is counted on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..geometry import cast_like
from ..metrics import robust_noise_level
from ..tiles import Tile
from .ct_input import filled, padding_of
from .ct_parts import Enlarger
from .ct_region import Region

REACH = 2
"""Pixels beyond an image that cubic interpolation reads."""
LEAST_PIXELS = 64
"""Of a slice, that its noise is measured on."""


@dataclass
class Tally:
    """Sums over the pixels of the scan that lie in the region, its mask, and no padding; everything in input units.

    scan, block, rounded: of the scan, and of the result's block means before and after rounding. Squares of: the departure of both
    from the scan (largest too), the supported part's spread, the added part, and that of bicubic alone.
    """

    sums: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    noise: list[float] = field(default_factory=list)
    limited: int = 0
    count: int = 0

    def add(self, inside: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """values: (h, w) each, summed over `inside`."""
        self.count += int(inside.sum())
        for name, value in values.items():
            chosen = value[inside].astype(np.float64)
            self.sums[name] = self.sums.get(name, 0.0) + float(chosen.sum())
            self.largest[name] = max(self.largest.get(name, 0.0), float(np.abs(chosen).max(initial=0)))

    def mean(self, name: str) -> float:
        return self.sums.get(name, 0.0) / max(self.count, 1)

    def root(self, name: str) -> float:
        return float(np.sqrt(max(self.mean(name), 0.0)))

    def facts(self) -> dict[str, Any]:
        """What the report says; every figure in HU, or in the units of an image that is not in HU."""
        mean = self.mean("scan")
        return {
            "pixels": self.count,
            "scan_noise": float(np.median(self.noise)) if self.noise else None,
            "mean_shift": self.mean("rounded") - mean,
            "averaged_back": {
                "rms": self.root("rounded_departure²"),
                "largest": float(np.sqrt(self.largest.get("rounded_departure²", 0.0))),
                "rms_before_rounding": self.root("departure²"),
                "largest_before_rounding": float(np.sqrt(self.largest.get("departure²", 0.0))),
            },
            "supported_rms": float(np.sqrt(max(self.mean("block²") - self.mean("block") ** 2, 0.0))),
            "added_rms": self.root("added²"),
            "added_rms_bicubic": self.root("added_bicubic²"),
            "limited_voxels": self.limited,
        }


class Composer:
    """Puts slices together. region: what is worked on; inside: (z, y, x) bool, the mask, or None.

    in_hu: whether padding can be told. has_error: whether the model gives the error that it expects.
    """

    def __init__(
        self, region: Region, factor: int, *, inside: np.ndarray | None, intensity: Any, has_error: bool, consistent: bool
    ) -> None:
        self._region, self._inside, self._intensity, self._has_error, self._consistent = region, inside, intensity, has_error, consistent
        h, w = region.volume.shape[1:]
        self._plain, self._wide = Enlarger((h, w), factor), Enlarger((h + 2 * REACH, w + 2 * REACH), factor)
        self._whole = Tile(0, 0, h, w, REACH)
        self._factor = factor
        self.tally = Tally()

    def bicubic(self, z: int) -> np.ndarray:
        """One slice enlarged, its surroundings taken into account, float32 in input units."""
        k, *offset = (n + shift for n, shift in zip((z, 0, 0), self._region.offset, strict=True))
        plane = self._region.around[k]
        clean = filled(plane, padding_of(plane, self._intensity))
        return self._whole.kept(self._wide.bicubic(self._whole.read(clean, (offset[0], offset[1]))), self._factor)

    def put(self, z: int, made: np.ndarray | None, out: np.ndarray, expected: np.ndarray) -> None:
        """Write one slice into out[z] and expected[z]. made: (2, H, W) of the network in input units, or None for bicubic."""
        scan, plain = self._region.volume.array[z], self._plain
        padding = padding_of(scan, self._intensity)
        clean = filled(scan, padding)
        value = base = self.bicubic(z)
        weight = None
        if made is not None:
            weight = self._weight(z)
            value = made[0] if weight is None else base + weight * (made[0] - base)
        if self._consistent:
            value = plain.consistent(value, clean)
        block = plain.average(value)
        detail = value - plain.nearest(block)
        doubt = self._doubt(detail, block - clean, made, weight)
        stored, limited = cast_like(value, out.dtype)
        self._count(z, clean, padding, block, detail, base, stored, limited)
        if padding is not None:
            fine = plain.nearest(padding)
            stored[fine], doubt[fine] = plain.nearest(scan)[fine], 0
        out[z], expected[z] = stored, doubt

    def _weight(self, z: int) -> np.ndarray | None:
        """(H, W) 0 to 1, how much of the model's detail there is: rises over half a pixel of the scan from the mask's border inwards."""
        if self._inside is None:
            return None
        inside = self._inside[z]
        soft = self._plain.bicubic(inside.astype(np.float32))
        return (2 * soft - 1).clip(0, 1) * self._plain.nearest(inside)

    def _doubt(self, detail: np.ndarray, departure: np.ndarray, made: np.ndarray | None, weight: np.ndarray | None) -> np.ndarray:
        """Expected absolute error (H, W): what the model expects of itself; where it does not, and for bicubic, what was added to the
        scan (mean of |(I − A⁺A) x| over each of its pixels), how far the rest departs from it (|A x − y|), and the spread of runs.
        """
        added = self._plain.average(np.abs(detail)) + np.abs(departure)
        guess = self._plain.bicubic(added).clip(0)
        if made is None:
            return guess
        own = made[1] if self._has_error else guess + made[1]
        return own if weight is None else guess + weight * (own - guess)

    def _count(self, z, clean, padding, block, detail, base, stored, limited) -> None:
        plain, inside = self._plain, np.ones(clean.shape, bool) if self._inside is None else self._inside[z].copy()
        if padding is not None:
            inside &= ~padding
        rounded = plain.average(stored)
        values = {"scan": clean, "block": block, "rounded": rounded, "block²": block.astype(np.float64) ** 2}
        values |= {"departure²": (block - clean) ** 2, "rounded_departure²": (rounded - clean) ** 2, "added²": plain.average(detail**2)}
        values["added_bicubic²"] = plain.average((base - plain.nearest(plain.average(base))) ** 2)
        self.tally.add(inside, values)
        self.tally.limited += limited
        self.tally.noise += [robust_noise_level(clean, inside)] if inside.sum() >= LEAST_PIXELS else []
