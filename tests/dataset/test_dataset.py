"""Pairs for PyTorch: aligned, complete, and the same whatever the workers."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pairs import write_dataset
from torch.utils.data import DataLoader

from sdflow.errors import SDFlowError
from sdflow.files import write_file
from sdflow_data import PairedShards, StreamedPairs
from sdflow_data.dataset.manifest import finish_dataset, read_dataset
from sdflow_data.dataset.reading import equal_share, split, stream_order
from sdflow_data.dataset.shards import ShardWriter, shard_path

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 shards of 2 patches with 3 variants each, HR of 16 pixels, LR of 8."""
    return write_dataset(tmp_path_factory.mktemp("pairs")).folder


@pytest.fixture(scope="session")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels that tell where they are: red is the LR row, green the LR column; blue of LR is the variant."""
    folder = tmp_path_factory.mktemp("telling")
    metadata = {"scale": 4, "patch_size": 32, "variants": 2}
    rows, columns = np.mgrid[:8, :8]
    lr = np.stack([np.dstack([rows, columns, np.full_like(rows, v)]) for v in range(2)]).astype(np.uint8)
    hr = lr[0].repeat(4, axis=0).repeat(4, axis=1)
    shard_path(folder, 0).parent.mkdir()
    for number in range(2):
        writer = ShardWriter(32, 4, 2)
        for patch in range(3):
            ids = [f"{number}-{patch}-{v}" for v in range(2)]
            writer.add(hr, lr, {"sample_id": ids, "source_sha256": "0", "source": "x"})
        write_file(shard_path(folder, number), writer.finish(metadata))
    finish_dataset(folder, 2, metadata)
    return folder


def items(loader: DataLoader) -> list[tuple[bytes, bytes]]:
    return [(hr.numpy().tobytes(), lr.numpy().tobytes()) for hrs, lrs in loader for hr, lr in zip(hrs, lrs)]


def test_every_sample_comes_once_with_its_own_hr(folder: Path) -> None:
    pairs = PairedShards(folder, as_uint8=True)
    expected = [
        (hr.transpose(2, 0, 1), sample.transpose(2, 0, 1))
        for hr, lr, _ in read_dataset(folder).patches()
        for sample in lr
    ]
    assert len(pairs) == len(expected) == 30
    for index, (hr, lr) in enumerate(expected):
        np.testing.assert_array_equal(pairs[index][0], hr)
        np.testing.assert_array_equal(pairs[index][1], lr)


def test_floats_are_grey_levels_over_255(folder: Path) -> None:
    floats, levels = PairedShards(folder)[7], PairedShards(folder, as_uint8=True)[7]
    for one, other in zip(floats, levels):
        assert one.dtype == torch.float32
        assert other.dtype == torch.uint8
        torch.testing.assert_close(one, other / 255)


@pytest.mark.parametrize("augment", [False, True])
def test_crops_of_hr_and_lr_show_the_same_place(telling: Path, augment: bool) -> None:
    pairs = PairedShards(telling, crop=16, augment=augment, as_uint8=True)
    for epoch in range(20):
        pairs.set_epoch(epoch)
        for index in range(len(pairs)):
            hr, lr = pairs[index]
            assert (hr.shape, lr.shape) == ((3, 16, 16), (3, 4, 4))
            assert torch.equal(hr[:2, ::4, ::4], lr[:2])
            assert torch.equal(hr[:2], lr[:2].repeat_interleave(4, 1).repeat_interleave(4, 2))
            assert bool((lr[2] == index % 2).all())


def test_crops_come_from_everywhere(telling: Path) -> None:
    pairs = PairedShards(telling, crop=16, as_uint8=True)
    seen = set()
    for epoch in range(100):
        pairs.set_epoch(epoch)
        seen |= {tuple(pairs[index][1][:2, 0, 0].tolist()) for index in range(len(pairs))}
    assert seen == {(top, left) for top in range(5) for left in range(5)}


def test_all_eight_symmetries_come(telling: Path) -> None:
    pairs = PairedShards(telling, augment=True, as_uint8=True)
    seen = set()
    for epoch in range(30):
        pairs.set_epoch(epoch)
        seen |= {pairs[index][1][:2].numpy().tobytes() for index in range(len(pairs))}
    assert len(seen) == 8


def test_an_item_depends_on_seed_epoch_and_index_alone(telling: Path) -> None:
    def draw(seed: int, epoch: int, order: list[int]) -> dict[int, bytes]:
        pairs = PairedShards(telling, crop=8, augment=True, seed=seed)
        pairs.set_epoch(epoch)
        return {index: pairs[index][1].numpy().tobytes() for index in order}

    indices = list(range(12))
    assert draw(1, 2, indices) == draw(1, 2, indices[::-1])
    assert draw(1, 2, indices) != draw(1, 3, indices)
    assert draw(1, 2, indices) != draw(2, 2, indices)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_give_what_one_process_gives(folder: Path, start_method: str) -> None:
    pairs = PairedShards(folder, crop=8, augment=True)
    expected = items(DataLoader(pairs, batch_size=4))
    _ = pairs[0]  # a shard is open when the workers start
    loader = DataLoader(pairs, batch_size=4, num_workers=2, multiprocessing_context=start_method)
    assert items(loader) == expected
    assert items(DataLoader(pairs, batch_size=4)) == expected


def test_workers_that_live_on_see_a_new_epoch(folder: Path) -> None:
    pairs = PairedShards(folder, crop=8, augment=True)
    workers = DataLoader(pairs, batch_size=4, num_workers=1, persistent_workers=True)
    for epoch in (0, 5):
        pairs.set_epoch(epoch)
        assert items(workers) == items(DataLoader(pairs, batch_size=4))


def test_open_shards_are_not_pickled(folder: Path) -> None:
    pairs = PairedShards(folder)
    expected = pairs[0]
    copy = pickle.loads(pickle.dumps(pairs))  # noqa: S301
    assert torch.equal(copy[0][1], expected[1])


def open_files(folder: Path) -> int:
    descriptors = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    return sum(folder in path.parents for path in descriptors)


@needs_proc
def test_an_open_shard_does_not_cross_a_fork(folder: Path) -> None:
    pairs = PairedShards(folder)
    before = pairs[0]
    assert open_files(folder) == 1
    child = os.fork()
    if child == 0:
        os._exit(open_files(folder))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(pairs[0][0], before[0])


@needs_proc
def test_few_shards_are_open_at_a_time(tmp_path: Path) -> None:
    write_dataset(tmp_path, photographs=40, patches=1, variants=1)
    pairs = PairedShards(tmp_path)
    for _ in range(2):
        for index in range(40):
            pairs[index]
    open_files = [
        path for path in Path("/proc/self/fd").iterdir() if str(path.resolve()).startswith(str(tmp_path))
    ]
    assert 1 <= len(open_files) <= 16


@pytest.mark.parametrize("crop", [0, 7, 18])
def test_a_crop_that_does_not_go_with_the_dataset_is_refused(folder: Path, crop: int) -> None:
    with pytest.raises(SDFlowError, match=f"crop: expected a multiple of the scale 2, .* found {crop}"):
        PairedShards(folder, crop=crop)


def test_an_index_beyond_the_end_is_refused(folder: Path) -> None:
    with pytest.raises(IndexError):
        PairedShards(folder)[30]


# Streams

sizes = st.lists(st.integers(0, 12), min_size=1, max_size=8).map(np.array)


def streams(
    sizes: np.ndarray, window: int, processes: int, workers: int, epoch: int
) -> list[list[list[int]]]:
    """The samples of each worker of each process."""
    shares = [equal_share(int(sizes.sum()), rank, processes) for rank in range(processes)]
    return [
        [list(stream_order(sizes, window, 0, epoch, split(share, n, workers))) for n in range(workers)]
        for share in shares
    ]


worlds = given(
    sizes=sizes,
    window=st.integers(1, 20),
    processes=st.integers(1, 7),
    workers=st.integers(1, 5),
    epoch=st.integers(0, 3),
)


@worlds
def test_every_sample_comes_and_fewer_than_there_are_processes_come_again(
    sizes: np.ndarray, window: int, processes: int, workers: int, epoch: int
) -> None:
    shares = streams(sizes, window, processes, workers, epoch)
    samples = [index for share in shares for part in share for index in part]
    assert set(samples) == set(range(sizes.sum()))
    assert len(samples) - sizes.sum() < processes


@worlds
def test_no_process_gets_a_sample_twice(
    sizes: np.ndarray, window: int, processes: int, workers: int, epoch: int
) -> None:
    for share in streams(sizes, window, processes, workers, epoch):
        mine = [index for part in share for index in part]
        assert len(mine) == len(set(mine))


@worlds
def test_all_processes_take_as_many_steps(
    sizes: np.ndarray, window: int, processes: int, workers: int, epoch: int
) -> None:
    """Batches are made by each worker alone, so that its count in every process has to agree."""
    shares = streams(sizes, window, processes, workers, epoch)
    counts = [[len(part) for part in share] for share in shares]
    assert all(count == counts[0] for count in counts)
    assert max(counts[0]) - min(counts[0]) <= 1


@given(sizes=sizes, window=st.integers(1, 20))
def test_a_stream_never_leaves_more_than_a_window_behind_in_the_shards_it_has_begun(
    sizes: np.ndarray, window: int
) -> None:
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    order = [int(shard_of[index]) for index in stream_order(sizes, window, 0, 0, range(sizes.sum()))]
    for place in range(len(order)):
        begun = set(order[: place + 1])
        left_behind = sum(shard in begun for shard in order[place + 1 :])
        assert left_behind <= window + max(sizes)


def test_another_epoch_or_seed_is_another_order() -> None:
    sizes = np.array([10, 10, 10])
    settings = [(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    orders = [tuple(stream_order(sizes, 8, seed, epoch, range(30))) for seed, epoch in settings]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_stream_gives_every_sample_once_with_any_number_of_workers(folder: Path, workers: int) -> None:
    pairs = PairedShards(folder)
    stream = StreamedPairs(pairs, window=7)
    loader = DataLoader(stream, batch_size=4, num_workers=workers)
    assert sorted(items(loader)) == sorted(items(DataLoader(pairs)))
    assert len(stream) == 30


def test_a_stream_is_the_same_again_in_the_same_epoch_and_not_in_the_next(folder: Path) -> None:
    stream = StreamedPairs(PairedShards(folder), window=7)
    first = items(DataLoader(stream, batch_size=8))
    assert items(DataLoader(stream, batch_size=8)) == first
    stream.set_epoch(1)
    assert items(DataLoader(stream, batch_size=8)) != first


@pytest.mark.parametrize("workers", [0, 2])
def test_distributed_processes_share_a_stream_in_equal_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    pairs = PairedShards(folder)
    seen = []
    for rank in range(4):
        monkeypatch.setattr("sdflow_data.dataset.reading.world", lambda rank=rank: (rank, 4))
        stream = StreamedPairs(pairs)
        share = items(DataLoader(stream, batch_size=8, num_workers=workers))
        assert len(share) == len(stream) == 8
        seen += share
    assert set(seen) == set(items(DataLoader(pairs)))
