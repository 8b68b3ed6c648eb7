"""The maker of shards: it decodes, degrades and stores pictures in three overlapping steps.

This code runs in worker processes. The result is a function of the task, because the model gets one HR patch
at a time, on one thread.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file, write_file
from sdflow.resample import quantise

from ..dataset.identity import PatchId, photograph_seed, sample_seed
from ..dataset.plan import Cut, Picture, shard_key
from ..dataset.recipe import Recipe, Sampling
from ..dataset.schema import patch_columns
from ..dataset.shards import Failure, ShardWriter, shard_path
from ..images.codec import Jpeg, parse_codec
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..models.degraders import MAX_DRAWS, component_weights, draw_codec, load_degrader
from ..statistics import CHEAP_COLUMNS, cheap_statistics
from ..system.lock import machine_lock

_LARGE_PICTURE = 50_000_000
"""The number of pixels from which on pictures are decoded one at a time on a machine."""

_DECODED_AHEAD = 8
_DEGRADED_AHEAD = 2

T = TypeVar("T")


@dataclass(frozen=True)
class GenerationJob:
    """The common part of all tasks of a run.

    Paths are absolute, here and in tasks, because a worker may have another working directory.

    Attributes:
        folder: the folder of the dataset.
        model: the degrader to load.
        recipe: the settings of the dataset.
    """

    folder: Path
    model: str
    recipe: Recipe

    @property
    def sampling(self) -> Sampling:
        """The settings of sampling."""
        assert self.recipe.sampling is not None
        return self.recipe.sampling


@dataclass(frozen=True)
class ShardTask:
    """A shard to make: its number, its patches, and the paths of its pictures by SHA-256."""

    number: int
    cuts: tuple[Cut, ...]
    paths: dict[str, Path]


class HRPatch(NamedTuple):
    """An HR patch: the source of its picture, its identity, and its pixels, uint8 (P, P, 3)."""

    source: str
    id: PatchId
    pixels: np.ndarray


class Samples(NamedTuple):
    """The K samples of a patch.

    Attributes:
        lr: float32 (K, P/s, P/s, 3), grey levels, finite.
        component, seed, draw: (K,), see `schema.COLUMNS`.
        codec: the compression of each; None for no compression.
        position: row and column in the LR picture.
    """

    lr: np.ndarray
    component: np.ndarray
    seed: np.ndarray
    draw: np.ndarray
    codec: list[Jpeg | None]
    position: tuple[int, int]

    def levels(self) -> np.ndarray:
        """The samples as they are stored, uint8 (K, P/s, P/s, 3): rounded and compressed."""
        rounded = quantise(torch.from_numpy(self.lr)).numpy()
        for levels, jpeg in zip(rounded, self.codec):
            if jpeg is not None:
                levels[...] = jpeg.apply(levels, *self.position)
        return rounded


class ShardMaker:
    """Makes shards one after the other. The degrader is loaded once.

    It sets this process to one arithmetic thread, because the number of threads has an effect on rounding.

    Args:
        job: the job.

    Raises:
        SDFlowError: the model is not the one that the run began with.
    """

    def __init__(self, job: GenerationJob) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        sampling = job.sampling
        self.job, self.grid, self.sampling = job, job.recipe.grid, sampling
        self.degrader = load_degrader(
            job.model, self.grid.scale, sampling.device, sampling.precision, sampling.ranges
        )
        if self.degrader.fingerprint != job.recipe.model_hash:
            raise SDFlowError(f"{job.model}: expected the model that this run began with, found another one")
        listed = component_weights(self.degrader, sampling.components)
        self._weights = np.array(sampling.weights) if sampling.weights else listed
        self._codec = parse_codec(sampling.codec)

    def make(self, task: ShardTask, on_patch: Callable[[], object] = lambda: None) -> None:
        """Make and write a shard. ``on_patch`` is called after each patch."""
        recipe = self.job.recipe
        writer = ShardWriter(self.grid.patch_size, self.grid.scale, self.grid.variants)
        failures: list[Failure] = []
        for made in _ahead(self._degraded(_ahead(self._decoded(task), _DECODED_AHEAD)), _DEGRADED_AHEAD):
            if isinstance(made, Failure):
                failures.append(made)
                continue
            patch, samples = made
            lr = samples.levels()
            columns = patch_columns(
                patch.id,
                patch.source,
                component=samples.component,
                temperature=self.sampling.temperature,
                seed=samples.seed,
                draw=samples.draw,
                codec=["none" if jpeg is None else str(jpeg) for jpeg in samples.codec],
            )
            writer.add(patch.pixels, lr, columns | cheap_statistics(patch.pixels, lr))
            on_patch()
        content = writer.finish(recipe.to_json(), shard_key(recipe, task.cuts, CHEAP_COLUMNS), failures)
        write_file(shard_path(self.job.folder, task.number), content)

    def draw(self, hr: np.ndarray, patch: PatchId) -> Samples | None:
        """Draw the samples of a patch; None if a sample is not finite in ``MAX_DRAWS`` draws."""
        count, side = self.grid.variants, self.grid.patch_size // self.grid.scale
        photographs = [photograph_seed(self.sampling.seed, patch.sha256, variant) for variant in range(count)]
        samples = Samples(
            lr=np.empty((count, side, side, 3), np.float32),
            component=np.empty(count, np.int32),
            seed=np.empty(count, np.int64),
            draw=np.empty(count, np.int32),
            codec=[draw_codec(self.degrader, photo, self._weights, self._codec) for photo in photographs],
            position=(patch.top // self.grid.scale, patch.left // self.grid.scale),
        )
        pending = list(range(count))
        for draw in range(MAX_DRAWS):
            seeds = [sample_seed(self.sampling.seed, patch, variant, draw) for variant in pending]
            degraded = self.degrader.degrade(
                hr,
                seeds,
                self.sampling.temperature,
                self._weights,
                photographs=[photographs[variant] for variant in pending],
            )
            samples.lr[pending], samples.component[pending] = degraded.lr, degraded.component
            samples.seed[pending], samples.draw[pending] = seeds, draw
            pending = [variant for variant in pending if not np.isfinite(samples.lr[variant]).all()]
            if not pending:
                return samples
        return None

    def _decoded(self, task: ShardTask) -> Iterator[HRPatch | Failure]:
        size = self.grid.patch_size
        for cut in task.cuts:
            picture, patches = cut.picture, cut.patches(self.grid)
            first = patches[0].top  # of a large picture, only the rows of this shard are kept
            try:
                with decode_lock(picture):
                    pixels = read_planned(picture, task.paths.get(picture.sha256))
                    rows = pixels[first : patches[-1].top + size].copy()
                    del pixels
            except UnusableError as error:
                yield Failure(picture.source, None, None, str(error))
                continue
            for patch in patches:
                pixels = rows[patch.top - first :, patch.left :][:size, :size].copy()
                yield HRPatch(picture.source, patch, pixels)
            del rows  # before the next picture is decoded

    def _degraded(self, patches: Iterator[HRPatch | Failure]) -> Iterator[tuple[HRPatch, Samples] | Failure]:
        for patch in patches:
            if isinstance(patch, Failure):
                yield patch
                continue
            samples = self.draw(patch.pixels, patch.id)
            if samples is None:
                reason = f"a sample was not finite in {MAX_DRAWS} draws"
                yield Failure(patch.source, patch.id.top, patch.id.left, reason)
            else:
                yield patch, samples


class UnusableError(Exception):
    """The reason why a planned picture gives no patches now."""


def read_planned(picture: Picture, path: Path | None) -> np.ndarray:
    """Decode a planned picture.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UnusableError: the picture is missing, has changed, or cannot be decoded.
    """
    if path is None:
        raise UnusableError("the file is gone")
    try:
        if sha256_file(path) != picture.sha256:
            raise UnusableError("the file has changed since it was planned")
        pixels = read_picture(path)
    except PictureError as error:
        raise UnusableError(error.reason) from error
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from error
    if pixels.shape[:2] != (picture.height, picture.width):
        height, width = pixels.shape[:2]
        raise UnusableError(
            f"its header says {picture.width}x{picture.height} pixels, its data {width}x{height}"
        )
    return pixels


@contextmanager
def decode_lock(picture: Picture) -> Iterator[None]:
    """A lock for decoding a large picture, because each takes gigabytes. Small pictures need none."""
    if picture.height * picture.width < _LARGE_PICTURE:
        yield
        return
    with machine_lock("large-picture"):
        yield


def _ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items, of which up to ``depth`` are computed ahead in another thread."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, items, end) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(pool.submit(next, items, end))
                yield item  # type: ignore[misc]  # it is not `end`
        finally:
            pool.shutdown(cancel_futures=True)
