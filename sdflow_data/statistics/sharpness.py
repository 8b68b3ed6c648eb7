"""The steepness of edges."""

import numpy as np
from scipy import ndimage

from .batch import Batch
from .registry import Statistic, measures

_WINDOW = 5
_STRONGEST = 0.02
_LEAST_CONTRAST = 32.0


@measures(
    Statistic(
        "sharpness",
        "1/pixel",
        "lr",
        "share of the local contrast that the strongest edges cross per pixel",
        headline=True,
        cheap=True,
    )
)
def sharpness(batch: Batch) -> np.ndarray:
    """Ratio of gradient to local contrast, over the 2 % of pixels with the steepest gradients.

    The ratio does not depend on the contrast of the scene, and hardly on noise. NaN if the local contrast
    (the range within 5x5 pixels) of these pixels is under 32 levels: the patch has no edges.
    """
    grey = batch.grey
    gradient = np.hypot(*np.gradient(grey, axis=(1, 2)))
    window = (1, _WINDOW, _WINDOW)
    contrast = ndimage.maximum_filter(grey, window) - ndimage.minimum_filter(grey, window)
    inner = (slice(None), slice(1, -1), slice(1, -1))  # gradients at the border are one-sided
    gradient, contrast = (values[inner].reshape(len(grey), -1) for values in (gradient, contrast))
    count = max(1, int(_STRONGEST * gradient.shape[1]))
    edges = np.argpartition(gradient, -count, axis=1)[:, -count:]
    gradient, contrast = (
        np.take_along_axis(values, edges, axis=1).mean(axis=1) for values in (gradient, contrast)
    )
    return np.where(contrast >= _LEAST_CONTRAST, gradient / np.maximum(contrast, 1e-6), np.nan)
