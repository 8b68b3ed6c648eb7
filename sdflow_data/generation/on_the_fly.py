"""Pairs that are made during training, for cases in which storage is scarcer than GPU time.

    pairs = OnTheFly("runs/camera", "photos/sharp", batch_size=16, patch_size=192, device="cuda")
    for epoch in range(100):
        pairs.set_epoch(epoch)
        for hr, lr in pairs:
            ...

In a trainer with HR batches, for example in ``feed_data`` of BasicSR and traiNNer-redux:

    self.gt = data["gt"].to(self.device)
    self.lq = self.degradation(self.gt)  # self.degradation = Degradation("runs/camera", device="cuda")
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sdflow.distributed import world
from sdflow.errors import SDFlowError
from sdflow.noise import derive_seed
from sdflow.resample import quantise

from ..dataset.identity import PatchId
from ..dataset.plan import Plan, scan
from ..dataset.reading import equal_share, stream_order
from ..dataset.shards import Failure
from ..models.degraders import MAX_DRAWS, component_weights, draw_codec, load_degrader
from ..models.registry import anywhere
from .run import GenerationRequest
from .shard_maker import GenerationJob, ShardMaker, UnusableError, read_planned

_LARGEST_SEED = 2**63 - 1


class OnTheFly:
    """Batches ``(hr, lr)`` of the samples that ``generate`` would store, bit for bit, without storing them.

    Both are float32 in [0, 1] on the device of the model: (B, 3, P, P) and (B, 3, P/s, P/s), RGB. A patch is
    encoded once for all its samples. Photographs come in random order, and their samples are shuffled within
    a window. An epoch has every sample once. Distributed processes get equal shares. Samples that cannot be
    made are left out, with a warning, and listed in ``failures``.

    Args:
        model, settings: arguments of `GenerationRequest`: ``patch_size``, ``variants``, ``temperature``,
            ``components``, ``seed``, ``device``, ``precision`` and others.
        hr: a folder of HR photographs, or several.
        batch_size: B; the last batch of an epoch may be smaller.
        window: the number of samples in the window.

    Attributes:
        failures: the patches and photographs that were left out, with the reasons.

    Raises:
        SDFlowError: the model cannot be loaded, a setting does not fit it, or there is no photograph.
    """

    def __init__(
        self,
        model: str | Path,
        hr: str | Path | Sequence[str | Path],
        *,
        batch_size: int = 16,
        window: int = 1024,
        **settings: Any,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("window", window)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        recipe = GenerationRequest(model=str(model), **settings).recipe(None)
        assert recipe.sampling is not None
        folders = [Path(folder) for folder in ([hr] if isinstance(hr, str | Path) else hr)]
        found, failures = scan(folders)
        plan = Plan(recipe).extended(found, failures)
        if not plan.pictures:
            raise SDFlowError(
                f"{folders[0]}: expected photographs to cut patches from, found none that are usable"
            )
        with _one_thread():
            self._maker = ShardMaker(GenerationJob(Path(), anywhere(str(model)), recipe))
        self.scale, self.epoch = recipe.grid.scale, 0
        self.failures = list(plan.skipped)
        self._grid, self._seed = recipe.grid, recipe.sampling.seed
        self._device = torch.device(recipe.sampling.device)
        self._pictures = plan.pictures
        self._paths = {picture.sha256: picture.path for picture in found}
        self._samples = np.array([picture.patches for picture in plan.pictures]) * recipe.grid.variants
        self._ends = np.cumsum(self._samples)
        self._batch_size, self._window = batch_size, window
        self._share = equal_share(int(self._ends[-1]), *world())

    def __len__(self) -> int:
        """The number of batches in an epoch, if all samples can be made."""
        return -(-len(self._share) // self._batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = list(stream_order(self._samples, self._window, self._seed, self.epoch, self._share))
        batch: list[tuple[np.ndarray, np.ndarray]] = []
        for pair in self._pairs(order):
            batch.append(pair)
            if len(batch) == self._batch_size:
                yield self._tensors(batch)
                batch = []
        if batch:
            yield self._tensors(batch)

    def _pairs(self, order: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """HR and LR of samples in this order. A patch is kept until its last sample."""
        left = dict.fromkeys(map(self._key, order), 0)
        photographs = dict.fromkeys((picture for picture, _ in left), 0)
        for key in map(self._key, order):
            left[key] += 1
            photographs[key[0]] += 1
        decoded: dict[int, np.ndarray | None] = {}
        made: dict[tuple[int, int], tuple[np.ndarray, np.ndarray] | None] = {}
        for index in order:
            key = number, _ = self._key(index)
            if key not in made:
                if number not in decoded:
                    decoded[number] = self._decode(number)
                made[key] = self._make(decoded[number], key)
            pair = made[key]
            left[key] -= 1
            photographs[number] -= 1
            if not left[key]:
                del made[key]
            if not photographs[number]:
                decoded.pop(number, None)
            if pair is not None:
                yield pair[0], pair[1][index % self._grid.variants]

    def _key(self, index: int) -> tuple[int, int]:
        """The index of the photograph of a sample, and the index of its patch."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        first = int(self._ends[number] - self._samples[number])
        return number, (index - first) // self._grid.variants

    def _decode(self, number: int) -> np.ndarray | None:
        picture = self._pictures[number]
        try:
            return read_planned(picture, self._paths.get(picture.sha256))
        except UnusableError as error:
            self._leave_out(Failure(picture.source, None, None, str(error)))
            return None

    def _make(self, pixels: np.ndarray | None, key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        """A patch, uint8 (P, P, 3), and its samples, uint8 (K, P/s, P/s, 3)."""
        if pixels is None:
            return None
        picture, size = self._pictures[key[0]], self._grid.patch_size
        ((top, left),) = self._grid.places(picture.height, picture.width, key[1], key[1] + 1)
        hr = pixels[top : top + size, left : left + size].copy()
        with _one_thread():
            samples = self._maker.draw(hr, PatchId(picture.sha256, top, left))
        if samples is None:
            reason = f"a sample was not finite in {MAX_DRAWS} draws"
            self._leave_out(Failure(picture.source, top, left, reason))
            return None
        return hr, samples.levels()

    def _leave_out(self, failure: Failure) -> None:
        if failure not in self.failures:
            self.failures.append(failure)
            warnings.warn(f"{failure.source}: left out: {failure.reason}", stacklevel=2)

    def _tensors(self, batch: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
        hr, lr = (torch.from_numpy(np.stack(pictures)).to(self._device) for pictures in zip(*batch))
        return _to_unit_range(hr), _to_unit_range(lr)


class Degradation(nn.Module):
    """A degradation model as a layer: HR images in, LR images out, without gradient.

    The layer has no parameters, so it is neither trained nor stored in a checkpoint. Inputs and outputs are
    rounded to 8 bits, and outputs are compressed by the codec of the model's camera, so that a network is
    trained on the same values as with files.

    Args:
        model: a checkpoint, a run of training, or a name from ``sdflow models``.
        scale: the scale of the hand-made degraders, None for 4; a trained model has its own.
        temperature: the temperature of the latent noise.
        components: the mixture components to draw from; empty for all.
        device, precision: device of the model and precision of its networks; "auto" chooses the best.

    Raises:
        SDFlowError: the model cannot be loaded, or a setting does not fit it.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        scale: int | None = None,
        temperature: float = 1.0,
        components: tuple[int, ...] = (),
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        super().__init__()
        degrader = load_degrader(str(model), scale, device, precision)
        self.scale, self.multiple = degrader.scale, degrader.multiple
        self._degrader, self._temperature = degrader, temperature
        self._weights = component_weights(degrader, components)

    @torch.no_grad()
    def forward(
        self, hr: Tensor, seed: int | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """An LR image of each HR image.

        Args:
            hr: (B, 3, H, W) in [0, 1], RGB; sides are multiples of ``multiple``, and at least twice it.
            seed: the seed of the batch; each image has a stream of its own.
            generator: source of the seed if none is given; None for PyTorch's default on the CPU.

        Returns:
            (B, 3, H/s, W/s) in [0, 1], with the type and on the device of ``hr``.

        Raises:
            SDFlowError: a sample was not finite in several draws.
        """
        smallest = 2 * self.multiple
        if hr.ndim != 4 or hr.shape[1] != 3 or any(n % self.multiple or n < smallest for n in hr.shape[2:]):
            raise ValueError(
                f"hr: expected (B, 3, H, W) with sides that are multiples of {self.multiple} from {smallest} "
                f"up, got {tuple(hr.shape)}"
            )
        seeds = [derive_seed(seed, number) for number in range(len(hr))] if seed is not None else []
        if seed is None:
            drawn = torch.randint(
                _LARGEST_SEED,
                (len(hr),),
                generator=generator,
                device=generator.device if generator else "cpu",
            )
            seeds = drawn.tolist()
        pictures = quantise(hr.float() * 255).permute(0, 2, 3, 1).cpu().numpy()
        lr = torch.from_numpy(np.stack([self._sample(*image) for image in zip(pictures, seeds)]))
        return _to_unit_range(lr.to(hr.device)).to(hr.dtype)

    def _sample(self, hr: np.ndarray, seed: int) -> np.ndarray:
        """uint8 (H, W, 3) -> uint8 (H/s, W/s, 3)."""
        for draw in range(MAX_DRAWS):
            seeds = [derive_seed(seed, draw)]
            lr = self._degrader.degrade(hr, seeds, self._temperature, self._weights, photographs=[seed]).lr[0]
            if np.isfinite(lr).all():
                levels = quantise(torch.from_numpy(lr)).numpy()
                jpeg = draw_codec(self._degrader, seed, self._weights)
                return levels if jpeg is None else jpeg.apply(levels)
        raise SDFlowError(f"hr: a sample was not finite in {MAX_DRAWS} draws")


def _to_unit_range(pictures: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [0, 1]."""
    return pictures.permute(0, 3, 1, 2).contiguous().to(torch.float32) / 255


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, as ``generate`` does: the number of threads changes rounding."""
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv2_threads)
