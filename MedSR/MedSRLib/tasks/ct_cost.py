"""What super-resolution costs before anything of it was measured: for a first word on the time. The first tile then tells it better."""

from __future__ import annotations

from .. import tiles
from ..volume import Volume
from .ct_network import LEAST_CONTEXT, MOST_CONTEXT
from .super_resolve_ct import FACTOR, Options
from .turns import TURNS

A_READ_PIXEL = 8e-5
"""Seconds for each pixel of the scan that the network of `ct-super-resolver.yaml` reads, on one core (measured)."""
A_MADE_VOXEL = 1e-7
"""Seconds for each voxel of the result that is enlarged, put together and compressed, on one core (measured: 6e-8 bicubic)."""


def nominal_seconds(region: Volume, frames: int, options: Options) -> float:
    """Seconds for a region (on its own grid), on one core."""
    z, y, x = region.shape
    made = frames * z * y * x * FACTOR**2 * A_MADE_VOXEL
    if options.method != "model":
        return made
    context = (LEAST_CONTEXT + MOST_CONTEXT) // 2
    grid = tiles.plan((y, x), size=options.tile, context=context, overlap=options.overlap)
    read = grid.count * (grid.rows.kept + 2 * context) * (grid.columns.kept + 2 * context)
    return made + frames * z * read * A_READ_PIXEL * (len(TURNS) if options.self_ensemble else 1)
