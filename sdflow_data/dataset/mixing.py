"""A mixture of datasets in given proportions."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from sdflow.errors import ArgumentError
from sdflow.wording import counted

from .reading import Pair, PairedShards


class MixedPairs(Dataset[Pair]):
    """Samples of several datasets, in proportion to weights.

    If a dataset is larger than its share, an epoch contains some of its samples, and the next epoch others.
    If it is smaller, its samples are repeated equally often, up to a difference of one. The samples of a
    dataset have consecutive indices, so the loader should shuffle.

    Args:
        pairs: the datasets, of one scale, with items of one size.
        weights: one weight above 0 for each dataset.
        samples: the number of samples in an epoch; None for the sum over all datasets.
        seed: the seed of the choice of samples.

    Raises:
        ArgumentError: the weights or the datasets do not fit together.
    """

    def __init__(
        self,
        pairs: Sequence[PairedShards],
        weights: Sequence[float],
        *,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        if not pairs or len(weights) != len(pairs):
            raise ArgumentError(
                "weights", f"expected one for each of {counted(len(pairs), 'dataset')}, got {len(weights)}"
            )
        if not all(0 < weight < np.inf for weight in weights):
            raise ArgumentError("weights", f"expected finite numbers above 0, got {list(weights)}")
        sizes = sorted({(each.scale, each.item_size) for each in pairs})
        if len(sizes) > 1:
            found = ", ".join(f"scale {scale} with {size} pixels" for scale, size in sizes)
            raise ArgumentError("pairs", f"expected one scale and one size of HR items, got {found}")
        total = sum(map(len, pairs)) if samples is None else samples
        if total < 1:
            raise ArgumentError("samples", f"expected at least 1, got {total}")
        self.scale = pairs[0].scale
        self._pairs, self._seed = tuple(pairs), seed
        self._ends = shares(weights, total)
        self._orders: dict[tuple[int, int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def epoch(self) -> int:
        """The epoch, initially 0; see :meth:`set_epoch`."""
        return self._pairs[0].epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes samples, crops and symmetries, in running workers too."""
        for pairs in self._pairs:
            pairs.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """The epoch."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the epoch of a state."""
        self.set_epoch(state["epoch"])

    def __getitem__(self, index: int) -> Pair:
        number, in_dataset = self.sample(index)
        return self._pairs[number][in_dataset]

    def sample(self, index: int) -> tuple[int, int]:
        """The dataset of an item of this epoch, and the index of the sample in it."""
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        repetition, position = divmod(index - start, len(self._pairs[number]))
        return number, int(self._order(number, repetition)[position])

    def _order(self, number: int, repetition: int) -> np.ndarray:
        """The order of the samples of a dataset in one of their repetitions."""
        key = (self.epoch, number, repetition)
        if key not in self._orders:
            self._orders = {known: order for known, order in self._orders.items() if known[0] == self.epoch}
            random = np.random.default_rng([self._seed, *key])
            self._orders[key] = random.permutation(len(self._pairs[number]))
        return self._orders[key]


def shares(weights: Sequence[float], total: int) -> np.ndarray:
    """The ends of shares of ``total`` in proportion to weights, int64 (weights,); exact within 1."""
    ends = np.cumsum(np.asarray(weights, np.float64) / np.max(weights))
    return np.round(ends / ends[-1] * total).astype(np.int64)
