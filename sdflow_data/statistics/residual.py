"""What an LR sample has that the bicubic LR of its HR has not."""

import numpy as np

from .batch import Batch
from .registry import Statistic, measures

_TOP_PSNR = 100.0


@measures(
    *(
        Statistic(
            f"residual_mean_{channel.lower()}",
            "levels",
            "pair",
            f"colour shift: mean of LR less bicubic, {channel}",
            headline=True,
            cheap=True,
        )
        for channel in "RGB"
    )
)
def residual_mean(batch: Batch) -> np.ndarray:
    return batch.residual.mean(axis=(1, 2))


@measures(
    Statistic(
        "residual_std",
        "levels",
        "pair",
        "spread of LR less bicubic in a sample",
        headline=True,
        cheap=True,
    )
)
def residual_std(batch: Batch) -> np.ndarray:
    return np.sqrt(batch.residual.var(axis=(1, 2)).mean(axis=1))


@measures(
    Statistic("psnr_bicubic", "dB", "pair", "PSNR of LR against bicubic; at most 100", cheap=True),
)
def psnr_bicubic(batch: Batch) -> np.ndarray:
    error = np.square(batch.residual).mean(axis=(1, 2, 3))
    return np.minimum(20 * np.log10(255) - 10 * np.log10(np.maximum(error, 1e-10)), _TOP_PSNR)
