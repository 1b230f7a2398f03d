"""Opening what is no volume: whole slides, at the level that memory allows, and files of outlines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.outline_files import read_outlines
from ..io.series import stem_of, suffix_of
from ..io.slide_openslide import ONLY_OPENSLIDE
from ..io.slides import PICTURES, TIFFS
from ..scene import slides
from ..scene.nodes import grid_from_node
from .entries import OUTLINES, SLIDE, Entry

SLIDES = (*PICTURES, *TIFFS, *ONLY_OPENSLIDE)
DRAWN = (".geojson", ".json", ".xml")


def kind_of(path: Path) -> str:
    """SLIDE or OUTLINES by the ending of a file; "" for what is read as a volume."""
    suffix = suffix_of(path)
    return SLIDE if suffix in SLIDES else OUTLINES if suffix in DRAWN else ""


async def load_slide(scene: Any, entry_id: str, path: Path) -> Entry:
    """A slide with its node. Raises InputError, DependencyError."""
    picture = await asyncio.to_thread(slides.read_picture, path)
    node = slides.add_slide(scene, picture, stem_of(path))
    grid = grid_from_node(node, {"warnings": picture.warnings})
    rows, columns = picture.grid.shape
    x0, y0, x1, y1 = picture.grid.box
    size = f"{x1 - x0:.0f} × {y1 - y0:.0f} pixels"
    texts = (size, f"shown at {columns} × {rows} · {picture.mpp_um[0]:.3g} µm")
    return Entry(entry_id, node.GetName(), picture.path, (grid,), node=node, kind=SLIDE, texts=texts, task="register_slide")


async def load_outlines(entry_id: str, path: Path) -> Entry:
    """A file of outlines, checked, with nothing to show until a slide is laid on an MRI. Raises InputError."""
    found = await asyncio.to_thread(read_outlines, path)
    names = sorted({outline.name for outline in found.outlines})
    if not names:
        raise InputError("there is no outline in this file", where=path.name)
    count = len(found.outlines)
    texts = (f"{count} outline{'s' if count > 1 else ''}", ", ".join(names)[:60])
    return Entry(entry_id, stem_of(path), path.absolute(), (), kind=OUTLINES, texts=texts)
