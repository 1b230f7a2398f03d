"""Aperio's XML, as ImageScope writes it beside a slide: regions in level-0 pixels, by annotation layer."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..errors import InputError
from ..outlines import UNCLASSIFIED, Outline, Polygon
from .outline_files import OutlineFile

_FREEHAND, _RECTANGLE, _ELLIPSE = "0", "1", "2"
_LINES = {"3": "arrow", "4": "ruler", "5": "pin"}
ELLIPSE_POINTS = 720
"""Vertices of an ellipse: its area is then short by 13 parts in a million."""


def read(path: Path) -> OutlineFile:
    """Outlines, one an annotation layer and region text. Raises InputError where the file is not ImageScope's."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError("the file is cut short or is not XML", where=str(path), fix="export it again from ImageScope") from error
    if root.tag != "Annotations":
        raise InputError("is not an annotation file of ImageScope", where=str(path), fix="give its .xml, or GeoJSON from QuPath")
    outlines: list[Outline] = []
    said: list[str] = []
    try:
        for layer in root.iter("Annotation"):
            outlines += _layer(layer, said)
        mpp = float(root.get("MicronsPerPixel", 0) or 0)
    except (TypeError, ValueError) as error:
        raise InputError("a number of the annotations is damaged", where=str(path), fix="export it again from ImageScope") from error
    return OutlineFile(tuple(outlines), None, (mpp, mpp) if mpp > 0 else None, tuple(dict.fromkeys(said)))


def _layer(layer: ElementTree.Element, said: list[str]) -> list[Outline]:
    """A layer's regions, those that are cut out (NegativeROA) as holes of the region that they begin in."""
    packed = int(layer.get("LineColor", "255"))
    colour = (packed & 255, packed >> 8 & 255, packed >> 16 & 255)  # blue is the highest byte
    names: dict[str, list[Polygon]] = {}
    holes: list[np.ndarray] = []
    for region in layer.iter("Region"):
        ring = _ring(region, said)
        if ring is None:
            continue
        if region.get("NegativeROA", "0") == "1":
            holes.append(ring)
        else:
            names.setdefault(_name(layer, region), []).append(Polygon(ring))
    for hole in holes:
        _cut_out(names, hole, said)
    return [Outline(name, tuple(polygons), colour) for name, polygons in names.items()]


def _name(layer: ElementTree.Element, region: ElementTree.Element) -> str:
    return (layer.get("Name") or "").strip() or (region.get("Text") or "").strip() or UNCLASSIFIED


def _ring(region: ElementTree.Element, said: list[str]) -> np.ndarray | None:
    kind = region.get("Type", _FREEHAND)
    if kind in _LINES:
        said.append(f"some annotations are of type {_LINES[kind]}, which has no area, and are left out")
        return None
    points = np.array([(float(v.get("X", "nan")), float(v.get("Y", "nan"))) for v in region.iter("Vertex")]).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a vertex without numbers")
    if len(points) == 2 and kind in (_RECTANGLE, _ELLIPSE):
        return _from_corners(points, kind)
    return points


def _from_corners(points: np.ndarray, kind: str) -> np.ndarray:
    """A rectangle or an ellipse from two opposite corners of its box."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    if kind == _RECTANGLE:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    turn = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
    return np.column_stack([(x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(turn), (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(turn)])


def _cut_out(names: dict[str, list[Polygon]], hole: np.ndarray, said: list[str]) -> None:
    for polygons in names.values():
        for i, polygon in enumerate(polygons):
            if len(hole) >= 3 and holds(polygon.exterior, hole[0]):
                polygons[i] = Polygon(polygon.exterior, (*polygon.holes, hole))
                return
    said.append("a region that is to be cut out lies in no other and is left out")


def holds(ring: np.ndarray, point: np.ndarray) -> bool:
    """Whether a point lies inside a ring: a ray to the right meets it an odd number of times."""
    start, end = ring, np.roll(ring, -1, axis=0)
    spans = (start[:, 1] > point[1]) != (end[:, 1] > point[1])
    start, end = start[spans], end[spans]
    at = start[:, 0] + (point[1] - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    return bool(np.count_nonzero(at > point[0]) % 2)
