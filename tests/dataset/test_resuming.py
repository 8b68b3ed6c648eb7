"""Readers go on in the middle of an epoch, bit for bit, under a loader that keeps its place."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import write_dataset
from torch.utils.data import Dataset

from sdflow.errors import SDFlowError
from sdflow_data import MixedPairs, PairedShards, StreamedPairs
from sdflow_data.dataset.shards import ShardReader

torchdata = pytest.importorskip("torchdata.stateful_dataloader")

EPOCH, BATCH = 3, 4
Readers = dict[str, Callable[[], Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("pairs")).folder


@pytest.fixture(scope="module")
def readers(folder: Path) -> Readers:
    def shards() -> PairedShards:
        return PairedShards(folder, crop=8, augment=True)

    return {
        "shards": shards,
        "streamed": lambda: StreamedPairs(shards(), window=7),
        "mixed": lambda: MixedPairs([shards(), shards()], [1, 2], samples=25),
    }


def loader(reader: Dataset, workers: int, persistent: bool = False) -> Any:
    shuffle = None if isinstance(reader, StreamedPairs) else True
    return torchdata.StatefulDataLoader(
        reader, BATCH, shuffle=shuffle, num_workers=workers, persistent_workers=persistent
    )


def content(batches: Any) -> list[bytes]:
    return [hr.numpy().tobytes() + lr.numpy().tobytes() for hr, lr in batches]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["shards", "streamed", "mixed"])
def test_a_loader_goes_on_bit_for_bit_in_the_middle_of_an_epoch_that_nobody_sets(
    readers: Readers, kind: str, workers: int
) -> None:
    reader = readers[kind]()
    reader.set_epoch(EPOCH)
    first = loader(reader, workers)
    batches = iter(first)
    content(islice(batches, 3))
    state = first.state_dict()
    expected = content(batches)
    assert len(expected) >= 3

    second = loader(readers[kind](), workers)
    second.load_state_dict(state)
    assert content(second) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_the_epoch_after_one_that_was_resumed_is_whole(readers: Readers, workers: int) -> None:
    first = loader(readers["streamed"](), workers)
    batches = iter(first)
    content(islice(batches, 5))
    second = loader(readers["streamed"](), workers)
    second.load_state_dict(first.state_dict())
    content(second)
    assert content(second) == content(loader(readers["streamed"](), workers))


def test_a_state_taken_at_the_end_of_an_epoch_starts_another(readers: Readers) -> None:
    first = loader(readers["streamed"](), 0)
    whole = content(first)
    second = loader(readers["streamed"](), 0)
    second.load_state_dict(first.state_dict())
    assert (content(second) or content(second)) == whole  # it may first end the old one, without a batch


def test_a_stream_reads_nothing_on_its_way_to_where_it_goes_on(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = iter(readers["streamed"]())
    for _ in range(20):
        next(before)
    after = iter(readers["streamed"]())
    opened = []
    original = ShardReader.__init__

    def counted(self: ShardReader, path: Path, *others: Any) -> None:
        opened.append(path)
        original(self, path, *others)

    monkeypatch.setattr(ShardReader, "__init__", counted)
    after.load_state_dict(before.state_dict())
    assert opened == []
    assert np.array_equal(next(after)[0], next(before)[0])


@given(st.integers(0, 30))
def test_a_stream_goes_on_at_any_position(folder: Path, position: int) -> None:
    pairs = PairedShards(folder)
    stream = StreamedPairs(pairs, window=5)
    whole = content(((hr, lr) for hr, lr in stream))
    rest = iter(stream)
    rest.load_state_dict(iter(stream).state_dict() | {"position": position})
    assert content(rest) == whole[position:]


def test_a_state_of_other_samples_is_refused(folder: Path) -> None:
    state = iter(StreamedPairs(PairedShards(folder), window=5)).state_dict()
    with pytest.raises(SDFlowError, match="state: expected one of"):
        iter(StreamedPairs(PairedShards(folder), window=6)).load_state_dict(state)
