"""Several datasets in the proportion of weights."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pairs import write_dataset
from torch.utils.data import DataLoader

from sdflow.errors import ArgumentError
from sdflow_data import MixedPairs, PairedShards
from sdflow_data.dataset.mixing import shares


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of 30 and of 4 samples."""
    folder = tmp_path_factory.mktemp("mixed")
    write_dataset(folder / "large")
    write_dataset(folder / "small", photographs=2, patches=1, variants=2)
    return [folder / "large", folder / "small"]


@pytest.fixture
def pairs(folders: list[Path]) -> list[PairedShards]:
    return [PairedShards(folder) for folder in folders]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.integers(1, 10_000))
def test_each_gets_its_share_to_within_one(weights: list[float], total: int) -> None:
    counts = np.diff(shares(weights, total), prepend=0)
    assert counts.sum() == total
    assert (np.abs(counts - np.array(weights) / sum(weights) * total) <= 1 + 1e-6).all()


def test_an_epoch_holds_the_samples_of_a_dataset_equally_often(pairs: list[PairedShards]) -> None:
    mixed = MixedPairs(pairs, [1, 1], samples=20)
    drawn = Counter(mixed.sample(index) for index in range(20))
    assert sum(count for (number, _), count in drawn.items() if number == 0) == 10
    assert max(count for (number, _), count in drawn.items() if number == 0) == 1
    small = [count for (number, _), count in drawn.items() if number == 1]
    assert sorted(small) == [2, 2, 3, 3]


def test_items_are_those_of_the_datasets(pairs: list[PairedShards]) -> None:
    mixed = MixedPairs(pairs, [2, 1])
    assert len(mixed) == 34
    for index in range(len(mixed)):
        number, place = mixed.sample(index)
        assert all(torch.equal(a, b) for a, b in zip(mixed[index], pairs[number][place]))


def test_another_epoch_holds_other_samples_and_the_same_one_the_same(pairs: list[PairedShards]) -> None:
    mixed = MixedPairs(pairs, [1, 1], samples=10)
    first = [mixed.sample(index) for index in range(10)]
    mixed.set_epoch(1)
    assert [mixed.sample(index) for index in range(10)] != first
    mixed.load_state_dict({"epoch": 0})
    assert [mixed.sample(index) for index in range(10)] == first


def test_workers_give_what_one_process_gives(pairs: list[PairedShards]) -> None:
    mixed = MixedPairs(pairs, [1, 3], samples=16)
    mixed.set_epoch(2)
    for ours, theirs in zip(DataLoader(mixed, 4, num_workers=2), DataLoader(mixed, 4)):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))


def test_what_does_not_go_together_is_refused(folders: list[Path], pairs: list[PairedShards]) -> None:
    with pytest.raises(ArgumentError, match="weights: expected one for each of 2 datasets, got 1"):
        MixedPairs(pairs, [1])
    with pytest.raises(ArgumentError, match="weights: expected finite numbers above 0"):
        MixedPairs(pairs, [1, float("nan")])
    with pytest.raises(ArgumentError, match="pairs: expected one scale and one size of HR items"):
        MixedPairs([pairs[0], PairedShards(folders[1], crop=8)], [1, 1])
    with pytest.raises(ArgumentError, match="samples: expected at least 1"):
        MixedPairs(pairs, [1, 1], samples=0)
