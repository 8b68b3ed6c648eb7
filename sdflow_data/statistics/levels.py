"""Clipping at the ends of the range of grey levels."""

import numpy as np

from .batch import Batch, at_limits
from .registry import Statistic, measures


@measures(Statistic("clipped", "%", "lr", "share of samples of a channel at 0 or 255", headline=True))
def clipped(batch: Batch) -> np.ndarray:
    """Percent of the p * p * 3 values of a sample at 0 or 255."""
    return 100 * at_limits(batch.lr).mean(axis=(1, 2, 3))
