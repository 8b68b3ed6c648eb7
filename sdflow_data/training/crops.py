"""Training crops from two unpaired folders of photographs.

A batch is a pure function of (files, seed, step). Earlier reads, the number of processes and restarts have no
effect, so a resumed training gets the same crops as an uninterrupted one.
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
"""HR uint8 (B, 3, P, P) and LR uint8 (B, 3, P/s, P/s), RGB, of different scenes."""

_HR, _LR = 0, 1

_STAY = 16
"""Steps for which an entry of the batch keeps its picture if the cache is too small for all pictures.

A crop takes a fraction of a millisecond. Decoding its picture (2.8 megapixels, PNG) takes 50 ms.
"""


class UnpairedCrops:
    """Random crops of HR and of real LR photographs, mirrored at random along both axes.

    Crops are not rotated by 90 degrees. Sensors and lenses differ between rows and columns; rotated crops
    would hide that.

    All pictures of a side are equally likely, independent of their size. Unusable pictures are left out and
    listed in `skipped`.

    If the decoded pictures do not fit into ``cache_bytes``, an entry of the batch takes its crops from one
    picture for 16 steps. The entries change their pictures at different steps, so that all steps decode about
    equally much. This saves work only if the cache has room for one picture per entry.

    Args:
        hr_folders, lr_folders: the folders. They are searched to any depth.
        scale: s.
        patch_size: P, side of the HR crops, a multiple of s; the LR crops' is P / s.
        batch_size: the number of crops of each side, summed over all processes.
        seed: the seed of the training.
        rank, world_size: the rank of this process, and the number of processes. Their shares in the order of
            ranks are the batch of a single process.
        cache_bytes: memory for decoded pictures, besides those being cropped.

    Raises:
        SDFlowError: a folder is missing or empty, or no picture of a side is large enough.
        ValueError: the sizes do not divide.
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
        """The unusable pictures, with the reasons. Damaged pictures are listed only after they were read."""
        return [item for side in self._sides for item in list(side.skipped.items())]

    @property
    def hr_pictures(self) -> int:
        """The number of usable HR pictures."""
        return self._sides[_HR].usable

    @property
    def lr_pictures(self) -> int:
        """The number of usable LR pictures."""
        return self._sides[_LR].usable

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step (from 0). Thread-safe.

        Raises:
            SDFlowError: every picture of one side is damaged.
        """
        return self._crops(_HR, step), self._crops(_LR, step)

    def batches(self, start: int = 0, *, ahead: int = 8, workers: int = 2) -> Iterator[Batch]:
        """Generate the batches from step ``start`` on, without end; threads prepare them ahead of use.

        Args:
            start: the first step.
            ahead: number of prepared batches.
            workers: number of threads; the batches do not depend on it.
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
            period = (step + index * self._stay // self._batch_size) // self._stay
            picture, crop = (self._seed, side, period, index), (self._seed, side, step, index)
            crops.append(self._sides[side].crop(picture, crop))
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


class _Side:
    """The pictures of one side, HR or LR, and their crops of one size."""

    def __init__(self, folders: Sequence[Path], size: int, cache: "_PictureCache") -> None:
        self.skipped: dict[Path, str] = {}
        self.decoded_bytes = 0  # the sum over all pictures
        self._folders, self._size, self._cache = folders, size, cache
        found = [(folder, search(folder)) for folder in folders]
        self.skipped.update((error.path, error.reason) for _, part in found for error in part.skipped)
        self._pictures = [folder / path for folder, part in found for path in part.pictures]
        self._pictures = [path for path in self._pictures if self._is_of_use(path)]
        self._own = local()  # a pipeline is seeded in place, so each thread needs its own
        self._require_pictures()

    @property
    def usable(self) -> int:
        return sum(path not in self.skipped for path in self._pictures)

    def crop(self, picture: Sequence[int], crop: Sequence[int]) -> np.ndarray:
        """A crop, uint8 (size, size, 3). The first seed chooses the picture, the second the window."""
        for attempt in itertools.count():
            # Damaged pictures stay in the draw. Otherwise the crops would depend on the time of their first
            # read.
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
        """Whether a picture is readable and large enough; counts its bytes, or lists the reason."""
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
    """A least-recently-used cache of decoded pictures, up to a number of bytes."""

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
