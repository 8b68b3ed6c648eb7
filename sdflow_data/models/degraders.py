"""Degraders: one interface that maps HR pictures and seeds to LR pictures.

There are three: a trained SDFlow; bicubic downscaling, which adds no degradation; and a classical, hand-made
chain of blur, resizing, noise and JPEG. The LR picture of a seed depends on the HR picture and that seed
alone.
"""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from sdflow.checkpoint import fingerprint, load_checkpoint
from sdflow.errors import ArgumentError
from sdflow.inference import Downscaler
from sdflow.noise import component_field, draw_component, noise_field
from sdflow.resample import bicubic_downscale, to_levels, to_unit

from ..images.augment import albumentations, augment
from ..images.codec import NO_CODEC, Codec, Jpeg
from ..system.devices import choose_device, choose_precision
from .cameras import cameras_of
from .registry import find_checkpoint

NO_COMPONENT = -1
"""The component of a sample that belongs to no single mixture component."""

MAX_DRAWS = 8
"""The most draws of a sample that is not finite, each from another seed."""

_HALO = 24
"""LR pixels of surroundings that an SDFlow tile gets; see `SDFlowDegrader`."""


@dataclass(frozen=True)
class Degraded:
    """LR samples of one HR picture.

    Attributes:
        lr: float32 (K, H/s, W/s, 3), RGB grey levels, neither rounded nor clipped; may be non-finite.
        component: int (K,), the mixture component of each, or ``NO_COMPONENT``.
    """

    lr: np.ndarray
    component: np.ndarray


@dataclass(frozen=True)
class Draws:
    """The samples to draw of one HR picture; `Degrader.degrade` documents the fields."""

    seeds: Sequence[int]
    photographs: Sequence[int]
    temperature: float
    weights: np.ndarray | None
    top: int
    left: int


class Degrader(ABC):
    """Makes LR samples of HR pictures.

    Attributes:
        name: the name of the model, for messages.
        scale: s, the ratio of HR to LR size.
        multiple: HR heights and widths must be multiples of this, and at least twice it.
        shares: the probabilities of the mixture components, with sum 1; empty if there are none.
        halo: the HR pixels of surroundings, a multiple of ``multiple``, that a tile of a larger picture needs
            on each side for the same inner part as in the whole picture; None if the degrader needs the whole
            picture.
        fingerprint: hex SHA-256 of everything that determines the output, the codec included.
        codecs: the compression of LR pictures, one for each component, or a single one without components.
            `degrade` does not compress; see `draw_codec`.
    """

    name: str
    scale: int
    multiple: int
    shares: np.ndarray = np.empty(0)
    halo: int | None
    fingerprint: str
    codecs: tuple[Codec, ...] = (NO_CODEC,)

    def degrade(
        self,
        hr: np.ndarray,
        seeds: Sequence[int],
        temperature: float,
        weights: np.ndarray | None = None,
        *,
        photographs: Sequence[int] | None = None,
        top: int = 0,
        left: int = 0,
    ) -> Degraded:
        """One LR sample for each seed, independent of the other seeds.

        Args:
            hr: uint8 (H, W, 3), RGB.
            seeds: K seeds.
            temperature: the temperature of the latent noise, >= 0; degraders without latents ignore it.
            weights: (components,), the probabilities of the mixture components, >= 0 with sum 1; None for
                ``shares``.
            photographs: K seeds that identify the photographs of the samples. All samples of one photograph
                have the same component. None for ``seeds``.
            top, left: the position of ``hr`` in a larger picture, multiples of ``multiple``. The noise is a
                function of the position in that picture, so that overlapping tiles agree.
        """
        photographs = seeds if photographs is None else photographs
        return self._degrade(hr, Draws(seeds, photographs, temperature, weights, top, left))

    @abstractmethod
    def _degrade(self, hr: np.ndarray, draws: Draws) -> Degraded: ...


class SDFlowDegrader(Degrader):
    """A trained SDFlow: one encoding of the HR picture, and a latent for each seed.

    A sample has one mixture component. If the mixture of the model is elementwise, every element of the
    latent has its own. At temperature 0 the latent is the mean of the component if a single one has weight,
    and the mean of the mixture otherwise. The components of a measured model are cameras; a sample has one of
    them at any temperature.

    The receptive field is larger than any useful halo, but the influence of distant pixels decays quickly.
    Differences between the centre of a tile and the whole picture, in grey levels at the 99.9th percentile:

    =====  ====================  =====================  ========================
    halo   trained ``tiny``, x2  random ``paper``, x4   random ``tiny``, x2 - x8
    =====  ====================  =====================  ========================
    0      25                    47                     27
    8 LR   0.13                  0.035                  0.004
    16 LR  0.0001                0.0003                 0.0002
    =====  ====================  =====================  ========================

    Args:
        checkpoint: the folder of the checkpoint.
        device: the device of the model.
        precision: precision of the networks, "fp32" or "bf16".
    """

    def __init__(self, checkpoint: Path, device: str = "cpu", precision: str = "fp32") -> None:
        self._model = load_checkpoint(checkpoint, device, needs=["downscale"])
        self._downscaler = Downscaler(self._model, precision)
        self._device = torch.device(device)
        self.name = checkpoint.name
        self.scale = self._model.scale
        self.multiple = self._model.multiple
        self.halo: int | None = _HALO * self.scale
        shares = self._model.shares.double().cpu().numpy()
        self.shares: np.ndarray = shares[shares > 0] / shares.sum()
        cameras = cameras_of(checkpoint, len(self.shares))
        self.codecs = tuple(camera.codec for camera in cameras) or (NO_CODEC,) * len(self.shares)
        self.fingerprint = fingerprint_of(checkpoint)

    @torch.no_grad()
    def _degrade(self, hr: np.ndarray, draws: Draws) -> Degraded:
        weights = self.shares if draws.weights is None else draws.weights
        shape = self._model.latent_shape_lr(hr.shape[0] // self.scale, hr.shape[1] // self.scale)
        position = (draws.top // self.multiple, draws.left // self.multiple)
        latents, components = zip(
            *(
                self._latent(seed, photograph, draws.temperature, weights, shape, position)
                for seed, photograph in zip(draws.seeds, draws.photographs)
            )
        )
        encoded = self._downscaler.encode(to_unit(_to_tensor(hr).to(self._device)))
        samples = self._downscaler.sample(encoded, torch.stack(latents), components)
        return Degraded(to_levels(samples).permute(0, 2, 3, 1).cpu().numpy(), np.array(components))

    def _latent(
        self,
        seed: int,
        photograph: int,
        temperature: float,
        weights: np.ndarray,
        shape: tuple[int, int, int],
        position: tuple[int, int],
    ) -> tuple[Tensor, int]:
        """z'_d for a window of the picture, and its component."""
        model, (top, left) = self._model, position
        noise = torch.from_numpy(noise_field(seed, *shape, top=top, left=left)).to(self._device)
        mixed = np.count_nonzero(weights) > 1 and not model.config.measured
        if mixed and temperature == 0:
            return model.latent_lr(None, noise, temperature), NO_COMPONENT
        if mixed and model.prior.law == "element":
            field = torch.from_numpy(component_field(seed, weights, *shape, top=top, left=left))
            return model.latent_lr(field.to(self._device), noise, temperature), NO_COMPONENT
        component = draw_component(photograph, weights)
        return model.latent_lr(component, noise, temperature), component


class BicubicDegrader(Degrader):
    """Antialiased bicubic downscaling: the clean reference, the same for every seed."""

    name = "bicubic"

    def __init__(self, scale: int = 4) -> None:
        self.scale = self.multiple = scale
        self.halo: int | None = 4 * scale  # the kernel reaches over 2 LR pixels
        self.fingerprint = hashlib.sha256(f"bicubic {scale}".encode()).hexdigest()

    def _degrade(self, hr: np.ndarray, draws: Draws) -> Degraded:
        count = len(draws.seeds)
        lr = bicubic_downscale(_to_tensor(hr).float(), self.scale)[0].permute(1, 2, 0).numpy()
        return Degraded(np.repeat(lr[None], count, axis=0), np.full(count, NO_COMPONENT))


class Ranges(NamedTuple):
    """The ranges of the strengths of a hand-made degradation.

    Attributes:
        blur_low, blur_high: standard deviation of a Gaussian blur, above 0, in LR pixels.
        noise_low, noise_high: standard deviation of the noise, in grey levels.
        jpeg_low, jpeg_high: JPEG quality.
        jpeg_share: share of the pictures with JPEG compression.
    """

    blur_low: float
    blur_high: float
    noise_low: float
    noise_high: float
    jpeg_low: float
    jpeg_high: float
    jpeg_share: float


class ClassicalDegrader(Degrader):
    """Hand-made degradation in the manner of BSRGAN (Zhang et al., ICCV 2021) and Real-ESRGAN (Wang et al.,
    ICCVW 2021).

    The chain is applied twice: blur (isotropic or not), resizing, Gaussian or Poisson noise, JPEG.
    albumentations draws all strengths at random. The temperature has no effect, because there is no latent
    noise. ``hr`` must be the whole picture. At scale 2 the chain needs up to 50 bytes of memory per HR pixel,
    at higher scales less. It contains its own JPEG compression, so ``codecs`` has none.

    Args:
        scale: s.
        ranges: strengths of a single degradation, instead of two with the strengths of the papers.
    """

    name = "classical"
    halo = None  # blur, noise and JPEG are drawn for a whole photograph

    def __init__(self, scale: int = 4, ranges: Ranges | None = None) -> None:
        self.scale = self.multiple = scale
        self._ranges = ranges
        recipe = json.dumps(self._pipeline(64, 64).to_dict(), sort_keys=True, default=str)
        self.fingerprint = hashlib.sha256(f"{recipe} OpenCV {cv2.__version__}".encode()).hexdigest()

    def _degrade(self, hr: np.ndarray, draws: Draws) -> Degraded:
        pipeline = self._pipeline(hr.shape[0] // self.scale, hr.shape[1] // self.scale)
        lr = np.stack([augment(pipeline, hr, seed) for seed in draws.seeds]).astype(np.float32)
        return Degraded(lr, np.full(len(lr), NO_COMPONENT))

    def _pipeline(self, height: int, width: int) -> albumentations.Compose:
        if self._ranges is None:
            return _classical_pipeline(self.scale, height, width)
        return _measured_pipeline(self.scale, height, width, self._ranges)


@lru_cache(maxsize=4)
def _measured_pipeline(scale: int, height: int, width: int, ranges: Ranges) -> albumentations.Compose:
    """The pipeline for LR pictures of one size, with measured strengths."""
    blur = ranges.blur_low * scale, ranges.blur_high * scale
    side = 2 * math.ceil(3 * blur[1]) + 1
    return albumentations.Compose(
        [
            _blur((side, side), blur, p=1),
            albumentations.Resize(height, width, interpolation=cv2.INTER_AREA, p=1),
            albumentations.GaussNoise(std_range=(ranges.noise_low / 255, ranges.noise_high / 255), p=1),
            albumentations.ImageCompression(
                quality_range=(int(ranges.jpeg_low), int(ranges.jpeg_high)), p=ranges.jpeg_share
            ),
        ]
    )


@lru_cache(maxsize=4)
def _classical_pipeline(scale: int, height: int, width: int) -> albumentations.Compose:
    """The pipeline for LR pictures of one size. Blur is in pixels of the picture that it is applied to."""
    methods = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)
    sizes = (1 / scale - 1, 2 / scale - 1)  # between the LR size and twice that, as albumentations counts
    return albumentations.Compose(
        [
            _blur((7, 21), (0.1 * scale, 0.7 * scale), p=0.9),
            albumentations.OneOf(
                [albumentations.RandomScale(sizes, interpolation=method, p=1) for method in methods], p=1
            ),
            _noise(0.06, p=0.8),
            albumentations.ImageCompression(quality_range=(50, 95), p=0.5),
            _blur((3, 7), (0.1, 0.8), p=0.4),
            albumentations.OneOf(
                [albumentations.Resize(height, width, interpolation=method, p=1) for method in methods], p=1
            ),
            _noise(0.03, p=0.5),
            albumentations.ImageCompression(quality_range=(50, 95), p=0.8),
        ]
    )


def _blur(sides: tuple[int, int], sigmas: tuple[float, float], p: float) -> albumentations.BasicTransform:
    return albumentations.AdvancedBlur(
        blur_limit=sides, sigma_x_limit=sigmas, sigma_y_limit=sigmas, noise_limit=(0.95, 1.05), p=p
    )


def _noise(strongest: float, p: float) -> albumentations.BaseCompose:
    """Gaussian noise up to a deviation (white is 1), or Poisson noise of about that deviation at mid-grey."""
    return albumentations.OneOf(
        [
            albumentations.GaussNoise(std_range=(0.002, strongest), p=1),
            albumentations.ShotNoise(scale_range=(0.0005, 4 * strongest**2), p=1),
        ],
        p=p,
    )


def fingerprint_of(checkpoint: Path) -> str:
    """Hex SHA-256 of what determines the samples of a checkpoint: weights, architecture and codecs.

    Raises:
        SDFlowError: there is no checkpoint, or its cameras are unusable.
    """
    digest, codecs = fingerprint(checkpoint), [camera.codec for camera in cameras_of(checkpoint)]
    if all(codec.lossless for codec in codecs):
        return digest
    return hashlib.sha256(
        f"{digest} {json.dumps([codec.to_json() for codec in codecs])}".encode()
    ).hexdigest()


def load_degrader(
    model: str,
    scale: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    ranges: tuple[float, ...] = (),
) -> Degrader:
    """Load a degrader.

    Args:
        model: "bicubic", "classical", or an argument of `find_checkpoint`.
        scale: 2, 4 or 8; None for the scale of the checkpoint, or for 4 with "bicubic" and "classical".
        device, precision: device and precision of a trained model; "auto" chooses the best.
        ranges: `Ranges` of "classical"; empty for the strengths of the papers.

    Raises:
        SDFlowError: there is no such model or device, or the model has another scale or only upscales.
    """
    if scale not in (None, 2, 4, 8):
        raise ArgumentError("scale", f"expected 2, 4 or 8, found {scale}")
    if model == "bicubic":
        return BicubicDegrader(scale or 4)
    if model == "classical":
        return ClassicalDegrader(scale or 4, Ranges(*ranges) if ranges else None)
    checkpoint = find_checkpoint(model)
    device = choose_device(device)
    degrader = SDFlowDegrader(checkpoint, device, choose_precision(precision, device))
    if scale not in (None, degrader.scale):
        raise ArgumentError("scale", f"expected {degrader.scale}, that of the model {model}, found {scale}")
    return degrader


def component_weights(degrader: Degrader, components: Sequence[int]) -> np.ndarray | None:
    """Weights that select some components, in proportion to their shares; None if ``components`` is empty.

    Raises:
        SDFlowError: the degrader does not have a component.
    """
    count = len(degrader.shares)
    for component in components:
        if component >= count:
            has = f"components 0 to {count - 1}" if count else "no components"
            raise ArgumentError("components", f"the model {degrader.name} has {has}, found {component}")
    if not components:
        return None
    weights = np.zeros(count)
    weights[list(components)] = degrader.shares[list(components)]
    return weights / weights.sum()


def draw_codec(
    degrader: Degrader, photograph: int, weights: np.ndarray | None, codec: Codec | None = None
) -> Jpeg | None:
    """Draw the compression of a photograph; None for no compression.

    Args:
        degrader: the degrader, with the codec of each component.
        photograph: the seed that identifies the photograph, and with it its component.
        weights: the probabilities of the components; see `Degrader.degrade`.
        codec: a codec in place of the component's own.
    """
    if codec is None:
        weights = degrader.shares if weights is None else weights
        codec = degrader.codecs[draw_component(photograph, weights) if len(weights) else 0]
    return codec.draw(photograph)


def _to_tensor(picture: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) -> uint8 (1, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
