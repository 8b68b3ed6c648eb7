"""Several cameras in one folder: photographs in groups of like blur, noise and compression.

A mixture of normal distributions over what was measured of each photograph; the number of groups is the one
of the lowest Bayesian information criterion (Schwarz, 1978).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_GROUPS = 5
_ITERATIONS = 200
_STARTS = 8
_LEAST_SPREAD = (0.1, 0.1, 2.5)
"""Deviations that estimates of one camera have at least: blur in pixels, log of the noise, JPEG quality."""


@dataclass(frozen=True)
class CameraGroup:
    """Photographs that look as if one camera had taken them.

    Attributes:
        share: of all photographs.
        members: rows of the frame that are most likely of this group.
        blur, noise, quality: medians of its members: pixels, grey levels, JPEG quality (100: none).
    """

    share: float
    members: np.ndarray
    blur: float
    noise: float
    quality: float


def group_photographs(frame: pd.DataFrame, most: int = MOST_GROUPS) -> list[CameraGroup]:
    """Group photographs, the largest group first.

    Args:
        frame: a row per photograph with ``blur``, ``noise`` and ``quality``; what could not be measured (NaN)
            counts as the median of the others.
        most: groups at most.
    """
    if frame.empty:
        return []
    told = frame[["blur", "noise", "quality"]].astype(float)
    told = told.fillna(told.median()).fillna(0.0)
    features = np.stack([told["blur"], np.log(told["noise"] + 0.25), told["quality"]], axis=1)
    features /= np.array(_LEAST_SPREAD)
    fits = [_fit(features, count) for count in range(1, min(most, len(features)) + 1)]
    best = min(fits, key=lambda fit: fit.criterion)
    groups = []
    for number in range(len(best.weights)):
        members = np.flatnonzero(best.groups == number)
        if len(members):
            blur, noise, quality = told.iloc[members].median()
            groups.append(CameraGroup(len(members) / len(frame), members, blur, noise, quality))
    return sorted(groups, key=lambda group: (-group.share, group.members[0]))


@dataclass(frozen=True)
class _Fit:
    criterion: float
    weights: np.ndarray
    groups: np.ndarray


def _fit(features: np.ndarray, count: int) -> _Fit:
    """The best of several mixtures of ``count`` normal distributions with diagonal covariances."""
    starts = [
        _expectation_maximisation(features, count, start) for start in range(_STARTS if count > 1 else 1)
    ]
    likelihood, weights, groups = max(starts, key=lambda found: found[0])
    numbers = count * 2 * features.shape[1] + count - 1
    return _Fit(numbers * np.log(len(features)) - 2 * likelihood, weights, groups)


def _expectation_maximisation(
    features: np.ndarray, count: int, start: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log likelihood, weights and the likeliest group of each row, from one choice of first centres."""
    centres = _first_centres(features, count, np.random.default_rng(start))
    variances = np.ones_like(centres)
    weights = np.full(count, 1 / count)
    before = -np.inf
    for _ in range(_ITERATIONS):
        off = np.square(features[:, None] - centres) / variances
        logs = np.log(weights) - 0.5 * (off + np.log(2 * np.pi * variances)).sum(axis=2)
        total = np.logaddexp.reduce(logs, axis=1)
        likelihood = float(total.sum())
        if likelihood - before < 1e-6 * len(features):
            break
        before = likelihood
        belongs = np.exp(logs - total[:, None])
        mass = belongs.sum(axis=0) + 1e-9
        weights = mass / mass.sum()
        centres = belongs.T @ features / mass[:, None]
        spread = np.square(features[:, None] - centres)
        # Estimates of one camera spread by 1 at least, in these units; fewer would split it.
        variances = np.maximum(np.einsum("nk,nkd->kd", belongs, spread) / mass[:, None], 1.0)
    return likelihood, weights, logs.argmax(axis=1)


def _first_centres(features: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Rows far from one another (k-means++, Arthur and Vassilvitskii, 2007)."""
    chosen: list[np.ndarray] = [features[random.integers(len(features))]]
    while len(chosen) < count:
        off = np.square(features[:, None] - np.stack(chosen)).sum(axis=2).min(axis=1)
        chances = off / off.sum() if off.sum() else None
        chosen.append(features[random.choice(len(features), p=chances)])
    return np.stack(chosen)


def in_words(groups: Sequence[CameraGroup]) -> str:
    """The groups, for people."""
    return "; ".join(
        f"{group.share:.0%} blur {group.blur:.1f}, noise {group.noise:.1f}, "
        + ("no JPEG" if group.quality >= 100 else f"JPEG {group.quality:.0f}")
        for group in groups
    )
