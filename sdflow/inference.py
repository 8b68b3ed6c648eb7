"""Sampling with a trained model: encode once, sample many."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .folding import Fields, FoldedFlow, leaves_of
from .layers import AffineCoupling
from .model import SDFlow

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_GROUP = 8
"""The number of samples of a patch that a GPU decodes together."""

_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}
"""CPU instructions that multiply in bf16."""

_FIRST_BF16_GPU = (8, 0)
"""The first compute capability of NVIDIA's GPUs that multiplies in bf16 (Ampere)."""


@dataclass(frozen=True)
class Encoded:
    """The encoding of one picture, computed once for all its samples.

    Attributes:
        content: z_c, (1, 3, H, W), fp32.
        prepared: features of the content for the conditional flow.
        cameras: mean and deviation of z_d for each requested measured camera.
    """

    content: Tensor
    prepared: list[Fields]
    cameras: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Downscaler:
    """The downscaling branch of a model, with no gradient; f_HF is never evaluated.

    It computes ``SDFlow.encode_hr`` and ``SDFlow.decode_lr``, within 1e-4 in fp32, with a copy of the present
    weights. The bits of a sample are a function of its picture and its latent, and do not depend on the other
    latents of a call. On a CPU they may depend on the number of threads.

    Args:
        model: a trained model, on the device to run on.
        precision: precision of the networks, "fp32" or "bf16". The flow's state is always fp32.

    Raises:
        SDFlowError: the model has no downscaling branch.
    """

    def __init__(self, model: SDFlow, precision: str = "fp32") -> None:
        model.require("downscale")
        _keep_freed_memory()
        dtype, device = _DTYPES[precision], next(model.parameters()).device
        content = list(leaves_of(model.hr_flow.chain))
        if isinstance(content[-1], AffineCoupling):
            del content[-1]  # it does not change z_c
        self._content = FoldedFlow(content, False, dtype, device, keep=3)
        self._extractor = _frozen(model.degradation_flow.extractor, dtype)
        # f_Deg^-1 ends and f_LR^-1 begins at half size, so z_d stays squeezed between them.
        _squeeze, *start = leaves_of(model.degradation_flow.start)
        self._degradation = FoldedFlow([*start, model.degradation_flow.steps], True, dtype, device)
        *steps, _unsqueeze = leaves_of(model.lr_flow.chain)
        self._lr = FoldedFlow(steps, True, dtype, device)
        self._camera = copy.deepcopy(model.degradation_flow.camera)

    @torch.no_grad()
    def encode(self, hr: Tensor) -> Encoded:
        """An HR image (1, 3, sH, sW) in [-1, 1] -> its content and the features that its samples need."""
        with _exact():
            content = self._content(hr).contiguous()
            condition = self._extractor(content) if self._degradation.conditional else content
            return Encoded(content, self._degradation.prepare(condition))

    @torch.no_grad()
    def sample(self, encoded: Encoded, latents: Tensor, components: Sequence[int] | None = None) -> Tensor:
        """LR images (K, 3, H, W) in [-1, 1] for latents z'_d (K, 12, H/2, W/2).

        Args:
            encoded: the result of ``encode``.
            latents: z'_d.
            components: the measured camera of each latent; None for the first camera.
        """
        content = F.pixel_unshuffle(encoded.content, 2)
        cameras = [*(components or [0] * len(latents)), *[0] * _GROUP]  # groups are padded

        def decode(group: Tensor, first: int) -> Tensor:
            z_d = self._degradation(group, encoded.prepared)
            if self._camera is not None:
                white = F.pixel_shuffle(z_d, 2)
                seen = [
                    self._camera.sample(noise[None], *self._moments(encoded, camera), camera)
                    for noise, camera in zip(white, cameras[first:])
                ]
                z_d = F.pixel_unshuffle(torch.cat(seen), 2)
            return self._lr(z_d + content)

        return _in_groups(decode, latents, _GROUP)

    def _moments(self, encoded: Encoded, camera: int) -> tuple[Tensor, Tensor]:
        assert self._camera is not None
        if camera not in encoded.cameras:
            encoded.cameras[camera] = self._camera.moments(encoded.content, camera)
        return encoded.cameras[camera]


class Upscaler:
    """The super-resolution branch of a model, without gradients; otherwise like ``Downscaler``.

    An encoding has about 1,200 values per LR pixel in the ``paper`` preset, so large pictures need tiles.
    """

    def __init__(self, model: SDFlow, precision: str = "fp32") -> None:
        model.require("upscale")
        _keep_freed_memory()
        dtype, device = _DTYPES[precision], next(model.parameters()).device
        self._encoder = _frozen(model.encoder, dtype)
        self._extractor = _frozen(model.hf_flow.extractor, dtype)
        self._hf = FoldedFlow([model.hf_flow.steps], True, dtype, device)
        self._hr = FoldedFlow([model.hr_flow.chain], True, dtype, device)

    @torch.no_grad()
    def encode(self, lr: Tensor) -> Encoded:
        """An LR image (1, 3, H, W) in [-1, 1] -> its content and the features that its samples need."""
        with _exact():
            content = self._encoder(lr).float().contiguous()
            return Encoded(content, self._hf.prepare(self._extractor(content)))

    @torch.no_grad()
    def sample(self, encoded: Encoded, latents: Tensor) -> Tensor:
        """HR images (K, 3, sH, sW) in [-1, 1] for latents z'_h (K, 3(s^2 - 1), H, W)."""

        def decode(group: Tensor, _first: int) -> Tensor:
            content = encoded.content.expand(len(group), -1, -1, -1)
            return self._hr(torch.cat([content, self._hf(group, encoded.prepared)], 1))

        return _in_groups(decode, latents, 1)  # one tile is enough work for any device


def native_precision(device: str) -> str:
    """The precision of "auto": "bf16" if the processor has instructions for it, else "fp32".

    It is a function of the processor, so that a command always gives the same dataset on one machine.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= _FIRST_BF16_GPU else "fp32"
    return "bf16" if kind == "cpu" and _BF16_FLAGS & _cpu_flags() else "fp32"


def _cpu_flags() -> set[str]:
    """The instruction sets that Linux reports; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _keep_freed_memory() -> None:
    """Prevent glibc from returning memory to the system after every convolution.

    glibc returns blocks above a threshold, which it raises when a larger block is freed, up to 32 MiB
    (mallopt(3)). For 256 x 256 pixels in fp32 this saves 32,000 page faults, a quarter of the encoding time.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def _frozen(network: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    fixed = copy.deepcopy(network).eval().to(dtype)
    return lambda images: fixed(images.to(dtype, memory_format=torch.channels_last))


def _in_groups(decode: Callable[[Tensor, int], Tensor], latents: Tensor, size: int) -> Tensor:
    """Decode latents in groups of a fixed size; the last group is padded. ``decode`` gets the group's start.

    Rounding may depend on the batch size, and on a CPU even on the position in the batch. A CPU therefore
    decodes one latent at a time. This takes 7 ms per sample instead of 5 ms in groups of four, after an
    encoding of 200 ms. Other devices need a batch for full use.
    """
    size = 1 if latents.device.type == "cpu" else size
    images = []
    with _exact():
        for number, group in enumerate(latents.split(size)):
            filled = F.pad(group, (0, 0, 0, 0, 0, 0, 0, size - len(group)))
            images.append(decode(filled, number * size)[: len(group)])
    return torch.cat(images)


@contextmanager
def _exact() -> Iterator[None]:
    """Disable TF32 and the choice of algorithms by timing; no effect on a CPU."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
