"""Natural-scene statistics: the 36 features of BRISQUE (Mittal, Moorthy and Bovik, IEEE TIP 2012).

The features need no trained weights. Locally normalised luma (MSCN) of a photograph is close to Gaussian.
Each degradation changes the shape of its distribution, and of that of products of neighbours, differently.
"""

from functools import lru_cache

import cv2
import numpy as np
from scipy import ndimage
from scipy.special import gamma

from .batch import Batch
from .registry import Statistic, measures

_SIGMA = 7 / 6
_DIRECTIONS = {"right": (0, 1), "down": (1, 0), "diagonal": (1, 1), "antidiagonal": (1, -1)}


def _statistics() -> list[Statistic]:
    found = []
    for scale in (1, 2):
        of = f"of locally normalised luma at scale 1/{scale}"
        found += [
            Statistic(f"nss{scale}_shape", "", "lr", f"shape {of}"),
            Statistic(f"nss{scale}_variance", "", "lr", f"variance {of}"),
        ]
        for name in _DIRECTIONS:
            pairs = f"of products of neighbours ({name}) {of}"
            found += [
                Statistic(f"nss{scale}_{name}_{quantity}", "", "lr", f"{quantity.replace('_', ' ')} {pairs}")
                for quantity in ("shape", "mean", "left_variance", "right_variance")
            ]
    return found


@measures(*_statistics())
def natural_scene_statistics(batch: Batch) -> np.ndarray:
    """(M, 36): 18 features at full size and 18 at half size."""
    half = np.stack(
        [cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for image in batch.grey]
    )
    return np.concatenate([_of_scale(batch.grey), _of_scale(half)], axis=1)


def _of_scale(grey: np.ndarray) -> np.ndarray:
    """(M, p, p) luma to the features (M, 18) of one scale."""
    normal = _locally_normalised(grey)
    flat = normal.reshape(len(normal), -1)
    variance = np.square(flat).mean(axis=1)
    features = [_gaussian_shape(np.square(np.abs(flat).mean(axis=1)) / np.maximum(variance, 1e-12)), variance]
    for down, right in _DIRECTIONS.values():
        here, there = _neighbours(normal, down, right)
        features += asymmetric_fit((here * there).reshape(len(normal), -1))
    return np.stack(features, axis=1)


def _locally_normalised(grey: np.ndarray) -> np.ndarray:
    """MSCN coefficients: luma minus the local mean, divided by the local deviation plus 1."""
    window = {"sigma": (0, _SIGMA, _SIGMA), "truncate": 2.6, "mode": "nearest"}  # 7x7
    mean = ndimage.gaussian_filter(grey, **window)
    variance = ndimage.gaussian_filter(grey * grey, **window) - mean * mean
    return (grey - mean) / (np.sqrt(variance.clip(0)) + 1)


def _neighbours(images: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    height, width = images.shape[1] - down, images.shape[2] - abs(right)
    start = max(0, -right)
    here = images[:, :height, start : start + width]
    there = images[:, down : down + height, start + right : start + right + width]
    return here, there


def asymmetric_fit(values: np.ndarray) -> list[np.ndarray]:
    """The asymmetric generalised Gaussian of each row, fitted by moments (Lasmar et al., ICIP 2009).

    Args:
        values: (M, n).

    Returns:
        Shape, mean, left variance and right variance, (M,) each.
    """
    negative = values < 0
    squares = np.square(values)
    left_count, right_count = negative.sum(axis=1), (~negative).sum(axis=1)
    left = (squares * negative).sum(axis=1) / np.maximum(left_count, 1)
    right = (squares * ~negative).sum(axis=1) / np.maximum(right_count, 1)
    skew = np.sqrt((left + 1e-12) / (right + 1e-12))
    ratio = np.square(np.abs(values).mean(axis=1)) / np.maximum(squares.mean(axis=1), 1e-12)
    shape = _gaussian_shape(ratio * (skew**3 + 1) * (skew + 1) / np.square(skew**2 + 1))
    spread = gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
    return [shape, (np.sqrt(right) - np.sqrt(left)) * spread, left, right]


def _gaussian_shape(ratio: np.ndarray) -> np.ndarray:
    """The shape of the generalised Gaussian whose (mean of |x|)^2 over mean of x^2 is ``ratio``."""
    ratios, shapes = _shape_table()
    return np.interp(ratio, ratios, shapes)


@lru_cache(maxsize=1)
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    shapes = np.arange(0.2, 10, 0.001)
    return gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes)), shapes
