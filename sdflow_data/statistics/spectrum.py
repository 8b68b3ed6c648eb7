"""The radial power spectrum."""

from functools import lru_cache

import numpy as np

from .batch import Batch
from .registry import Statistic, measures

BANDS = np.arange(1, 17) / 32
"""Centres of the spectrum's bands in cycles per pixel: `spectrum_1` at 1/32 to `spectrum_16` at 1/2."""

_LEAST_POWER = 1e-4
"""In squared levels: far below rounding to 8 bits (1/12). It keeps the logarithm of flat pictures finite."""


@measures(
    *(
        Statistic(
            f"spectrum_{n}",
            "log10 of levels²",
            "lr",
            f"power of grey around {centre:.3f} cycles per pixel (white noise: its variance)",
            headline=n % 4 == 0,
        )
        for n, centre in enumerate(BANDS, start=1)
    )
)
def spectrum(batch: Batch) -> np.ndarray:
    """log10 of the mean power in each band, under a Hann window; NaN for bands without a frequency."""
    side = np.hanning(batch.size + 1)[:-1].astype(np.float32)
    window = np.outer(side, side)
    grey = batch.grey - (batch.grey * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.rfft2(grey * window)) ** 2 / np.square(window).sum()
    mean_of_bands = power.reshape(len(power), -1) @ _bands(batch.size)
    return np.log10(mean_of_bands + _LEAST_POWER)


@lru_cache(maxsize=4)
def _bands(size: int) -> np.ndarray:
    """(frequencies of the half spectrum, bands): weights that average a spectrum over each band."""
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    band = np.rint(np.hypot(down, across) / BANDS[0]).ravel()
    # A column of the half spectrum counts twice, for its mirror image. The first and the middle count once.
    twice = np.broadcast_to(np.where((across == 0) | (across == 0.5), 1.0, 2.0), (size, across.size)).ravel()
    weights = twice[:, None] * (band[:, None] == np.arange(1, len(BANDS) + 1))
    with np.errstate(invalid="ignore"):
        return (weights / weights.sum(axis=0)).astype(np.float32)
