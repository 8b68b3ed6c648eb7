"""Training crops from two unpaired folders of photographs.

A batch is a pure function of (files, seed, step): not of what was read before, of the number of processes
that share it, or of a restart. So a resumed training sees what an uninterrupted one would have seen.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock, local

import numpy as np
import torch
from torch import Tensor

from sdflow.errors import SDFlowError
from sdflow.noise import derive_seed

from ..images.augment import albumentations, augment
from ..images.finding import search
from ..images.picture import PictureError
from ..images.reading import read_header, read_picture

Batch = tuple[Tensor, Tensor]
"""HR uint8 (B, 3, P, P) and LR uint8 (B, 3, P/s, P/s), RGB: different scenes, of no order in common."""

_HR, _LR = 0, 1

_STAY = 16
"""For how many steps a place in the batch keeps its picture where memory does not hold all of them.

A crop takes a fraction of a millisecond, decoding its picture (2.8 megapixels, PNG) fifty.
"""


class UnpairedCrops:
    """Random crops of HR and of real LR photographs, mirrored at random along both axes.

    They are not turned by a quarter: sensors and lenses differ along rows and columns, and turned crops would
    teach a camera that does not.

    Every picture is as likely as every other of its side, whatever its size. Pictures that cannot be used are
    left out and listed in `skipped`.

    Where the decoded pictures do not fit in ``cache_bytes``, a place in the batch takes its crops from one
    picture for 16 steps; the places change theirs in turn, so that every step decodes about as much. For that
    to spare work, the cache has to hold a picture for each place.

    Args:
        hr_folders, lr_folders: searched to any depth.
        scale: s.
        patch_size: P, side of the HR crops, a multiple of s; the LR crops' is P / s.
        batch_size: of all processes together.
        seed: of the whole training.
        rank, world_size: this process and how many share a batch: together they hold what one alone would,
            in the order of their ranks.
        cache_bytes: how much memory decoded pictures may take, beside those being cropped.

    Raises:
        SDFlowError: a missing or empty folder, or one side without a picture that is large enough.
        ValueError: sizes that do not divide.
    """

    def __init__(
        self,
        hr_folders: Sequence[Path],
        lr_folders: Sequence[Path],
        *,
        scale: int,
        patch_size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        cache_bytes: int = 2 << 30,
    ) -> None:
        if patch_size % scale:
            raise ValueError(f"patch_size: expected a multiple of the scale {scale}, got {patch_size}")
        if batch_size % world_size:
            raise ValueError(f"batch_size: expected a multiple of {world_size} processes, got {batch_size}")
        self._seed, self._batch_size = seed, batch_size
        share = batch_size // world_size
        self._indices = range(rank * share, (rank + 1) * share)
        cache = _PictureCache(cache_bytes)
        self._sides = (
            _Side(hr_folders, patch_size, cache),
            _Side(lr_folders, patch_size // scale, cache),
        )
        self._stay = 1 if sum(side.decoded_bytes for side in self._sides) <= cache_bytes else _STAY

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        """Pictures that give no crops, and why: those too small or no pictures at all from the start, damaged
        ones once they were met."""
        return [item for side in self._sides for item in list(side.skipped.items())]

    @property
    def hr_pictures(self) -> int:
        """How many HR pictures there are to draw from."""
        return self._sides[_HR].usable

    @property
    def lr_pictures(self) -> int:
        """How many LR pictures there are to draw from."""
        return self._sides[_LR].usable

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step (from 0). Safe to call from several threads.

        Raises:
            SDFlowError: every picture of one side turned out to be damaged.
        """
        return self._crops(_HR, step), self._crops(_LR, step)

    def batches(self, start: int = 0, *, ahead: int = 8, workers: int = 2) -> Iterator[Batch]:
        """The batches from step ``start`` on, without end, made ahead of their use by threads.

        Args:
            start: the first step.
            ahead: how many batches may wait.
            workers: how many threads decode and crop; the batches do not depend on it.
        """
        pool = ThreadPoolExecutor(workers, thread_name_prefix="crops")
        waiting: deque[Future[Batch]] = deque()
        try:
            for step in itertools.count(start):
                waiting.append(pool.submit(self.batch, step))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _crops(self, side: int, step: int) -> Tensor:
        crops = []
        for index in self._indices:
            turn = (step + index * self._stay // self._batch_size) // self._stay
            picture, crop = (self._seed, side, turn, index), (self._seed, side, step, index)
            crops.append(self._sides[side].crop(picture, crop))
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


class _Side:
    """The pictures of one side, HR or LR, and crops of one size from them."""

    def __init__(self, folders: Sequence[Path], size: int, cache: "_PictureCache") -> None:
        self.skipped: dict[Path, str] = {}
        self.decoded_bytes = 0  # of all pictures together
        self._folders, self._size, self._cache = folders, size, cache
        found = [(folder, search(folder)) for folder in folders]
        self.skipped.update((error.path, error.reason) for _, part in found for error in part.skipped)
        self._pictures = [folder / path for folder, part in found for path in part.pictures]
        self._pictures = [path for path in self._pictures if self._is_of_use(path)]
        self._own = local()  # a pipeline is seeded in place, so that each thread needs its own
        self._require_pictures()

    @property
    def usable(self) -> int:
        return sum(path not in self.skipped for path in self._pictures)

    def crop(self, picture: Sequence[int], crop: Sequence[int]) -> np.ndarray:
        """uint8 (size, size, 3): what the second seed cuts out of the picture that the first one chooses."""
        for attempt in itertools.count():
            # A damaged picture stays in the draw, or the crops would depend on when it was first met.
            path = self._pictures[derive_seed(*picture, attempt) % len(self._pictures)]
            if path in self.skipped:
                continue
            try:
                return augment(self._pipeline(), self._cache.read(path), derive_seed(*crop, attempt))
            except PictureError as error:
                self.skipped[path] = error.reason
                self._require_pictures()
        raise AssertionError

    def _pipeline(self) -> albumentations.Compose:
        if not hasattr(self._own, "pipeline"):
            self._own.pipeline = albumentations.Compose(
                [
                    albumentations.RandomCrop(self._size, self._size),
                    albumentations.HorizontalFlip(),
                    albumentations.VerticalFlip(),
                ]
            )
        return self._own.pipeline

    def _is_of_use(self, path: Path) -> bool:
        """Whether a picture can be read and is large enough: counts its bytes, or lists why not."""
        try:
            header = read_header(path)
        except PictureError as error:
            self.skipped[path] = error.reason
            return False
        if min(header.height, header.width) < self._size:
            found = f"found {header.width}x{header.height}"
            self.skipped[path] = f"expected at least {self._size}x{self._size} pixels, {found}"
            return False
        self.decoded_bytes += 3 * header.height * header.width
        return True

    def _require_pictures(self) -> None:
        if self.usable == 0:
            folders = ", ".join(map(str, self._folders))
            size = f"{self._size}x{self._size} pixels"
            path, reason = next(iter(self.skipped.items()))
            raise SDFlowError(
                f"{folders}: expected pictures of at least {size}, found none among {len(self.skipped)} "
                f"(the first, {path.name}: {reason})"
            )


class _PictureCache:
    """Decoded pictures in memory, up to a number of bytes; the least recently used go first."""

    def __init__(self, budget: int) -> None:
        self._budget, self._used = budget, 0
        self._pictures: OrderedDict[Path, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Path) -> np.ndarray:
        """See `read_picture`; the array is shared and must not be written to."""
        with self._lock:
            if path in self._pictures:
                self._pictures.move_to_end(path)
                return self._pictures[path]
        picture = read_picture(path)
        with self._lock:
            if path not in self._pictures:
                self._pictures[path] = picture
                self._used += picture.nbytes
            while self._used > self._budget:
                _, oldest = self._pictures.popitem(last=False)
                self._used -= oldest.nbytes
        return picture
