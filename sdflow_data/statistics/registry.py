"""The registry of statistics.

A statistic is one function over a `Batch`, registered with `measures`. Frames, tables, distances, verdicts,
plots and JSON loop over the registry, so a new statistic is a new function and nothing else.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .batch import Batch


@dataclass(frozen=True)
class Statistic:
    """One column of a frame of statistics.

    Args:
        name: the name of the column.
        unit: the unit in words; empty for a pure number.
        needs: the input: ``lr`` (LR patches), ``pair`` (LR and HR) or ``variants`` (several LR of one HR).
        description: one line.
        headline: whether the short table has it.
        cheap: whether it is computed during generation and is a column of the manifest.
    """

    name: str
    unit: str
    needs: Literal["lr", "pair", "variants"]
    description: str
    headline: bool = False
    cheap: bool = False


Estimate = Callable[[Batch], np.ndarray]
"""A batch of M samples to (M,) for one statistic or (M, n) for n; NaN where a statistic is undefined."""

STATISTICS: dict[str, Statistic] = {}
_ESTIMATES: dict[Estimate, tuple[Statistic, ...]] = {}


def measures(*statistics: Statistic) -> Callable[[Estimate], Estimate]:
    """Register a function as the estimate of one or more statistics, in the order of its columns."""

    def register(estimate: Estimate) -> Estimate:
        assert not STATISTICS.keys() & {s.name for s in statistics}
        _ESTIMATES[estimate] = statistics
        STATISTICS.update({s.name: s for s in statistics})
        return estimate

    return register


LEAST_SIZE = 8
"""On smaller patches, in LR pixels, every statistic is NaN."""


def measure(batch: Batch, names: Collection[str]) -> dict[str, np.ndarray]:
    """The named statistics of every sample: float32 (M,) each, in the order of the registry."""
    columns = {}
    for estimate, statistics in _ESTIMATES.items():
        if any(s.name in names for s in statistics):
            shape = len(batch.lr), len(statistics)
            values = estimate(batch) if batch.size >= LEAST_SIZE else np.full(shape, np.nan)
            values = values.astype(np.float32).reshape(shape)
            columns.update({s.name: values[:, i] for i, s in enumerate(statistics) if s.name in names})
    return columns
