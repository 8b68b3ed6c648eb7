"""The monitor of a training: a sheet of samples, and PSNR on aligned pairs."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sdflow.model import SDFlow
from sdflow.resample import bicubic_downscale, quantise, to_levels, to_unit
from sdflow.training import Trainer

from ..images.codec import Codec
from ..images.sheet import sheet
from .crops import UnpairedCrops
from .metrics_log import MetricsLog
from .run_folder import RunFolder
from .stored import StoredByCodecs
from .validation import ValidationPairs

_COLOUR_DRIFT, _COLLAPSE = 2.5, 0.5
"""Limits of warnings in grey levels: the largest colour shift, and the least difference from bicubic."""

_TOO_EARLY = 0.2
"""No warnings before this progress."""


class Monitor:
    """Watches the samples of a trainer's moving average.

    Args:
        crops: the crops of the training; the sheet shows the first batch.
        pairs: aligned pairs for validation; None for none.
        codecs: the codec of each component. What is compared with LR photographs is compressed as they are.
        say: prints warnings.
    """

    def __init__(
        self,
        crops: UnpairedCrops,
        pairs: ValidationPairs | None,
        codecs: Sequence[Codec],
        say: Callable[[str], None],
    ) -> None:
        self._crops, self._pairs, self._codecs, self._say = crops, pairs, codecs, say
        self._looked_at = -1  # the step of ``newest``
        self.newest: dict[str, float] = {}

    def look(self, trainer: Trainer, folder: RunFolder, log: MetricsLog, progress: float) -> dict[str, float]:
        """Save a sample sheet, warn of faulty samples, and validate. Repeated calls for a step do nothing.

        Returns:
            ``val_psnr`` and ``val_psnr_bicubic`` in dB if there are pairs; also in ``newest``.
        """
        if trainer.step_number == self._looked_at:
            return {}
        self._looked_at = trainer.step_number
        hr, lr = self._crops.batch(0)
        device = str(trainer.device)
        samples, drift, difference = _sample_sheet(
            trainer.ema_model, hr[:4], lr[:4], StoredByCodecs(self._codecs), device
        )
        folder.save_sample(samples, trainer.step_number)
        log.show(samples, trainer.step_number)
        warn = progress >= _TOO_EARLY and trainer.step_number > 0
        if warn and drift > _COLOUR_DRIFT:
            self._say(f"Warning: colours of samples are {drift:.1f} grey levels off their HR pictures")
        if warn and difference < _COLLAPSE:
            self._say(
                f"Warning: samples are {difference:.2f} grey levels from bicubic: the model learns nothing"
            )
        if self._pairs:
            psnr = self._pairs.psnr(trainer.ema_model, device, self._codecs)
            self.newest = {"val_psnr": psnr, "val_psnr_bicubic": self._pairs.bicubic}
        return self.newest

    def __str__(self) -> str:
        """The newest validation in words; empty if there is none."""
        if not self.newest:
            return ""
        return f"validation {self.newest['val_psnr']:.2f} dB (bicubic {self.newest['val_psnr_bicubic']:.2f})"


@torch.no_grad()
def _sample_sheet(
    model: SDFlow, hr: Tensor, lr: Tensor, stored_by: StoredByCodecs, device: str
) -> tuple[np.ndarray, float, float]:
    """A sheet of samples of a model: HR, bicubic, four samples, the mean of the samples, real LR.

    The sheet shows compressed samples, like the LR photographs. The two differences are those before
    compression, which would hide a model that makes no degradation.

    Args:
        model: the model.
        hr: uint8 (B, 3, P, P).
        lr: uint8 (B, 3, P/s, P/s), real LR patches of other scenes.
        stored_by: the effect of the camera's files on samples.
        device: the device of the model.

    Returns:
        The sheet, uint8 (H, W, 3); the largest difference of a channel's mean between samples and bicubic, in
        grey levels; the root mean square difference between samples and bicubic, in grey levels.
    """
    y = to_unit(hr.to(device))
    content = model.encode_hr(y)
    generator = torch.Generator(device).manual_seed(0)
    output, components = model.sample_lr(content.repeat(4, 1, 1, 1), generator)
    places = torch.rand(len(output), 3, generator=generator, device=device)
    stored = stored_by(output.nan_to_num(), components, places)
    samples, shown = (to_levels(each).unflatten(0, (4, len(y))) for each in (output, stored))
    bicubic = to_levels(bicubic_downscale(y, model.scale))
    drift = (samples.mean((0, 1, 3, 4)) - bicubic.mean((0, 2, 3))).abs().max()
    difference = (samples - bicubic).square().mean().sqrt()
    columns = [hr, bicubic, *shown, shown.mean(0), lr]
    titles = ["HR", "bicubic", "sample 1", "sample 2", "sample 3", "sample 4", "mean of 4", "real LR"]
    pictures = [quantise(column.float()).cpu().permute(0, 2, 3, 1).numpy() for column in columns]
    return sheet(list(zip(*pictures)), titles), float(drift), float(difference)
