"""The monitor of a training: a sheet of samples, and PSNR on aligned pairs."""

from collections.abc import Callable

from sdflow.training import Trainer

from ..images.sheet import sample_sheet
from .crops import UnpairedCrops
from .metrics_log import MetricsLog
from .run_folder import RunFolder
from .validation import ValidationPairs

_COLOUR_DRIFT, _COLLAPSE = 2.5, 0.5
"""Grey levels: a warning is given if the colours of samples differ by more, or if they differ from bicubic by
less."""
_TOO_EARLY = 0.2
"""No warnings before this progress."""


class Monitor:
    """Watches the moving average of a trainer's weights.

    Args:
        crops: the crops of the training; the sheet shows the first batch.
        pairs: aligned pairs for validation, if any.
        say: prints warnings.
    """

    def __init__(
        self, crops: UnpairedCrops, pairs: ValidationPairs | None, say: Callable[[str], None]
    ) -> None:
        self._crops, self._pairs, self._say = crops, pairs, say
        self._looked_at = -1  # the step of ``newest``
        self.newest: dict[str, float] = {}

    def look(self, trainer: Trainer, folder: RunFolder, log: MetricsLog, progress: float) -> dict[str, float]:
        """Save a sample sheet, warn of faulty samples, and validate; at most once for a step.

        Returns:
            ``val_psnr`` and ``val_psnr_bicubic`` in dB, if there are pairs; ``newest`` keeps them.
        """
        if trainer.step_number == self._looked_at:
            return {}
        self._looked_at = trainer.step_number
        hr, lr = self._crops.batch(0)
        device = str(trainer.device)
        sheet, drift, difference = sample_sheet(trainer.ema_model, hr[:4], lr[:4], device)
        folder.save_sample(sheet, trainer.step_number)
        log.show(sheet, trainer.step_number)
        warn = progress >= _TOO_EARLY and trainer.step_number > 0
        if warn and drift > _COLOUR_DRIFT:
            self._say(f"Warning: colours of samples are {drift:.1f} grey levels off their HR pictures")
        if warn and difference < _COLLAPSE:
            self._say(
                f"Warning: samples are {difference:.2f} grey levels from bicubic: nothing is being learned"
            )
        if self._pairs:
            psnr = self._pairs.psnr(trainer.ema_model, device)
            self.newest = {"val_psnr": psnr, "val_psnr_bicubic": self._pairs.bicubic}
        return self.newest

    def __str__(self) -> str:
        """The newest validation number, in words."""
        if not self.newest:
            return ""
        return f"validation {self.newest['val_psnr']:.2f} dB (bicubic {self.newest['val_psnr_bicubic']:.2f})"
