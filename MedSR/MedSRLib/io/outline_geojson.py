"""QuPath's GeoJSON: polygons in level-0 pixels with their class and colour, read and written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..outlines import DEFAULT_COLOUR, UNCLASSIFIED, Outline, Polygon
from .atomic import replacing_file


def read(path: Path) -> tuple[tuple[Outline, ...], tuple[str, ...]]:
    """(outlines, warnings). A feature collection, a list of features or one feature. Raises InputError for anything else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("the file is cut short or is not JSON", where=str(path), fix="export it again from QuPath") from error
    outlines: list[Outline] = []
    skipped: dict[str, int] = {}
    try:
        for feature in _features(data):
            polygons = tuple(_polygons(feature["geometry"], skipped))
            if polygons:
                name, colour = _class_of(feature.get("properties") or {})
                outlines.append(Outline(name, polygons, colour))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError("is not GeoJSON of outlines", where=str(path), fix="export the annotations from QuPath as GeoJSON") from error
    said = tuple(f"{count} of the objects are of type {kind}, which has no area, and are left out" for kind, count in skipped.items())
    return tuple(outlines), said


def _features(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, list):
        yield from (feature for part in data for feature in _features(part))
    elif data["type"] == "FeatureCollection":
        yield from _features(data["features"])
    elif data["type"] == "Feature":
        yield data
    else:
        yield {"geometry": data}  # a bare geometry


def _polygons(geometry: Any, skipped: dict[str, int]) -> Iterator[Polygon]:
    kind = geometry["type"] if geometry else "nothing"
    if kind == "Polygon":
        yield _polygon(geometry["coordinates"])
    elif kind == "MultiPolygon":
        yield from (_polygon(rings) for rings in geometry["coordinates"])
    elif kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _polygons(part, skipped)
    elif kind in ("Point", "MultiPoint", "LineString", "MultiLineString", "nothing"):
        skipped[kind] = skipped.get(kind, 0) + 1
    else:
        raise ValueError(kind)


def _polygon(rings: Any) -> Polygon:
    parts = [[(float(point[0]), float(point[1])) for point in ring] for ring in rings] or [[]]
    if not all(math.isfinite(value) for ring in parts for point in ring for value in point):
        raise ValueError("a point is no number")
    return Polygon(parts[0], tuple(parts[1:]))  # type: ignore[arg-type]


def _class_of(properties: dict[str, Any]) -> tuple[str, tuple[int, int, int]]:
    """Name and colour: of the class, else the object's own."""
    given = properties.get("classification") or {}
    given = {"name": given} if isinstance(given, str) else given
    name = given.get("name") or ": ".join(given.get("names") or []) or properties.get("name") or UNCLASSIFIED
    colour = given.get("color", given.get("colorRGB", properties.get("color", DEFAULT_COLOUR)))
    if isinstance(colour, int):
        colour = (colour >> 16 & 255, colour >> 8 & 255, colour & 255)  # older versions pack it into one number
    red, green, blue = (int(value) & 255 for value in colour[:3])
    return str(name), (red, green, blue)


def write(path: Path, outlines: Sequence[Outline]) -> None:
    """Write a feature collection that QuPath imports: one annotation an outline. Raises OutputError where it cannot be written."""
    features = [_feature(outline) for outline in outlines if outline.polygons]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, allow_nan=False)
    with replacing_file(path) as file:
        file.write(text.encode())


def _feature(outline: Outline) -> dict[str, Any]:
    shapes = [[_closed(ring) for ring in polygon.rings] for polygon in outline.polygons]
    one = len(shapes) == 1
    properties: dict[str, Any] = {"objectType": "annotation"}
    if outline.name != UNCLASSIFIED:
        properties["classification"] = {"name": outline.name, "color": list(outline.colour)}
    geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": shapes[0] if one else shapes}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _closed(ring: Any) -> list[list[float]]:
    points = ring.tolist()
    return [*points, points[0]] if points else []
