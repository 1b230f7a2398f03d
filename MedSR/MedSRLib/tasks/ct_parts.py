"""The part of a fine image that the scan supports and the part that is added to it, in numpy: what networks/scales.py is in torch.

A: mean of each factor × factor block, what a scan with larger pixels would have measured. A⁺: each pixel repeated, its
pseudo-inverse. A fine image x is A⁺A x, of which the scan y says that it is A⁺y, and (I − A⁺A) x, of which it says nothing.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..geometry_region import pixel_weights


class Enlarger:
    """Between images of one size (h, w) and images `factor` times finer, float32."""

    def __init__(self, shape: tuple[int, int], factor: int) -> None:
        from scipy.sparse import csr_array

        self.shape, self.factor = shape, factor
        self._weights = [pixel_weights(size, factor).astype(np.float32) for size in shape]
        self._sparse = [csr_array(weights) for weights in self._weights]

    def bicubic(self, image: np.ndarray) -> np.ndarray:
        """(h, w) → (factor·h, factor·w), Keys' cubic: equal to networks.scales.bicubic."""
        wide = self._sparse[1] @ np.ascontiguousarray(image.T, np.float32)
        return self._sparse[0] @ np.ascontiguousarray(wide.T)  # the large product last: only the small one is transposed

    def nearest(self, image: np.ndarray) -> np.ndarray:
        """A⁺: (h, w) → (factor·h, factor·w), of the image's own type."""
        return image.repeat(self.factor, 0).repeat(self.factor, 1)

    def average(self, fine: np.ndarray) -> np.ndarray:
        """A: (factor·h, factor·w) → (h, w) float32."""
        (h, w), f = self.shape, self.factor
        rows = fine.reshape(h, f, w * f)
        total = rows[:, 0].astype(np.float32)
        for number in range(1, f):  # whole rows at a time: several times faster than a sum along the short axis
            total += rows[:, number]
        return (total.reshape(h, w, f).sum(axis=2, dtype=np.float64) / f**2).astype(np.float32)

    def consistent(self, fine: np.ndarray, image: np.ndarray) -> np.ndarray:
        """The fine image with its block means replaced by `image` (h, w): x + B(y − A x) with A B = I.

        B is a smooth right inverse of A, the bicubic enlargement of M⁻¹(·), M = A·bicubic. A⁺ is another one, with which
        this is the range–null-space decomposition as Wang et al. (ICLR 2023) print it: it would leave steps along every block.
        """
        lacking = image - self.average(fine)
        return fine + self.bicubic(self._unblurred[0] @ lacking @ self._unblurred[1].T)

    @cached_property
    def _unblurred(self) -> list[np.ndarray]:
        """M⁻¹ along each axis, (n, n)."""
        means = [w.astype(np.float64).reshape(n, self.factor, n).mean(axis=1) for n, w in zip(self.shape, self._weights, strict=True)]
        return [np.linalg.inv(mean).astype(np.float32) for mean in means]
