"""How well single statistics distinguish samples from photographs.

Only statistics that hardly depend on the scene are tested. Each is tested alone by its area under the ROC
curve (AUC): the chance that it is higher in a sample than in a photograph. The AUC of random halves of the
photographs is the reference.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..statistics.distances import random_halves
from .classifier import auc, most_area

TRACES = (
    "colour_grid",
    "colour_grid_mean",
    "colour_grid_variance",
    "colour_correlation",
    "modulation_x",
    "modulation_y",
    "blockiness",
    "blockiness_corner",
    "noise_on_brightness",
    "noise_on_texture",
)

_SPLITS = 20
_LEAST_VALUES = 8


@dataclass(frozen=True)
class SingleStatistic:
    """The result of one statistic.

    Attributes:
        name: the name of the statistic.
        auc: the AUC, from 0.5 (cannot distinguish them) to 1 (always does).
        floor: the 95 % quantile of the AUC of photographs against other photographs.
        more: whether samples have higher values than photographs.
    """

    name: str
    auc: float
    floor: float
    more: bool

    @property
    def most(self) -> float:
        """The largest AUC that passes."""
        return most_area(self.floor)

    @property
    def excess(self) -> float:
        """The AUC above chance, as a fraction of the largest that passes; above 1 it fails."""
        return (self.auc - 0.5) / (self.most - 0.5)


def single_statistics(samples: pd.DataFrame, real: pd.DataFrame, seed: int = 0) -> list[SingleStatistic]:
    """The results of `TRACES`, the largest excess first.

    Statistics that fewer than eight patches have are left out, and so are those whose floor is 1.

    Args:
        samples, real: frames; samples of one photograph have the same value of ``group``.
        seed: the seed of the random halves.
    """
    random = np.random.default_rng(seed)
    halves = random_halves(real["group"].to_numpy(), _SPLITS, random)
    found = []
    for name in TRACES:
        ours, theirs = (frame[name].to_numpy(np.float64) for frame in (samples, real))
        ours, finite = ours[np.isfinite(ours)], np.isfinite(theirs)
        if min(len(ours), finite.sum()) < _LEAST_VALUES:
            continue
        area = auc(ours, theirs[finite])
        floors = [
            _folded(auc(theirs[finite & half], theirs[finite & ~half]))
            for half in halves
            if (finite & half).any() and (finite & ~half).any()
        ]
        # Halves have half as many photographs as the compared sets, so they differ sqrt(2) times as much.
        floor = 0.5 + (float(np.quantile(floors, 0.95)) - 0.5) / np.sqrt(2)
        if floor < 1:
            found.append(SingleStatistic(name, _folded(area), floor, area > 0.5))
    return sorted(found, key=lambda one: one.excess, reverse=True)


def _folded(area: float) -> float:
    return max(area, 1 - area)
