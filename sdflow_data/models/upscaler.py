"""Super-resolution of pictures with a trained SDFlow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sdflow.checkpoint import load_checkpoint
from sdflow.errors import ArgumentError
from sdflow.inference import Upscaler
from sdflow.noise import noise_field
from sdflow.resample import to_levels, to_unit

from ..system.devices import choose_device, choose_precision
from .registry import HAND_MADE, find_checkpoint


class SDFlowUpscaler:
    """A trained SDFlow from LR to HR: one encoding of the LR picture, and a latent z'_h for each seed.

    Attributes:
        scale: s.
        multiple: LR heights and widths must be multiples of this, and at least twice it.
        halo: the LR pixels of surroundings that a tile needs on each side. With 16 pixels, the centre of a
            tile differs from the whole picture by at most 0.002 grey levels at the 99.9th percentile, for
            trained and random weights; with 8 pixels by 0.03, with 4 by 1.2.

    Args:
        checkpoint: the folder of the checkpoint.
        device: the device of the model.
        precision: precision of the networks, "fp32" or "bf16".
    """

    multiple = 2
    halo = 16

    def __init__(self, checkpoint: Path, device: str = "cpu", precision: str = "fp32") -> None:
        self._model = load_checkpoint(checkpoint, device, needs=["upscale"])
        self._upscaler = Upscaler(self._model, precision)
        self._device = torch.device(device)
        self.scale = self._model.scale

    @torch.no_grad()
    def upscale(
        self, lr: np.ndarray, seeds: Sequence[int], temperature: float, *, top: int = 0, left: int = 0
    ) -> np.ndarray:
        """One HR sample for each seed.

        Args:
            lr: uint8 (H, W, 3), RGB.
            seeds: K seeds.
            temperature: the temperature of the latent noise, >= 0; at 0 the seeds have no effect.
            top, left: position of ``lr`` in a larger picture; noise is a function of the position there.

        Returns:
            float32 (K, sH, sW, 3), grey levels, neither rounded nor clipped; may be non-finite.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(lr)).permute(2, 0, 1)[None]
        encoded = self._upscaler.encode(to_unit(pixels.to(self._device)))
        shape = self._model.latent_shape_hr(lr.shape[0], lr.shape[1])
        noise = np.stack([noise_field(seed, *shape, top=top, left=left) for seed in seeds])
        latents = temperature * torch.from_numpy(noise).to(self._device)
        return to_levels(self._upscaler.sample(encoded, latents)).permute(0, 2, 3, 1).cpu().numpy()


def load_upscaler(model: str, device: str = "auto", precision: str = "auto") -> SDFlowUpscaler:
    """Load an upscaler; see `load_degrader` for the arguments.

    Raises:
        SDFlowError: there is no such model or device, or the model only downscales.
    """
    if model in HAND_MADE:
        raise ArgumentError("model", f"expected a trained model, found {model}, which only downscales")
    device = choose_device(device)
    return SDFlowUpscaler(find_checkpoint(model), device, choose_precision(precision, device))
