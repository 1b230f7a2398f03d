"""Pieces of tissue to train registration on: random outlines and zones, filled with the texture and stain of real slides.

Few whole mounts have a licence that allows training, none is taken from the test set. So each piece has the outline of a gland,
three to nine zones, nodules and cavities, all drawn at random, and each zone shows a random part of a real slide at a random
magnification, direction and strength of stain. Every piece follows from its seed.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from . import pseudo_mri, slide_sources, stains
from .slide_sources import FIELD_MM, GLASS, Picture

VERSION = 1
"""Of what a seed makes; pieces in a cache of another version are not used."""
PIXEL_MM = 0.2
WIDTH_MM, ASPECT = (32.0, 52.0), (0.65, 1.0)
"""Of the outline: its width, and its height over its width."""
WAVES, WAVE = 6, 0.10
"""Of the outline's radius: so many harmonics, the k-th of a normal amplitude WAVE / k of the radius."""
ZONES, NODULES, CAVITIES = (3, 9), (0, 5), (0, 3)
NODULE_MM, CAVITY_MM = (2.0, 7.0), (0.8, 3.0)
"""Half-axes."""
REDUCTIONS = (2, 4, 8)
"""Magnifications: textures averaged over so many pixels."""
STRENGTH = (0.6, 1.4)
"""Optical density of a zone over that of its texture."""
STRENGTH_OF_COLOUR = 0.15
"""The same of a whole piece, by colour: ± that."""


class Textures:
    """The real slides of splits/slides.json, at each magnification, as optical densities (h, w, 3)."""

    def __init__(self, root: Path, stain: str = "H&E") -> None:
        self.densities: list[np.ndarray] = []
        for source in slide_sources.sources("textures"):
            if source.stain == stain:
                rgb = slide_sources.read(source, root)
                for n in REDUCTIONS:
                    small = cv2.resize(rgb, None, fx=1 / n, fy=1 / n, interpolation=cv2.INTER_AREA)
                    self.densities.append(stains.optical_density(small))

    def sample(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """(side, side, 3): around a random stained pixel, turned by a random angle, reflected at the picture's edges."""
        density = self.densities[rng.integers(len(self.densities))]
        stained = np.flatnonzero(density.mean(-1) > stains.LIGHT_OD)
        y, x = np.divmod(stained[rng.integers(len(stained))], density.shape[1])
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), rng.uniform(0.7, 1.4))
        matrix[:, 2] += matrix[:, :2] @ [side / 2 - x, side / 2 - y]
        return cv2.warpAffine(density, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def outline(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side) bool: a closed wavy ellipse in the middle, in a random direction."""
    y, x = ((np.arange(side) - (side - 1) / 2) * PIXEL_MM for _ in range(2))
    x, y = np.meshgrid(x, y)
    turn, half, aspect = rng.uniform(0, np.pi), rng.uniform(*WIDTH_MM) / 2, rng.uniform(*ASPECT)
    u, v = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / aspect
    angle, radius = np.arctan2(v, u), np.full(x.shape, half)
    for k in range(2, 2 + WAVES):
        radius = radius + half * rng.normal(0, WAVE / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(u, v) <= radius


def zones(tissue: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) zone of each pixel, counted from 0, and (h, w) bool: cavities. Borders are uneven, nodules lie on top."""
    side = len(tissue)
    bend = [pseudo_mri.random_field((side, side), 3 / PIXEL_MM, rng) * 1.5 / PIXEL_MM for _ in range(2)]
    rows, columns = (a + b for a, b in zip(np.mgrid[:side, :side], bend, strict=True))
    places = np.argwhere(tissue)
    seeds = places[rng.integers(len(places), size=rng.integers(*ZONES, endpoint=True))]
    zone = np.argmin([np.hypot(rows - r, columns - c) for r, c in seeds], axis=0)
    for _ in range(rng.integers(*NODULES, endpoint=True)):
        zone[_oval(rows, columns, places, NODULE_MM, rng)] = zone.max() + 1
    cavities = np.zeros_like(tissue)
    for _ in range(rng.integers(*CAVITIES, endpoint=True)):
        cavities |= _oval(rows, columns, places, CAVITY_MM, rng)
    return zone, cavities & tissue


def _oval(rows: np.ndarray, columns: np.ndarray, places: np.ndarray, half_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    r, c = places[rng.integers(len(places))]
    half = rng.uniform(*half_mm, 2) / PIXEL_MM
    return np.hypot((rows - r) / half[0], (columns - c) / half[1]) <= 1


def piece(textures: Textures, rng: np.random.Generator) -> Picture:
    """A slide of FIELD_MM at PIXEL_MM with one piece of tissue on glass."""
    side = round(FIELD_MM / PIXEL_MM)
    tissue = outline(side, rng)
    zone, cavities = zones(tissue, rng)
    density = np.zeros((side, side, 3), np.float32)
    for k in range(zone.max() + 1):
        here = zone == k
        density[here] = (textures.sample(side, rng) * rng.uniform(*STRENGTH))[here]
    density *= 1 + rng.uniform(-STRENGTH_OF_COLOUR, STRENGTH_OF_COLOUR, 3)
    stained = ndimage.gaussian_filter((tissue & ~cavities).astype(np.float32), 0.7)[..., None]
    glass = stains.optical_density(np.array([GLASS, GLASS, GLASS]))
    return Picture(stains.coloured(density * stained + glass * (1 - stained)), tissue, PIXEL_MM)


def save(picture: Picture, path: Path) -> None:
    """Written beside, then renamed: another process may want the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez_compressed(partial, rgb=picture.rgb, tissue=picture.tissue)
    partial.rename(path)


def load(path: Path) -> Picture:
    """What `save` was given."""
    with np.load(path) as data:
        return Picture(data["rgb"], data["tissue"], PIXEL_MM)
