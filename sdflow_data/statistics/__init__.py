"""Degradation statistics of LR patches and of LR/HR pairs, in grey levels (0 to 255) and LR pixels."""

import numpy as np

from . import noise, residual, sharpness, transfer  # noqa: F401  (they register their statistics)
from .batch import Batch
from .registry import STATISTICS, Statistic, measure

__all__ = ["CHEAP_COLUMNS", "STATISTICS", "Batch", "Statistic", "cheap_statistics", "measure"]

CHEAP_COLUMNS: tuple[str, ...] = tuple(s.name for s in STATISTICS.values() if s.cheap)
"""The statistics that every manifest has."""


def cheap_statistics(hr: np.ndarray, lr: np.ndarray) -> dict[str, np.ndarray]:
    """The statistics for the manifest, of all variants of one patch.

    Args:
        hr: uint8 (P, P, 3).
        lr: uint8 (K, p, p, 3).

    Returns:
        float32 (K,) for each of `CHEAP_COLUMNS`; NaN where a sample does not tell.
    """
    return measure(Batch(lr[None], hr[None]), CHEAP_COLUMNS)
