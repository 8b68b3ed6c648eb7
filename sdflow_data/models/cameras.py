"""Several cameras in one folder: photographs in groups of similar blur, noise and compression.

A mixture of normal distributions is fitted to these three properties of the photographs. The number of groups
minimises the Bayesian information criterion (Schwarz, Annals of Statistics 1978).
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
"""The key of the measured cameras in the ``training`` entry of a checkpoint's description."""

MOST_GROUPS = 5
"""The most cameras of a folder."""

LEAST_MEMBERS = 4
"""The least photographs of a camera; fewer are not enough to measure it."""

_ITERATIONS = 200
_STARTS = 8
_LEAST_SPREAD = (0.1, 0.1, 2.5)
"""Least standard deviations within a camera: blur in pixels, logarithm of the noise, JPEG quality."""

_FEATURES = ("blur", "noise", "quality")


@dataclass(frozen=True)
class CameraLook:
    """The properties of the photographs of one camera.

    Attributes:
        share: the share of all photographs.
        blur: median blur, in pixels; NaN if no photograph tells it.
        noise: median noise, in grey levels; NaN likewise.
        quality: median JPEG quality; 100 for no JPEG.
        spread: standard deviations of the blur, of the logarithm of the noise and of the quality.
    """

    share: float
    blur: float
    noise: float
    quality: float
    spread: tuple[float, float, float]

    def __str__(self) -> str:
        return self.with_codec("no JPEG" if self.quality >= 100 else f"JPEG {self.quality:.0f}")

    def with_codec(self, codec: str) -> str:
        """Share, blur, noise and a codec in words. What is NaN is left out."""
        values = {"blur": self.blur, "noise": self.noise}
        known = [f"{name} {value:.1f}" for name, value in values.items() if not math.isnan(value)]
        return f"{self.share:.0%} " + ", ".join([*known, codec])

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`. NaN becomes None (null in JSON)."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CameraLook":
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the value is anything else.
        """
        share, quality = float(value["share"]), float(value["quality"])
        blur, noise = (math.nan if value[name] is None else float(value[name]) for name in ("blur", "noise"))
        of_blur, of_noise, of_quality = (float(deviation) for deviation in value["spread"])
        look = cls(share, blur, noise, quality, (of_blur, of_noise, of_quality))
        above = share, quality, *look.spread
        if any(map(math.isinf, (blur, noise, *above))) or not all(number > 0 for number in above):
            raise ValueError(f"expected finite numbers, shares and deviations above 0, got {value}")
        return look


@dataclass(frozen=True)
class ModelCamera:
    """A checkpoint's description of a measured camera, beside its weights.

    Attributes:
        look: the properties of its photographs.
        codec: their compression.
    """

    look: CameraLook
    codec: Codec

    def __str__(self) -> str:
        return self.look.with_codec(str(self.codec))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {**self.look.to_json(), "codec": self.codec.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ModelCamera":
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the value is anything else.
        """
        return cls(CameraLook.from_json(value), Codec.from_json(value["codec"]))


@dataclass(frozen=True)
class CameraGroup:
    """Photographs that could be from one camera.

    Attributes:
        look: their properties.
        members: (n,), their rows in the frame.
    """

    look: CameraLook
    members: np.ndarray


def group_photographs(frame: pd.DataFrame, most: int = MOST_GROUPS) -> tuple[list[CameraGroup], int]:
    """Group photographs by their properties alone, the largest group first.

    These are the most cameras that a training takes. It measures each group, and merges groups that may be of
    one camera.

    Args:
        frame: one row per photograph with ``blur``, ``noise`` and ``quality``; NaN counts as the median.
        most: the most groups.

    Returns:
        The groups; and the number of photographs that were merged into other groups, because theirs had
        fewer than `LEAST_MEMBERS`.
    """
    if frame.empty:
        return [], 0
    filled = frame[list(_FEATURES)].astype(float)
    filled = filled.fillna(filled.median()).fillna(0.0)
    features = _features(filled) / _LEAST_SPREAD
    fits = [_fit(features, count) for count in range(1, min(most, len(features)) + 1)]
    best = min(fits, key=lambda fit: fit.criterion)
    groups, merged = looks_of(frame, best.labels), 0
    while len(groups) > 1 and len(groups[-1].members) < LEAST_MEMBERS:
        merged += len(groups[-1].members)
        groups = merged_into_nearest(frame, groups, -1)
    return groups, merged


def looks_of(frame: pd.DataFrame, labels: np.ndarray) -> list[CameraGroup]:
    """The groups of rows with equal labels, the largest first.

    Args:
        frame: see `group_photographs`.
        labels: int (rows,).
    """
    groups = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rows = frame.iloc[members][list(_FEATURES)].astype(float)
        blur, noise, quality = rows.median()
        spread = np.fmax(pd.DataFrame(_features(rows)).std(ddof=0), _LEAST_SPREAD)
        deviations = (float(spread[0]), float(spread[1]), float(spread[2]))
        groups.append(
            CameraGroup(CameraLook(len(members) / len(frame), blur, noise, quality, deviations), members)
        )
    return sorted(groups, key=lambda group: (-group.look.share, group.members[0]))


def nearest(looks: Sequence[CameraLook], frame: pd.DataFrame) -> np.ndarray:
    """The index of the likeliest look for each row of a frame, (n,). NaN values are left out."""
    centres = _features(
        pd.DataFrame([[look.blur, look.noise, look.quality] for look in looks], columns=_FEATURES)
    )
    spread = np.array([look.spread for look in looks])
    deviations = np.nan_to_num((_features(frame)[:, None] - centres) / spread)
    shares = np.array([look.share for look in looks])
    return (np.log(shares) - np.log(spread).sum(1) - 0.5 * np.square(deviations).sum(2)).argmax(1)


def merged_into_nearest(frame: pd.DataFrame, groups: Sequence[CameraGroup], number: int) -> list[CameraGroup]:
    """The groups after one of them is dissolved. Each of its photographs joins the likeliest other group."""
    members = groups[number].members
    others = [group for group in groups if group is not groups[number]]
    labels = _labels(frame, others)
    labels[members] = nearest([group.look for group in others], frame.iloc[members])
    return looks_of(frame, labels)


def united(
    frame: pd.DataFrame, groups: Sequence[CameraGroup], first: CameraGroup, second: CameraGroup
) -> list[CameraGroup]:
    """The groups after two of them are merged."""
    labels = _labels(frame, groups)
    labels[second.members] = labels[first.members[0]]
    return looks_of(frame, labels)


def _labels(frame: pd.DataFrame, groups: Sequence[CameraGroup]) -> np.ndarray:
    """(rows,): the index of the group of each row; undefined for rows without a group."""
    labels = np.empty(len(frame), int)
    for label, group in enumerate(groups):
        labels[group.members] = label
    return labels


def _features(frame: pd.DataFrame) -> np.ndarray:
    """(n, 3): blur, logarithm of the noise, quality."""
    blur, noise, quality = (frame[name].to_numpy(float) for name in _FEATURES)
    return np.stack([blur, np.log(noise + 0.25), quality], axis=1)


@dataclass(frozen=True)
class _Fit:
    criterion: float
    labels: np.ndarray


def _fit(features: np.ndarray, count: int) -> _Fit:
    """The best of several mixtures of ``count`` normal distributions with diagonal covariances."""
    starts = [
        _expectation_maximisation(features, count, start) for start in range(_STARTS if count > 1 else 1)
    ]
    likelihood, labels = max(starts, key=lambda found: found[0])
    parameters = count * 2 * features.shape[1] + count - 1
    return _Fit(parameters * np.log(len(features)) - 2 * likelihood, labels)


def _expectation_maximisation(features: np.ndarray, count: int, start: int) -> tuple[float, np.ndarray]:
    """Log likelihood, and the likeliest group of each row, from one choice of initial centres."""
    centres = _first_centres(features, count, np.random.default_rng(start))
    variances = np.ones_like(centres)
    weights = np.full(count, 1 / count)
    before = -np.inf
    for _ in range(_ITERATIONS):
        squares = np.square(features[:, None] - centres) / variances
        logs = np.log(weights) - 0.5 * (squares + np.log(2 * np.pi * variances)).sum(axis=2)
        total = np.logaddexp.reduce(logs, axis=1)
        likelihood = float(total.sum())
        if likelihood - before < 1e-6 * len(features):
            break
        before = likelihood
        responsibilities = np.exp(logs - total[:, None])
        mass = responsibilities.sum(axis=0) + 1e-9
        weights = mass / mass.sum()
        centres = responsibilities.T @ features / mass[:, None]
        spread = np.square(features[:, None] - centres)
        # Without a lower limit (1, in units of `_LEAST_SPREAD`), one camera would be split.
        variances = np.maximum(np.einsum("nk,nkd->kd", responsibilities, spread) / mass[:, None], 1.0)
    return likelihood, logs.argmax(axis=1)


def _first_centres(features: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Initial centres far from one another (k-means++, Arthur and Vassilvitskii, SODA 2007)."""
    chosen: list[np.ndarray] = [features[random.integers(len(features))]]
    while len(chosen) < count:
        squares = np.square(features[:, None] - np.stack(chosen)).sum(axis=2).min(axis=1)
        chances = squares / squares.sum() if squares.sum() else None
        chosen.append(features[random.choice(len(features), p=chances)])
    return np.stack(chosen)


def in_words(groups: Sequence[CameraGroup]) -> str:
    """A description of the groups in one line."""
    return "; ".join(str(group.look) for group in groups)


def cameras_of(checkpoint: Path, count: int | None = None) -> list[ModelCamera]:
    """The measured cameras in the description (``model.json``) of a checkpoint; empty if it has none.

    Args:
        checkpoint: the folder of the checkpoint.
        count: the number of cameras of its weights; None if it is not known.

    Raises:
        SDFlowError: the entry is unusable, or has another number of cameras.
    """
    try:
        cameras = [
            ModelCamera.from_json(value)
            for value in read_description(checkpoint)["training"].get(CAMERAS_KEY, [])
        ]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SDFlowError(f"{checkpoint / DESCRIPTION}: unusable {CAMERAS_KEY}: {error!r}") from error
    if cameras and count not in (None, len(cameras)):
        raise SDFlowError(f"{checkpoint / DESCRIPTION}: expected {count} {CAMERAS_KEY}, found {len(cameras)}")
    return cameras
