"""Sampling with a trained model: encode once, sample many."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .model import SDFlow


@dataclass(frozen=True)
class Encoded:
    """What sampling needs of one picture, computed once for all its samples."""

    content: Tensor


class Downscaler:
    """The downscaling branch of a model in evaluation, with no gradient; f_HF is never evaluated.

    Args:
        model: a trained model; used as it is, on its device.
        precision: "fp32" or "bf16", of the networks; the flow's state is always fp32.
    """

    def __init__(self, model: SDFlow, precision: str = "fp32") -> None:
        model.require("downscale")
        self.model = model.eval()
        self.precision = precision

    @torch.no_grad()
    def encode(self, hr: Tensor) -> Encoded:
        """An HR image (1, 3, sH, sW) in [-1, 1] -> its content and the condition of its samples."""
        return Encoded(self.model.encode_hr(hr))

    @torch.no_grad()
    def sample(self, encoded: Encoded, latents: Tensor) -> Tensor:
        """LR images (K, 3, H, W) in [-1, 1] for latents z'_d (K, 12, H/2, W/2), each on its own."""
        return torch.cat([self.model.decode_lr(encoded.content, latent[None]) for latent in latents])


class Upscaler:
    """The super-resolution branch, as ``Downscaler`` is the downscaling branch."""

    def __init__(self, model: SDFlow, precision: str = "fp32") -> None:
        model.require("upscale")
        self.model = model.eval()
        self.precision = precision

    @torch.no_grad()
    def encode(self, lr: Tensor) -> Encoded:
        """An LR image (1, 3, H, W) in [-1, 1] -> its content."""
        return Encoded(self.model.encode_lr(lr))

    @torch.no_grad()
    def sample(self, encoded: Encoded, latents: Tensor) -> Tensor:
        """HR images (K, 3, sH, sW) in [-1, 1] for latents z'_h (K, 3(s^2 - 1), H, W), each on its own."""
        return torch.cat([self.model.decode_hr(encoded.content, latent[None]) for latent in latents])
