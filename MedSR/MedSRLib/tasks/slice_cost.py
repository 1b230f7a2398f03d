"""What the slice methods cost beside each other, so that a fraction of a job's progress stands for a fraction of its time."""

from __future__ import annotations

from collections.abc import Iterable

LEARNED = (0.4, 0.035)
"""Seconds for each pair of neighbours that is compared, and for each slice made between them, at 256×256 pixels on two cores."""
COSTS = {
    "linear": (0.0, 0.001), "bspline": (0.0, 0.001), "lanczos": (0.0, 0.001),
    "flow": (0.06, 0.003), "flow-smoothed": (0.06, 0.005), "tvl1": (2.5, 0.004), "tvl1-smoothed": (2.5, 0.006),
}  # fmt: skip
"""The same for the methods that are not learned."""
LABELS = 0.1
"""Seconds to carry the labels of one slice along."""
LOADING = 0.05
"""Share of choosing a method in which the model is loaded, whatever it costs: with reading it stays below jobs_time.WARM_UP."""


def cost(method: str, pairs: int, slices: int) -> float:
    """Nominal seconds of a method for `slices` made between `pairs` of neighbours; a name that is no classical one is a model's."""
    a_pair, a_slice = COSTS.get(method, LEARNED)
    return pairs * a_pair + slices * a_slice


def trial_cost(methods: Iterable[str], targets: int) -> float:
    """Nominal seconds to rebuild left-out slices, each between a pair of its own, by several methods."""
    return sum(cost(method, targets, targets) for method in methods)
