"""Degradation statistics of LR patches and of LR/HR pairs, in grey levels (0 to 255) and LR pixels."""

import numpy as np

from . import (  # noqa: F401  (they register their statistics)
    compression,
    levels,
    naturalness,
    noise,
    randomness,
    residual,
    sharpness,
    spectrum,
    traces,
    transfer,
)
from .batch import Batch
from .compare import MMDComparison, compare, compare_features
from .frames import LR_COLUMNS, bicubic_frame, frame_of_images, frame_of_pairs, frame_of_patches
from .registry import STATISTICS, Statistic, measure

__all__ = [
    "CHEAP_COLUMNS",
    "LR_COLUMNS",
    "STATISTICS",
    "Batch",
    "MMDComparison",
    "Statistic",
    "bicubic_frame",
    "cheap_statistics",
    "compare",
    "compare_features",
    "frame_of_images",
    "frame_of_pairs",
    "frame_of_patches",
    "measure",
]

CHEAP_COLUMNS: tuple[str, ...] = tuple(s.name for s in STATISTICS.values() if s.cheap)
"""The statistics in every manifest."""


def cheap_statistics(hr: np.ndarray, lr: np.ndarray) -> dict[str, np.ndarray]:
    """The statistics of the manifest for all variants of one patch.

    Args:
        hr: uint8 (P, P, 3).
        lr: uint8 (K, p, p, 3).

    Returns:
        float32 (K,) for each of `CHEAP_COLUMNS`; NaN if a sample does not determine it.
    """
    return measure(Batch(lr[None], hr[None]), CHEAP_COLUMNS)
