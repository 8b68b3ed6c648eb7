"""Distances between sets of patches: Wasserstein-1 of one statistic, and the MMD of many."""

from dataclasses import dataclass

import numpy as np

_BOOTSTRAPS, _SPLITS = 200, 20
_MOST_SAMPLES = 4000
"""The most samples of a set in the bootstrap; its precision depends on the number of photographs."""


@dataclass(frozen=True)
class Sample:
    """Values of one statistic, each with its photograph; made by `sample_of`.

    Attributes:
        values: float64 (n,), finite.
        groups: int (n,), the photographs, numbered from 0.
    """

    values: np.ndarray
    groups: np.ndarray


def sample_of(values: np.ndarray, groups: np.ndarray) -> Sample:
    """The finite values (n,), thinned out evenly to a bounded number, with their groups numbered from 0.

    With fewer than three photographs every value is a group of its own, because there are too few photographs
    to resample.
    """
    finite = np.flatnonzero(np.isfinite(values))
    finite = finite[:: -(-len(finite) // _MOST_SAMPLES) or 1]
    labels = np.unique(groups[finite], return_inverse=True)[1]
    if len(finite) and labels.max() < 2:
        labels = np.arange(len(finite))
    return Sample(np.asarray(values, np.float64)[finite], labels)


def wasserstein(a: Sample, b: Sample) -> float:
    """Wasserstein-1 distance: the mean shift of values that transports one set to the other."""
    return float(_Difference(a, b).distances(np.ones((1, len(a.values))), np.ones((1, len(b.values))))[0])


def interval(a: Sample, b: Sample, random: np.random.Generator) -> tuple[float, float]:
    """A 90 % interval of `wasserstein`, by a bootstrap over photographs.

    This is the basic bootstrap. Resampled distances are too large by about as much as the distance itself, so
    they are mirrored at it. The interval is too narrow near the floor, because distances are at least 0.
    """
    weights = [_resampled(sample.groups, random) for sample in (a, b)]
    low, high = np.quantile(_Difference(a, b).distances(*weights), [0.05, 0.95])
    middle = wasserstein(a, b)
    return max(0.0, float(2 * middle - high)), max(middle, float(2 * middle - low))


def floor(real: Sample, random: np.random.Generator) -> float:
    """The mean distance between halves of the real set, split by photograph: the effect of chance alone.

    Halves are smaller than the compared sets, so a set of the same distribution may reach half of it.
    """
    halves = random_halves(real.groups, _SPLITS, random).astype(np.float64)
    return float(_Difference(real, real).distances(halves, 1.0 - halves).mean())


def random_halves(groups: np.ndarray, splits: int, random: np.random.Generator) -> np.ndarray:
    """Random halves of the photographs, or of the patches with fewer than three photographs.

    Args:
        groups: (n,), the photograph of each patch.

    Returns:
        bool (splits, n).
    """
    labels = np.unique(groups, return_inverse=True)[1]
    if labels.max(initial=0) < 2:
        labels = np.arange(len(groups))
    count = labels.max(initial=0) + 1
    order = random.permuted(np.tile(np.arange(count), (splits, 1)), axis=1)
    halves: np.ndarray = (order < count // 2)[:, labels]
    return halves


def _resampled(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(bootstraps, n): the multiplicity of each value when groups are drawn with replacement."""
    count = groups.max() + 1
    drawn = random.multinomial(count, np.full(count, 1 / count), size=_BOOTSTRAPS)
    return drawn[:, groups].astype(np.float64)


class _Difference:
    """The area between two weighted distribution functions, for many weightings of the same values."""

    def __init__(self, a: Sample, b: Sample) -> None:
        values = np.concatenate([a.values, b.values])
        self._order = np.argsort(values, kind="stable")
        self._gaps = np.diff(values[self._order])

    def distances(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(r,) from weights (r, len(a)) and (r, len(b)), of any sum above 0."""
        shares = np.concatenate([a / a.sum(axis=1, keepdims=True), -b / b.sum(axis=1, keepdims=True)], axis=1)
        return np.abs(np.cumsum(shares[:, self._order], axis=1)[:, :-1]) @ self._gaps


def mmd(a: np.ndarray, b: np.ndarray, bandwidth: float) -> float:
    """Squared maximum mean discrepancy of features (n, d) and (m, d).

    The unbiased estimate, about 0 for equal distributions (Gretton et al., JMLR 2012, equation 3). The kernel
    is the mean of Gaussians of half, once and twice the bandwidth. NaN if a set has fewer than two rows.
    """
    if min(len(a), len(b)) < 2:
        return np.nan
    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
        for k in (_kernel(a, a, bandwidth), _kernel(b, b, bandwidth))
    ]
    return float(sum(within) - 2 * _kernel(a, b, bandwidth).mean())


def median_distance(features: np.ndarray) -> float:
    """The median distance of all pairs of rows, a bandwidth for `mmd`; at least 1e-6."""
    squared = squared_distances(features, features)[np.triu_indices(len(features), 1)]
    return max(1e-6, float(np.sqrt(np.median(squared)))) if len(squared) else np.nan


def _kernel(a: np.ndarray, b: np.ndarray, bandwidth: float) -> np.ndarray:
    squared = squared_distances(a, b)
    return np.mean([np.exp(-squared / (2 * (factor * bandwidth) ** 2)) for factor in (0.5, 1, 2)], axis=0)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m): squared distances of the rows of (n, d) from those of (m, d)."""
    return (np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T).clip(0)
