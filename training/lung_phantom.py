"""Lung-like micro-CT in HU: airways with walls, vessels, alveolar foam, fissure, pleura, ground-glass nodule, and what is where.

A phantom is a box of lung seen in one field of view of clinical CT; it is rendered slice by slice of clinical CT: the micro-CT
slices within one clinical slice, averaged with its profile (`render`). So micro-CT here is eight times finer in the plane, and as
thick as the clinical slice that it belongs to: what lies within a slice is not asked of a method that enlarges slices.
Positions are (z, y, x) in mm; arrays (y, x) or (z, y, x). Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from . import degrade, lung_tree
from .lung_foam import Foam

FIELD = 96
"""Clinical pixels a side of a phantom: 58 to 77 mm."""
PIXEL_MM, THICKNESS_MM = (0.6, 0.8), (0.6, 1.25)
"""Ranges of clinical pixels and slice thickness; slices touch."""
BLOOD_HU, WALL_HU, AIR_HU, PLEURA_HU = 45.0, 25.0, -1000.0, 20.0
"""Blood without contrast medium 40 to 50 HU; walls and pleura are soft tissue."""
MEAN_HU = (-940.0, -830.0)
"""Range of the foam's own mean, small vessels left out: with them phantoms have medians of −910 to −800; LIDC-IDRI-0314 has −846."""
LABELS = ("foam", "lumen", "wall", "vessel", "nodule", "pleura")
"""Meaning of the values 0 to 5 of a label image."""
FOAM, LUMEN, WALL, VESSEL, NODULE, PLEURA = range(6)
AROUND_MM = 9.0
"""How far beyond the slices the trees reach, so that branches pass through them."""


@dataclass(frozen=True)
class Slices:
    """micro: (n, 8·FIELD, 8·FIELD) float32 HU, averaged through each slice. labels: the same, uint8, what fills most of the slice."""

    micro: np.ndarray
    labels: np.ndarray
    clinical_mm: float
    thickness_mm: float


class Phantom:
    """seed: everything about the phantom. field: clinical pixels a side. count: clinical slices. with_nodule: else by chance."""

    def __init__(self, seed: int, field: int = FIELD, count: int = 3, with_nodule: bool | None = None) -> None:
        self.rng = np.random.default_rng((20200, seed))
        self.field, self.count = field, count
        self.clinical_mm = round(self.rng.uniform(*PIXEL_MM), 3)
        self.thickness_mm = round(self.rng.uniform(*THICKNESS_MM), 2)
        self.micro_mm = self.clinical_mm / degrade.FACTOR
        self.side_mm = field * self.clinical_mm
        self.foam = Foam(self.micro_mm, self.rng)
        self.mean_hu = self.rng.uniform(*MEAN_HU)
        self.fissure = self._plane(0.35) if self.rng.random() < 0.35 else None
        self.chest = self._plane(0.48) if self.rng.random() < 0.25 else None
        nodule = self.rng.random() < 0.5 if with_nodule is None else with_nodule
        self.nodule = self._nodule() if nodule else None

    def _plane(self, off: float) -> tuple[np.ndarray, float, np.ndarray]:
        """A slightly wavy plane: unit normal (z, y, x), distance of it from the centre in mm, phases of its waves."""
        angle = self.rng.uniform(0, 2 * np.pi)
        normal = np.array([self.rng.normal(0, 0.25), np.sin(angle), np.cos(angle)])
        return normal / np.linalg.norm(normal), off * self.side_mm * self.rng.uniform(0.5, 1), self.rng.uniform(0, 2 * np.pi, 4)

    def _nodule(self) -> tuple[np.ndarray, float, float, float]:
        """Centre and radius in mm, HU of its ground glass, share of a solid core's radius (0: none)."""
        centre = np.array([self.rng.uniform(-1, 1), *self.rng.uniform(-0.3, 0.3, 2) * self.side_mm])
        core = self.rng.uniform(0.25, 0.5) if self.rng.random() < 0.4 else 0.0
        return centre, self.rng.uniform(3.0, 8.0), self.rng.uniform(-680, -450), core

    @cached_property
    def trees(self) -> tuple[lung_tree.Tubes, lung_tree.Tubes]:
        """Airways and vessels of the field of view and AROUND_MM more."""
        half = np.array([self.count * self.thickness_mm, self.side_mm, self.side_mm]) / 2
        return lung_tree.lung(-half - AROUND_MM * np.array([1, 0.3, 0.3]), half + AROUND_MM * np.array([1, 0.3, 0.3]), self.rng)

    @cached_property
    def density(self) -> np.ndarray:
        """(8·field, 8·field) HU: the parenchyma's mean: lobules differ by 15 HU, and it is 20 HU denser at the back than in front."""
        coarse = max(self.field // 4, 4)
        waves = ndimage.gaussian_filter(self.rng.standard_normal((coarse, coarse)), 1.2)
        waves = ndimage.zoom(waves / waves.std(), degrade.FACTOR * self.field / coarse, order=3, mode="nearest")
        gravity = np.linspace(-10, 10, degrade.FACTOR * self.field)[:, None]
        return (self.mean_hu + 15 * waves + gravity).astype(np.float32)

    def render(self) -> Slices:
        """Every clinical slice: its micro-CT averaged with the slice profile, and its labels."""
        _ = self.density, self.trees  # in this order, whatever is asked for first
        at = (np.arange(self.count) - (self.count - 1) / 2) * self.thickness_mm
        made = [self._averaged(z) for z in at]
        return Slices(np.stack([m for m, _ in made]), np.stack([n for _, n in made]), self.clinical_mm, self.thickness_mm)

    def _averaged(self, z_mm: float) -> tuple[np.ndarray, np.ndarray]:
        offsets, weights = degrade.slice_profile(self.thickness_mm, self.micro_mm)
        micro, labels = self.thin(z_mm + offsets)
        shares = [np.tensordot(weights, labels == value, 1) for value in range(len(LABELS))]
        return np.tensordot(weights.astype(np.float32), micro, 1), np.argmax(shares, 0).astype(np.uint8)

    def thin(self, z_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Micro-CT slices at heights `z_mm` (n,), one micro_mm apart: HU and labels, (n, 8·field, 8·field)."""
        side = degrade.FACTOR * self.field
        plane = (np.arange(side) - (side - 1) / 2) * self.micro_mm
        axes = z_mm, plane, plane
        parts = {name: np.zeros((len(z_mm), side, side), np.float32) for name in ("lumen", "wall", "vessel")}
        airways, vessels = self.trees
        draw(parts["vessel"], axes, vessels, vessels.radius)
        draw(parts["wall"], axes, airways, airways.radius + airways.wall[:, None])
        draw(parts["lumen"], axes, airways, airways.radius)
        hu = self.foam.render(z_mm, self.density)
        labels = np.zeros(hu.shape, np.uint8)
        if self.nodule is not None:
            self._add_nodule(hu, labels, axes)
        for name, value, label in (("vessel", BLOOD_HU, VESSEL), ("wall", WALL_HU, WALL), ("lumen", AIR_HU, LUMEN)):
            hu += parts[name] * (value - hu)
            labels[parts[name] > 0.5] = label
        self._add_surfaces(hu, labels, axes)
        return hu, labels

    def _add_nodule(self, hu: np.ndarray, labels: np.ndarray, axes: tuple[np.ndarray, ...]) -> None:
        """Ground glass: alveoli partly filled, so foam keeps its air where it has most; a lobed border; perhaps a solid core."""
        centre, radius, value, core = self.nodule  # type: ignore[misc]
        z, y, x = np.meshgrid(*(a - c for a, c in zip(axes, centre, strict=True)), indexing="ij", sparse=True)
        lobes = 1 + 0.13 * np.sin(3 * np.arctan2(y, x) + centre[1]) + 0.08 * np.sin(5 * np.arctan2(y, x) + z)
        away = np.sqrt(z**2 + y**2 + x**2) / (radius * lobes)
        share = np.clip((1 - away) * radius / 0.8 + 0.5, 0, 1).astype(np.float32)
        hu += share * ((value - self.mean_hu) / (BLOOD_HU - self.mean_hu)) * (BLOOD_HU - hu)
        if core:
            hu += np.clip((core - away) * radius / 0.3, 0, 1).astype(np.float32) * (30 - hu)
        labels[share > 0.5] = NODULE

    def _add_surfaces(self, hu: np.ndarray, labels: np.ndarray, axes: tuple[np.ndarray, ...]) -> None:
        """Fissure: two visceral pleurae, together 0.2 mm. Chest wall: everything beyond it is soft tissue."""
        for surface, thickness in ((self.fissure, 0.2), (self.chest, None)):
            if surface is None:
                continue
            beyond = self._beyond(surface, axes)
            inside = (thickness / 2 - np.abs(beyond)) if thickness else beyond
            share = np.clip(0.5 + inside / self.micro_mm, 0, 1)
            hu += share * (PLEURA_HU - hu)
            labels[share > 0.5] = PLEURA

    def _beyond(self, surface: tuple[np.ndarray, float, np.ndarray], axes: tuple[np.ndarray, ...]) -> np.ndarray:
        """Signed distance in mm from a surface, positive away from the centre."""
        normal, off, phase = surface
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        along = (normal[2] * y - normal[1] * x) * 2 * np.pi / self.side_mm
        waves = 1.6 * np.sin(along + phase[0]) + 0.7 * np.sin(2.7 * along + phase[1]) + 0.4 * np.sin(z / 3 + phase[2])
        return (normal[0] * z + normal[1] * y + normal[2] * x - off + waves).astype(np.float32)


def draw(share: np.ndarray, axes: tuple[np.ndarray, ...], tubes: lung_tree.Tubes, radius: np.ndarray) -> None:
    """Into `share` (z, y, x), the part of each voxel that the tubes fill, from 0 to 1: the ramp of one voxel around their surface."""
    step, first = axes[1][1] - axes[1][0], np.array([a[0] for a in axes])
    reach = radius.max(1, keepdims=True) + step
    low = np.ceil((np.minimum(tubes.start, tubes.end) - reach - first) / step).astype(int)
    high = np.floor((np.maximum(tubes.start, tubes.end) + reach - first) / step).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, share.shape)
    way = tubes.end - tubes.start
    inverse = 1 / np.maximum(np.square(way).sum(1), 1e-12)
    for i in np.flatnonzero((low < high).all(1)):
        z, y, x = (axes[k][low[i, k] : high[i, k]].astype(np.float32) - np.float32(tubes.start[i, k]) for k in range(3))
        z, y = z[:, None, None], y[:, None]
        dz, dy, dx = way[i].astype(np.float32)
        along = np.clip((z * dz + y * dy + x * dx) * np.float32(inverse[i]), 0, 1)
        away = np.sqrt((z - along * dz) ** 2 + (y - along * dy) ** 2 + (x - along * dx) ** 2)
        fill = np.clip((np.float32(radius[i, 0]) + np.float32(radius[i, 1] - radius[i, 0]) * along - away) / np.float32(step) + 0.5, 0, 1)
        box = share[low[i, 0] : high[i, 0], low[i, 1] : high[i, 1], low[i, 2] : high[i, 2]]
        np.maximum(box, fill, out=box)
