"""Comparison of a set of patches with real photographs, for each statistic and for all together.

A distance is reported between a floor, the distance of real photographs from other real photographs, and a
ceiling, the distance of bicubic LR from them. 0 % of the way is as good as real; 100 % is a dataset without
any degradation.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import distances
from .registry import STATISTICS

_MOST_IN_MMD = 1000
"""The most samples of a set in an MMD, whose cost is quadratic in them."""

_COLUMNS = (
    *("unit", "description", "generated", "real", "bicubic", "distance", "low", "high"),
    *("floor", "ceiling", "position", "nearer"),
)

_INFORMATIVE = 1.5
"""From this ratio of ceiling to floor on, a statistic distinguishes real from bicubic."""


def compare(
    generated: pd.DataFrame, real: pd.DataFrame, bicubic: pd.DataFrame | None = None, seed: int = 0
) -> pd.DataFrame:
    """The table of all statistics that both sets have.

    Args:
        generated, real, bicubic: frames; samples of one photograph have the same value of ``group``.
        seed: the seed of the bootstrap and the splits.

    Returns:
        One row per statistic, with its name as index:
        ``unit``, ``description``; ``generated``, ``real``, ``bicubic``: medians;
        ``distance``: Wasserstein-1 of generated from real, in the unit; ``low``, ``high``: its 90 % interval;
        ``floor``: real from real; ``ceiling``: bicubic from real;
        ``position``: position of the distance from floor (0) to ceiling (1), NaN if these are alike;
        ``nearer``: whether generated is nearer to real than bicubic.
    """
    random = np.random.default_rng(seed)
    rows = {}
    for name, statistic in STATISTICS.items():
        if name in generated and name in real:
            sets = [_sample(frame, name) for frame in (generated, real, bicubic)]
            row = _compare(sets[0], sets[1], sets[2], random)
            rows[name] = {"unit": statistic.unit, "description": statistic.description, **row}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS)).rename_axis("statistic")


def _sample(frame: pd.DataFrame | None, name: str) -> distances.Sample:
    if frame is None or name not in frame:
        return distances.sample_of(np.empty(0), np.empty(0))
    return distances.sample_of(frame[name].to_numpy(), frame["group"].to_numpy())


def _compare(
    generated: distances.Sample,
    real: distances.Sample,
    bicubic: distances.Sample,
    random: np.random.Generator,
) -> dict[str, object]:
    row: dict[str, object] = {
        side: float(np.median(sample.values)) if len(sample.values) else np.nan
        for side, sample in (("generated", generated), ("real", real), ("bicubic", bicubic))
    }
    row |= dict.fromkeys(_COLUMNS[5:-1], np.nan) | {"nearer": None}
    if len(real.values) < 2 or not len(generated.values):
        return row
    distance, floor = distances.wasserstein(generated, real), distances.floor(real, random)
    low, high = distances.interval(generated, real, random)
    row |= {"distance": distance, "low": low, "high": high, "floor": floor}
    if not len(bicubic.values):
        return row
    ceiling = distances.wasserstein(bicubic, real)
    return row | {
        "ceiling": ceiling,
        "position": position(distance, floor, ceiling),
        "nearer": distance < ceiling,
    }


def position(distance: float, floor: float, ceiling: float) -> float:
    """The position of a distance from floor (0) to ceiling (1), at least 0; NaN if these are alike."""
    if not ceiling > _INFORMATIVE * floor:
        return np.nan
    return max(0.0, (distance - floor) / (ceiling - floor))


@dataclass(frozen=True)
class MMDComparison:
    """Squared MMD from the real set, over all statistics that need no HR together.

    Attributes:
        distance: of the generated set.
        floor: of halves of the real set from one another.
        ceiling: of bicubic LR.
    """

    distance: float
    floor: float
    ceiling: float

    @property
    def position(self) -> float:
        """The position of the distance from floor (0) to ceiling (1)."""
        return position(self.distance, self.floor, self.ceiling)


def compare_features(
    generated: pd.DataFrame, real: pd.DataFrame, bicubic: pd.DataFrame, seed: int = 0
) -> MMDComparison:
    """Squared MMD over the features of `FeatureScale`.

    The bandwidth is the median distance of real samples. The floor is the mean over five splits of real.

    Args:
        generated, real, bicubic: frames with a column ``group`` and all statistics that need no HR.
        seed: the seed of the splits.
    """
    random = np.random.default_rng(seed)
    scale = FeatureScale(real)
    kept = [_thinned(frame) for frame in (generated, real, bicubic)]
    features = [scale(frame) for frame in kept]
    bandwidth = distances.median_distance(features[1])
    halves = distances.random_halves(kept[1]["group"].to_numpy(), 5, random)
    floors = [distances.mmd(features[1][half], features[1][~half], bandwidth) for half in halves]
    return MMDComparison(
        distance=distances.mmd(features[0], features[1], bandwidth),
        floor=float(np.mean(floors)),
        ceiling=distances.mmd(features[2], features[1], bandwidth),
    )


class FeatureScale:
    """Converts frames to features: every statistic that needs no HR, standardised by a real set.

    A feature is the value minus the median of the real set, divided by half of its central 68 % range.
    """

    def __init__(self, real: pd.DataFrame) -> None:
        self.names = [s.name for s in STATISTICS.values() if s.needs == "lr" and real[s.name].notna().any()]
        values = real[self.names]
        self._middle = values.median()
        spread = (values.quantile(0.84) - values.quantile(0.16)) / 2
        self._spread = spread.where(spread > 1e-6, values.std().clip(lower=1e-6))

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        """(rows, features); missing values count as the median, and values are clipped to 10."""
        scaled = (frame[self.names] - self._middle) / self._spread
        return scaled.clip(-10, 10).fillna(0.0).to_numpy(np.float64)


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:: -(-len(frame) // _MOST_IN_MMD)]
