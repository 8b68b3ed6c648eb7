"""The residual of an LR sample: LR minus the bicubic LR of its HR."""

import numpy as np
from skimage.metrics import structural_similarity

from .batch import LUMA, Batch
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
    """(M, 3): mean of each channel."""
    return batch.residual.mean(axis=(1, 2))


def _centred(batch: Batch) -> np.ndarray:
    return batch.residual - batch.residual.mean(axis=(1, 2), keepdims=True)


def _variances(batch: Batch) -> np.ndarray:
    """(M, 3): variances of the channels, at least 1e-4 so that divisions are safe."""
    return np.square(batch.shared(_centred)).mean(axis=(1, 2)).clip(1e-4)


@measures(
    Statistic(
        "residual_std", "levels", "pair", "spread of LR less bicubic in a sample", headline=True, cheap=True
    )
)
def residual_std(batch: Batch) -> np.ndarray:
    """Standard deviation around the mean of each channel, over pixels and channels."""
    return np.sqrt(batch.shared(_variances).mean(axis=1))


@measures(Statistic("residual_skew", "", "pair", "skewness of LR less bicubic"))
def residual_skew(batch: Batch) -> np.ndarray:
    """Third standardised moment of each channel; mean of the channels."""
    third = (batch.shared(_centred) ** 3).mean(axis=(1, 2))
    return (third / batch.shared(_variances) ** 1.5).mean(axis=1)


@measures(
    Statistic(
        "residual_correlation",
        "",
        "pair",
        "correlation of LR less bicubic between neighbouring pixels",
        headline=True,
    )
)
def residual_correlation(batch: Batch) -> np.ndarray:
    """Mean of the right and the lower neighbour, over the channels; white noise has 0."""
    centred = batch.shared(_centred)
    right = (centred[:, :, 1:] * centred[:, :, :-1]).mean(axis=(1, 2))
    below = (centred[:, 1:] * centred[:, :-1]).mean(axis=(1, 2))
    return ((right + below) / 2 / batch.shared(_variances)).mean(axis=1)


@measures(
    Statistic("residual_channels", "", "pair", "correlation of LR less bicubic between the colour channels")
)
def residual_channels(batch: Batch) -> np.ndarray:
    """Mean of R-G, G-B and B-R; 1 where the residual is grey."""
    scaled = batch.shared(_centred) / np.sqrt(batch.shared(_variances))[:, None, None]
    return (scaled * np.roll(scaled, 1, axis=3)).mean(axis=(1, 2, 3))


@measures(Statistic("psnr_bicubic", "dB", "pair", "PSNR of LR against bicubic; at most 100", cheap=True))
def psnr_bicubic(batch: Batch) -> np.ndarray:
    """PSNR over pixels and channels, with a peak of 255; clipped at 100 dB."""
    error = np.square(batch.residual).mean(axis=(1, 2, 3))
    return np.minimum(20 * np.log10(255) - 10 * np.log10(np.maximum(error, 1e-10)), _TOP_PSNR)


@measures(Statistic("ssim_bicubic", "", "pair", "SSIM of LR against bicubic, grey"))
def ssim_bicubic(batch: Batch) -> np.ndarray:
    """SSIM of luma (Wang et al., IEEE TIP 2004), with uniform windows of 7 pixels or less."""
    bicubic = batch.bicubic @ LUMA
    window = min(7, batch.size // 2 * 2 - 1)
    return np.array(
        [structural_similarity(a, b, win_size=window, data_range=255) for a, b in zip(batch.grey, bicubic)]
    )
