"""Several cameras in one folder: photographs in groups of like blur, noise and compression.

A mixture of normal distributions over what was measured of each photograph; the number of groups is the one
of the lowest Bayesian information criterion (Schwarz, 1978).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdflow.checkpoint import DESCRIPTION, read_description
from sdflow.errors import SDFlowError

from ..images.codec import Codec

CAMERAS_KEY = "cameras"
"""Under which a checkpoint's description of its training tells of its measured cameras."""

MOST_GROUPS = 5
"""Cameras of a folder at most."""
LEAST_MEMBERS = 4
"""Photographs of a camera at least: fewer say too little of it."""
_ITERATIONS = 200
_STARTS = 8
_LEAST_SPREAD = (0.1, 0.1, 2.5)
"""Deviations that estimates of one camera have at least: blur in pixels, log of the noise, JPEG quality."""
_FEATURES = ("blur", "noise", "quality")


@dataclass(frozen=True)
class CameraLook:
    """What photographs of one camera look like, among others.

    Attributes:
        share: of all photographs.
        blur, noise, quality: medians: pixels, grey levels, JPEG quality (100: none).
        spread: deviations of the blur, of the log of the noise and of the quality.
    """

    share: float
    blur: float
    noise: float
    quality: float
    spread: tuple[float, float, float]

    def __str__(self) -> str:
        jpeg = "no JPEG" if self.quality >= 100 else f"JPEG {self.quality:.0f}"
        return f"{self.share:.0%} blur {self.blur:.1f}, noise {self.noise:.1f}, {jpeg}"

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CameraLook":
        """What ``dataclasses.asdict`` made.

        Raises:
            ValueError, TypeError, KeyError: anything else.
        """
        share, blur, noise, quality = (float(value[name]) for name in ("share", *_FEATURES))
        of_blur, of_noise, of_quality = (float(deviation) for deviation in value["spread"])
        look = cls(share, blur, noise, quality, (of_blur, of_noise, of_quality))
        if not all(map(math.isfinite, (blur, noise, quality))) or not min(share, *look.spread) > 0:
            raise ValueError(f"expected finite numbers, shares and deviations above 0, got {value}")
        return look


@dataclass(frozen=True)
class ModelCamera:
    """What a checkpoint tells of a measured camera beside its weights."""

    look: CameraLook
    codec: Codec

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {**asdict(self.look), "codec": self.codec.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ModelCamera":
        """What `to_json` made.

        Raises:
            ValueError, TypeError, KeyError: anything else.
        """
        return cls(CameraLook.from_json(value), Codec.from_json(value["codec"]))


@dataclass(frozen=True)
class CameraGroup:
    """Photographs that look as if one camera had taken them: their look, and their rows in the frame."""

    look: CameraLook
    members: np.ndarray


def group_photographs(frame: pd.DataFrame, most: int = MOST_GROUPS) -> list[CameraGroup]:
    """Group photographs, the largest group first.

    Args:
        frame: a row per photograph with ``blur``, ``noise`` and ``quality``; what could not be measured (NaN)
            counts as the median of the others.
        most: groups at most.
    """
    if frame.empty:
        return []
    told = frame[list(_FEATURES)].astype(float)
    told = told.fillna(told.median()).fillna(0.0)
    features = _features(told) / _LEAST_SPREAD
    fits = [_fit(features, count) for count in range(1, min(most, len(features)) + 1)]
    best = min(fits, key=lambda fit: fit.criterion)
    return looks_of(told, best.groups)


def looks_of(frame: pd.DataFrame, numbers: np.ndarray) -> list[CameraGroup]:
    """The groups of rows of the same number, the largest first."""
    groups = []
    for number in np.unique(numbers):
        members = np.flatnonzero(numbers == number)
        told = frame.iloc[members][list(_FEATURES)].astype(float)
        blur, noise, quality = told.median().fillna(0.0)
        spread = np.fmax(pd.DataFrame(_features(told)).std(ddof=0), _LEAST_SPREAD)
        deviations = (float(spread[0]), float(spread[1]), float(spread[2]))
        groups.append(
            CameraGroup(CameraLook(len(members) / len(frame), blur, noise, quality, deviations), members)
        )
    return sorted(groups, key=lambda group: (-group.look.share, group.members[0]))


def nearest(looks: Sequence[CameraLook], frame: pd.DataFrame) -> np.ndarray:
    """The likeliest of the looks of each row, (n,); what could not be measured (NaN) speaks for none."""
    centres = _features(
        pd.DataFrame([[look.blur, look.noise, look.quality] for look in looks], columns=_FEATURES)
    )
    spread = np.array([look.spread for look in looks])
    off = np.nan_to_num((_features(frame)[:, None] - centres) / spread)
    shares = np.array([look.share for look in looks])
    return (np.log(shares) - np.log(spread).sum(1) - 0.5 * np.square(off).sum(2)).argmax(1)


def merged_into_nearest(frame: pd.DataFrame, groups: Sequence[CameraGroup], number: int) -> list[CameraGroup]:
    """The groups without that one, whose photographs go to the likeliest of the others each."""
    others = [group for place, group in enumerate(groups) if place != number]
    numbers = np.empty(len(frame), int)
    for place, group in enumerate(others):
        numbers[group.members] = place
    members = groups[number].members
    numbers[members] = nearest([group.look for group in others], frame.iloc[members])
    return looks_of(frame, numbers)


def united(
    frame: pd.DataFrame, groups: Sequence[CameraGroup], first: CameraGroup, second: CameraGroup
) -> list[CameraGroup]:
    """The groups with two of them as one."""
    numbers = np.empty(len(frame), int)
    for place, group in enumerate(groups):
        numbers[group.members] = place
    numbers[second.members] = numbers[first.members[0]]
    return looks_of(frame, numbers)


def _features(frame: pd.DataFrame) -> np.ndarray:
    """(n, 3): blur, logarithm of the noise, quality."""
    blur, noise, quality = (frame[name].to_numpy(float) for name in _FEATURES)
    return np.stack([blur, np.log(noise + 0.25), quality], axis=1)


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
    return "; ".join(str(group.look) for group in groups)


def cameras_of(checkpoint: Path) -> list[ModelCamera]:
    """The measured cameras that a checkpoint's ``model.json`` tells of; none where it tells of none.

    Raises:
        SDFlowError: it tells of something else.
    """
    try:
        return [
            ModelCamera.from_json(value)
            for value in read_description(checkpoint)["training"].get(CAMERAS_KEY, [])
        ]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SDFlowError(f"{checkpoint / DESCRIPTION}: unusable {CAMERAS_KEY}: {error!r}") from error
