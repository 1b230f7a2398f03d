"""SR-UNIT: UNIT whose two domains differ in size by 8: clinical CT 32×32, micro-CT 256×256.

Zheng et al. 2020 (see sr_cyclegan.py) change UNIT (Liu et al., NeurIPS 2017, see unit.py) in the same way as CycleGAN and
draw no layers. Here the shared latent space has the size of the clinical patch: its encoder does not shrink and its
decoder does not enlarge, the encoder of micro-CT halves three times, its decoder doubles three times. Width and depth
as in Liu: width=256, depth=3; the default is a quarter of the width.
"""

from __future__ import annotations

from . import scales
from .unit import Path, Shared, decoder, encoder

DOUBLINGS = 3
"""2 × 2 × 2 = 8."""


def generators(slices: int = 1, width: int = 64, depth: int = 3, norm: str = "instance") -> tuple[Path, Path]:
    """G1: (n, slices, h, w) → (n, 1, 8h, 8w). G2's translate: (n, 1, 8h, 8w) → (n, slices, h, w)."""
    scales.check_slices(slices)
    shared = Shared(width, norm)
    read = encoder(slices, width, depth, 0, norm), encoder(1, width, depth, DOUBLINGS, norm)
    write = decoder(slices, width, depth, 0, norm), decoder(1, width, depth, DOUBLINGS, norm)
    return Path(read[0], shared, write[1], slices, False), Path(read[1], shared, write[0], slices, False)
