"""PyTorch datasets of aligned LR/HR pairs: random access to shards, or a stream.

    pairs = PairedShards("pairs", crop=192, augment=True)
    for epoch in range(100):
        pairs.set_epoch(epoch)
        for hr, lr in DataLoader(pairs, batch_size=16, shuffle=True, num_workers=2):
            ...

An item is a function of the seed, the epoch and its index. The number and kind of workers have no effect.

Both readers resume in the middle of an epoch, bit for bit, under a loader that stores its position, such as
torchdata's ``StatefulDataLoader``. Its state contains the epoch, so ``set_epoch`` is not needed then.
"""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from sdflow.distributed import world
from sdflow.errors import SDFlowError

from .remote import Source, open_source
from .shards import ShardReader, Sizes, shard_path

_MOST_OPEN = 16

Pair = tuple[Tensor, Tensor]


class PairedShards(Dataset[Pair]):
    """The samples of a dataset, each with its HR patch. The variants of a patch have consecutive indices.

    Items are ``(hr, lr)``: (3, C, C) and (3, C/s, C/s), RGB, float32 in [0, 1] or uint8.

    Args:
        folder: a whole dataset, or a URL that fsspec reads, such as ``s3://bucket/pairs``.
        crop: C, the side of a random crop in HR pixels, a multiple of the scale; None for whole patches.
        augment: rotate and mirror pairs at random, by one of the 8 symmetries of a square.
        seed: the seed of crops and symmetries.
        as_uint8: return grey levels as they are stored.
        cache: the folder for copies of files from a URL; None for ``sdflow`` in the user's cache folder. A
            shard is copied when it is first needed.

    Raises:
        SDFlowError: the folder is not a whole dataset, or ``crop`` does not fit it.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        crop: int | None = None,
        augment: bool = False,
        seed: int = 0,
        as_uint8: bool = False,
        cache: str | Path | None = None,
    ) -> None:
        source, dataset = open_source(folder, cache)
        self.scale: int = dataset.info["scale"]
        self.patch_size: int = dataset.info["patch_size"]
        self.variants: int = dataset.info["variants"]
        if crop is not None and (crop % self.scale or not 0 < crop <= self.patch_size):
            raise SDFlowError(
                f"crop: expected a multiple of the scale {self.scale}, at most the patch size "
                f"{self.patch_size} of {folder}, found {crop}"
            )
        self.seed = seed
        self.samples_per_shard: np.ndarray = dataset.patches_per_shard() * self.variants
        self._ends = np.cumsum(self.samples_per_shard)
        self._crop, self._augment, self._as_uint8 = crop, augment, as_uint8
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # persistent workers see changes
        self._shards = _OpenShards(source, dataset.sizes)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def item_size(self) -> int:
        """The side of an HR item in pixels."""
        return self.patch_size if self._crop is None else self._crop

    @property
    def epoch(self) -> int:
        """The epoch, initially 0; see :meth:`set_epoch`."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes crops and symmetries, in running workers too."""
        self._epoch.fill_(epoch)

    def state_dict(self) -> dict[str, int]:
        """The epoch. The sampler stores the position in it."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the epoch of a state."""
        self.set_epoch(state["epoch"])

    def __getitem__(self, index: int) -> Pair:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected {-len(self)} to {len(self) - 1}, got {index}")
        index = index % len(self)  # negative indices count from the end
        number = int(np.searchsorted(self._ends, index, side="right"))
        in_shard = index - int(self._ends[number] - self.samples_per_shard[number])
        row, variant = divmod(in_shard, self.variants)
        hr, lr = self._shards.read(number, row, variant)
        if self._crop is not None or self._augment:
            hr, lr = self._vary(hr, lr, index)
        return self._tensor(hr), self._tensor(lr)

    def _vary(self, hr: np.ndarray, lr: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A random crop and symmetry, the same for both pictures; the edges fall on whole LR pixels."""
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, self.epoch, index])))
        if self._crop is not None:
            side = self._crop // self.scale
            top, left = random.integers(0, lr.shape[0] - side, 2, endpoint=True)
            lr = lr[top : top + side, left : left + side]
            top, left = top * self.scale, left * self.scale
            hr = hr[top : top + self._crop, left : left + self._crop]
        if self._augment:
            symmetry = int(random.integers(8))
            hr, lr = _transformed(hr, symmetry), _transformed(lr, symmetry)
        return hr, lr

    def _tensor(self, picture: np.ndarray) -> Tensor:
        levels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        return levels if self._as_uint8 else levels.to(torch.float32) / 255


class StreamedPairs(IterableDataset[Pair]):
    """The samples of a dataset in a random order that reads shard after shard.

    It is meant for datasets larger than memory, and for disks and networks with slow random access. Shards
    come in random order, and their samples are shuffled within a window.

    Distributed processes get equal shares of an epoch, so that all take the same number of steps. Together
    they return every sample once. If the number of samples is not a multiple of the number of processes,
    fewer samples than there are processes are returned twice. The workers of a process divide its share;
    their parts differ by at most one sample.

    Args:
        pairs: the samples; its seed and epoch determine the order.
        window: number of samples in the window.
    """

    def __init__(self, pairs: PairedShards, window: int = 2048) -> None:
        if window < 1:
            raise ValueError(f"window: expected at least 1, got {window}")
        self._pairs, self._window = pairs, window
        self._share = equal_share(len(pairs), *world())

    def __len__(self) -> int:
        """The number of samples of this process, equal in all processes."""
        return len(self._share)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the order."""
        self._pairs.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """The epoch. The iterator stores the position in it."""
        return self._pairs.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the epoch of a state."""
        self._pairs.load_state_dict(state)

    def __iter__(self) -> "Stream":
        worker = get_worker_info()
        places = split(self._share, worker.id, worker.num_workers) if worker else self._share
        return Stream(self._pairs, self._window, places)


class Stream(Iterator[Pair]):
    """One pass over one worker's part of an epoch, which can resume from a state.

    Args:
        pairs: the samples; its seed and epoch determine the order.
        window: number of samples in the window.
        places: the part of the order to return.
    """

    def __init__(self, pairs: PairedShards, window: int, places: range) -> None:
        self._pairs, self._window, self._places = pairs, window, places
        self._start(pairs.epoch, 0)

    def __next__(self) -> Pair:
        index = next(self._order)
        self._position += 1
        return self._pairs[index]

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position, and the identity of the samples."""
        return {"epoch": self._epoch, "position": self._position, "of": self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the position of a state, in its epoch, without reading the samples before it.

        Raises:
            SDFlowError: the state belongs to other samples or to another part of them.
        """
        if state["of"] != self._identity():
            raise SDFlowError(f"state: expected one of {self._identity()}, found one of {state['of']}")
        self._pairs.set_epoch(state["epoch"])
        self._start(state["epoch"], state["position"])

    def _start(self, epoch: int, position: int) -> None:
        sizes, seed = self._pairs.samples_per_shard, self._pairs.seed
        order = stream_order(sizes, self._window, seed, epoch, self._places)
        self._epoch, self._position = epoch, position
        self._order = islice(order, position, None)

    def _identity(self) -> dict[str, int]:
        places = self._places
        return {
            "samples": len(self._pairs),
            "seed": self._pairs.seed,
            "window": self._window,
            "first": places.start,
            "end": places.stop,
        }


def equal_share(total: int, rank: int, processes: int) -> range:
    """One process's share of ``total`` positions. All shares have the same length and together cover all.

    If the positions do not divide evenly, some shares begin with the last position of the share before.
    """
    first = total * rank // processes
    return range(first, first + -(-total // processes))


def split(places: range, part: int, parts: int) -> range:
    """One of ``parts`` disjoint parts of a range. Their lengths differ by at most one."""
    return places[len(places) * part // parts : len(places) * (part + 1) // parts]


def stream_order(
    samples_per_shard: np.ndarray, window: int, seed: int, epoch: int, places: range
) -> Iterator[int]:
    """Yield the indices of samples in a random order of shards, shuffled within a window.

    A sample is drawn at random from a buffer of ``window`` samples, and the next sample of the shard replaces
    it.

    Args:
        samples_per_shard: int (shards,).
        window: the size of the buffer.
        seed, epoch: determine the order.
        places: the part of the order of shards to yield.
    """
    shards = np.random.default_rng([seed, epoch]).permutation(len(samples_per_shard))
    random = np.random.default_rng([seed, epoch, 1 + places.start])
    starts = np.cumsum(samples_per_shard) - samples_per_shard
    waiting: list[int] = []
    passed = 0
    for shard in shards:
        start, size = int(starts[shard]), int(samples_per_shard[shard])
        for index in range(start + max(places.start - passed, 0), start + min(places.stop - passed, size)):
            if len(waiting) < window:
                waiting.append(index)
                continue
            drawn = int(random.integers(window))
            yield waiting[drawn]
            waiting[drawn] = index
        passed += size
    random.shuffle(waiting)
    yield from waiting


def _transformed(picture: np.ndarray, symmetry: int) -> np.ndarray:
    """A picture (H, W, 3) after one of the 8 symmetries of a square."""
    picture = np.rot90(picture, symmetry % 4)
    return picture[:, ::-1] if symmetry >= 4 else picture


class _OpenShards:
    """Shards of a dataset, opened when first needed; the least recently used ones are closed.

    Handles stay in the process that opened them. They are closed before a fork, because two processes must
    not share HDF5's state, and they are not pickled.
    """

    def __init__(self, source: Source, sizes: Sizes) -> None:
        self._source, self._sizes = source, sizes
        self._open: OrderedDict[int, ShardReader] = OrderedDict()
        _ALL_OPEN.add(self)

    def read(self, number: int, row: int, variant: int) -> tuple[np.ndarray, np.ndarray]:
        """HR and LR of a sample. One thread reads at a time, because HDF5 is not thread-safe."""
        with _READING:
            shard = self._get(number)
            return shard.hr[row], shard.lr[row, variant]

    def _get(self, number: int) -> ShardReader:
        if number not in self._open:
            if len(self._open) == _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            path = self._source.local(shard_path(self._source.folder, number))
            self._open[number] = ShardReader(path, self._sizes)
        self._open.move_to_end(number)
        return self._open[number]

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def __reduce__(self) -> tuple[type, tuple[Source, Sizes]]:
        return _OpenShards, (self._source, self._sizes)


_ALL_OPEN: "weakref.WeakSet[_OpenShards]" = weakref.WeakSet()


_READING = threading.RLock()


def _before_fork() -> None:
    _READING.acquire()  # waits for reading threads, and keeps them from opening files during the fork
    for shards in list(_ALL_OPEN):
        shards.close()


def _after_fork() -> None:
    _READING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
