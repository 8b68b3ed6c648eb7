"""By what single number samples are told from photographs.

Statistics that hardly depend on what a picture shows, each asked alone: how often is it higher in a sample
than in a photograph? The area under the ROC curve says so; beside it stands what halves of the photographs
come to.
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
_LEAST = 8


@dataclass(frozen=True)
class Tell:
    """What one statistic alone tells.

    Attributes:
        name: of the statistic.
        auc: 0.5 to 1.
        floor: what 19 of 20 sets of other photographs would stay under, by random halves of them.
        more: samples have more of it than photographs.
    """

    name: str
    auc: float
    floor: float
    more: bool

    @property
    def most(self) -> float:
        """How large its area may be."""
        return most_area(self.floor)

    @property
    def excess(self) -> float:
        """Its area over chance, as a share of how much that may be: above 1 samples are told."""
        return (self.auc - 0.5) / (self.most - 0.5)


def tells(samples: pd.DataFrame, real: pd.DataFrame, seed: int = 0) -> list[Tell]:
    """What each of `TRACES` tells, the most telling first.

    Without those that too few patches have, and those that tell photographs from one another with certainty.
    """
    random = np.random.default_rng(seed)
    halves = random_halves(real["group"].to_numpy(), _SPLITS, random)
    found = []
    for name in TRACES:
        ours, theirs = (frame[name].to_numpy(np.float64) for frame in (samples, real))
        ours, finite = ours[np.isfinite(ours)], np.isfinite(theirs)
        if min(len(ours), finite.sum()) < _LEAST:
            continue
        area = auc(ours, theirs[finite])
        floors = [
            _folded(auc(theirs[finite & half], theirs[finite & ~half]))
            for half in halves
            if (finite & half).any() and (finite & ~half).any()
        ]
        # Halves hold half as many photographs as what is compared, and so differ by a root of 2 too much.
        floor = 0.5 + (float(np.quantile(floors, 0.95)) - 0.5) / np.sqrt(2)
        if floor < 1:
            found.append(Tell(name, _folded(area), floor, area > 0.5))
    return sorted(found, key=lambda tell: tell.excess, reverse=True)


def _folded(area: float) -> float:
    return max(area, 1 - area)
