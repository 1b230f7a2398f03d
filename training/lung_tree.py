"""Trees that fill a piece of lung: airways with the arteries beside them, veins between, down to vessels of a quarter millimetre.

Grown by splitting the points to be reached, after Tawhai, Pullan and Hunter, "Generation of an anatomically based
three-dimensional model of the conducting airways", Annals of Biomedical Engineering 2000. Radii follow the number of ends that a
branch serves to the power 1/3 (Murray 1926; Weibel 1963 finds the same from generation to generation of airways).
Positions are (z, y, x) in mm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ACINUS_MM = 6.0
"""Distance of terminal bronchioles: one in 0.22 ml of lung. Weibel 1963: 2^16 in both lungs; McDonough et al., NEJM 2011: 22,300 in
a lung by micro-CT; of some 5 l in all that is one in 0.08 or 0.11 ml.
Every second one is drawn."""
FINE_MM = 3.5
"""Distance of the last vessels that are drawn, inside an acinus."""
LUMEN_RADIUS_MM = 0.18
"""Of a terminal bronchiole: Weibel 1963 gives 0.30 at full inflation, McDonough 2011 about 0.2."""
VESSEL_RADIUS_MM = 0.14
"""Of the last vessels that are drawn."""
WALL_MM, WALL_PER_LUMEN = 0.06, 0.115
"""Wall thickness = WALL_MM + WALL_PER_LUMEN · lumen diameter: 0.10 mm in terminal bronchioles; 0.43 mm where the lumen's perimeter
is 10 mm, as measured by CT in never-smokers (0.44 mm; smokers 0.49 mm; PMC5286807), which shows thin walls too thick."""
BEND = 0.06
"""How far the middle of a branch leaves the straight line, as a share of its length."""


class Tubes(NamedTuple):
    """Straight tapering tubes. start, end: (n, 3) mm. radius: (n, 2) mm at both. wall: (n,) mm around it, 0 for vessels."""

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    wall: np.ndarray

    def where(self, chosen: np.ndarray) -> Tubes:
        return Tubes(*(part[chosen] for part in self))


class Nodes(NamedTuple):
    """A tree. position: (n, 3) mm. parent: (n,) index, −1 at the root. ends: (n,) number of ends that the branch to a node serves."""

    position: np.ndarray
    parent: np.ndarray
    ends: np.ndarray


def points(low: np.ndarray, high: np.ndarray, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 3): one point in each cube of `spacing_mm`, anywhere in it but for a rim."""
    counts = np.maximum(np.ceil((high - low) / spacing_mm).astype(int), 1)
    corners = np.stack(np.meshgrid(*(np.arange(c) for c in counts), indexing="ij"), -1).reshape(-1, 3)
    return low + (corners + rng.uniform(0.05, 0.95, corners.shape)) * spacing_mm


def grow(root: np.ndarray, ends: np.ndarray, rng: np.random.Generator) -> Nodes:
    """From `root` to all `ends` (n, 3): go part of the way to their centre, split them across their longest axis, again for both."""
    position, parent, served = [root], [-1], [len(ends)]
    waiting = [(0, np.arange(len(ends)))]
    while waiting:
        at, own = waiting.pop()
        centre = ends[own].mean(0)
        reach = 1.0 if len(own) == 1 else rng.uniform(0.35, 0.5)
        position.append(position[at] + reach * (centre - position[at]))
        parent.append(at)
        served.append(len(own))
        if len(own) > 1:
            first = _split(ends[own] - centre, rng)
            waiting += [(len(position) - 1, own[first]), (len(position) - 1, own[~first])]
    return Nodes(np.array(position), np.array(parent), np.array(served))


def _split(around: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boolean (n,): one side of a plane across the longest axis of the points, uneven by up to a third; never all or none."""
    if len(around) == 2:
        return np.array([True, False])
    axis = np.linalg.eigh(around.T @ around)[1][:, -1] + 0.3 * rng.standard_normal(3)
    along = around @ axis
    rank = np.argsort(np.argsort(along))
    return rank < np.clip(round(len(along) * rng.uniform(0.33, 0.67)), 1, len(along) - 1)


def tubes(nodes: Nodes, radius_mm: float, airway: bool, rng: np.random.Generator) -> Tubes:
    """The branches of a tree as tubes, each in two halves that meet off the straight line, tapering from branch to branch."""
    child = np.flatnonzero(nodes.parent >= 0)
    a, b = nodes.position[nodes.parent[child]], nodes.position[child]
    thin = radius_mm * np.cbrt(nodes.ends[child])
    thick = np.minimum(radius_mm * np.cbrt(nodes.ends[nodes.parent[child]]), 1.15 * thin)
    middle = (a + b) / 2 + BEND * np.linalg.norm(b - a, axis=1, keepdims=True) * rng.standard_normal(a.shape)
    half = (thin + thick) / 2
    radius = np.concatenate([np.stack([thick, half], 1), np.stack([half, thin], 1)])
    wall = WALL_MM + WALL_PER_LUMEN * radius.sum(1) if airway else np.zeros(2 * len(child))
    return Tubes(np.concatenate([a, middle]), np.concatenate([middle, b]), radius, wall)


def beside(airways: Nodes, gap: np.ndarray, rng: np.random.Generator) -> Nodes:
    """The same tree moved sideways by `gap` (n,) mm at each node: arteries run beside airways to the end."""
    before = np.where(airways.parent < 0, 0, airways.parent)
    way = airways.position - airways.position[before]
    way[airways.parent < 0] = airways.position[1] - airways.position[0]
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    side = rng.standard_normal(3)
    across = side - (way @ side)[:, None] * way
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-3)
    return airways._replace(position=airways.position + gap[:, None] * across)


def lung(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> tuple[Tubes, Tubes]:
    """(airways, vessels) of the box between `low` and `high` mm, entered at one to four places outside it."""
    from scipy.spatial import cKDTree

    entries = _entries((low + high) / 2, (high - low).max(), rng)
    nearest = cKDTree(entries)
    acini, arterial, venous = (points(low, high, spacing, rng) for spacing in (ACINUS_MM, FINE_MM, FINE_MM))
    airways, vessels = [], []
    for k, entry in enumerate(entries):
        own = [ends[nearest.query(ends)[1] == k] for ends in (acini, arterial, venous)]
        if not all(len(ends) for ends in own):
            continue
        bronchi, arteries = _bundle(entry, own[0], own[1], rng)
        veins = tubes(grow(entry + 8 * rng.standard_normal(3), own[2], rng), VESSEL_RADIUS_MM, False, rng)
        airways.append(bronchi)
        vessels += [arteries, veins]
    vessel = _joined(vessels)
    return _without_hidden(_joined(airways), vessel), vessel


def _entries(centre: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """(k, 3): where trees come from, on one side of the box, more often in its plane than across it."""
    way = rng.standard_normal(3) * (0.6, 1, 1)
    ways = way / np.linalg.norm(way) + 0.6 * rng.standard_normal((rng.integers(1, 5), 3)) * (0.6, 1, 1)
    return centre + rng.uniform(0.35, 0.75) * size * ways


def _bundle(entry: np.ndarray, acini: np.ndarray, fine: np.ndarray, rng: np.random.Generator) -> tuple[Tubes, Tubes]:
    """Airways to the acini, and arteries beside them that go on to the `fine` ends of each acinus."""
    from scipy.spatial import cKDTree

    airways = grow(entry, acini, rng)
    lumen = LUMEN_RADIUS_MM * np.cbrt(airways.ends)
    artery_mm = VESSEL_RADIUS_MM * np.cbrt(len(fine) / len(acini))
    arteries = beside(airways, lumen * (1 + 2 * WALL_PER_LUMEN) + WALL_MM + artery_mm * np.cbrt(airways.ends), rng)
    ends = arteries.position[_end_nodes(airways)]
    owner = cKDTree(ends).query(fine)[1]
    within = [grow(ends[acinus], fine[owner == acinus], rng) for acinus in np.unique(owner)]
    drawn = [tubes(nodes, VESSEL_RADIUS_MM, False, rng) for nodes in within]
    return tubes(airways, LUMEN_RADIUS_MM, True, rng), _joined([tubes(arteries, artery_mm, False, rng), *drawn])


def _without_hidden(airways: Tubes, vessels: Tubes) -> Tubes:
    """Without the airways whose middle lies inside a vessel that is thicker than they are: trees do not know of each other."""
    from scipy.spatial import cKDTree

    thick = vessels.where(vessels.radius.min(1) > 2 * LUMEN_RADIUS_MM)
    if not len(thick.wall):
        return airways
    steps = np.linspace(0, 1, 9)[:, None, None]
    along = (thick.start + steps * (thick.end - thick.start)).reshape(-1, 3)
    away, which = cKDTree(along).query((airways.start + airways.end) / 2)
    radius = np.tile(thick.radius.mean(1), len(steps))[which]
    return airways.where((away > radius) | (radius < airways.radius.mean(1) + airways.wall))


def _joined(parts: list[Tubes]) -> Tubes:
    return Tubes(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _end_nodes(nodes: Nodes) -> np.ndarray:
    """Indices of the nodes that are nobody's parent."""
    return np.setdiff1d(np.arange(len(nodes.parent)), nodes.parent)
