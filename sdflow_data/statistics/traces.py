"""Traces of how a picture was made: statistics that detect the samples of a generator.

A flow that squeezes 2x2 pixels into channels can treat even and odd pixels differently; a camera does not.
A sensor leaves a pattern of columns, and an enlargement a period. The noise of a camera grows with light.
All traces are measured on the colour differences R - B and R - 2G + B, which in photographs are mostly noise.
"""

from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

from .batch import LUMA, Batch, at_limits
from .noise import in_blocks
from .registry import Statistic, measures

DIFFERENCES = np.array([[1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt(np.array([[2], [6]], np.float32))
"""(2, 3): the colour differences R - B and R - 2G + B as unit vectors over R, G, B."""

_LOW, _SOFT = 0.12, 0.04
"""Cut-off and transition width of the high-pass filter, in cycles per pixel. A sharp cut-off would ring."""

_BORDER = 3
"""Pixels at the border that are left out, because filters wrap around there."""

_LEAST_VARIANCE = 0.02
"""Variance of a colour difference, in squared levels, below which it counts as absent."""

_MOST_RELATIVE = 4.0
"""Upper limit of the ratio of energy to local energy."""

_PRIOR_PIXELS = 4
"""Weight, in pixels, of the prior mean of 1 for a row or column."""


def colour_differences(images: np.ndarray) -> np.ndarray:
    """The two colour differences of pictures, high-passed at 0.12 cycles per pixel.

    Args:
        images: (M, h, w, 3) grey levels.

    Returns:
        float32 (M, 2, h, w).
    """
    differences = np.moveaxis(images.astype(np.float32) @ DIFFERENCES.T, 3, 1)
    passed: np.ndarray = fft.irfft2(
        fft.rfft2(differences) * _high_pass(*differences.shape[2:]), differences.shape[2:]
    )
    return passed


@lru_cache(maxsize=8)
def _high_pass(height: int, width: int) -> np.ndarray:
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    return np.clip((radius - _LOW) / _SOFT + 0.5, 0, 1).astype(np.float32)


def flat_places(images: np.ndarray) -> np.ndarray:
    """A mask, bool (M, h, w), of the flat half of pictures (M, h, w, 3) in grey levels.

    Flat means that the smoothed luma varies least. Clipped pixels and the border are left out.
    """
    grey = images.astype(np.float32) @ LUMA
    smooth = ndimage.uniform_filter(grey, (0, 3, 3))
    rough = ndimage.uniform_filter(np.square(smooth - ndimage.uniform_filter(smooth, (0, 7, 7))), (0, 5, 5))
    inner = np.zeros(grey.shape[1:], bool)
    inner[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    flat: np.ndarray = rough <= np.median(rough[:, inner], axis=1)[:, None, None]
    return flat & inner & ~np.any(at_limits(images), axis=3)


def correlation_by_parity(images: np.ndarray) -> np.ndarray:
    """The correlation of the two colour differences in flat areas, at each position of a 2x2 grid.

    The colour differences are high-passed at 0.12 cycles per pixel. For a camera, the four are about equal.

    Args:
        images: (M, h, w, 3) grey levels.

    Returns:
        (M, 2, 2): at even and odd rows (second axis) and even and odd columns (third axis); NaN if the
            colour differences are too weak.
    """
    return _correlation_by_parity(colour_differences(images), flat_places(images))


def _correlation_by_parity(detail: np.ndarray, flat: np.ndarray) -> np.ndarray:
    first, second = np.moveaxis(detail, 1, 0)
    products = (_sums_by_parity(a * b * flat) for a, b in ((first, second), (first, first), (second, second)))
    covariance, one, other = products
    energy = np.sqrt(one * other)
    present = energy > _LEAST_VARIANCE * _sums_by_parity(flat)
    return np.where(present, covariance / np.maximum(energy, 1e-9), np.nan)


def _sums_by_parity(values: np.ndarray) -> np.ndarray:
    """(..., h, w) to the sums (..., 2, 2) over even and odd rows and columns."""
    return np.stack(
        [
            np.stack([values[..., row::2, column::2].sum(axis=(-2, -1)) for column in (0, 1)], axis=-1)
            for row in (0, 1)
        ],
        axis=-2,
    )


def _detail(batch: Batch) -> np.ndarray:
    return colour_differences(batch.lr)


def _flat(batch: Batch) -> np.ndarray:
    return flat_places(batch.lr)


@measures(
    Statistic(
        "colour_correlation",
        "",
        "lr",
        "correlation of the colour differences R - B and R - 2G + B in flat areas",
    ),
    Statistic(
        "colour_grid",
        "",
        "lr",
        "grid of 2x2: spread of the correlation of the two colour differences over even and odd places",
        headline=True,
    ),
)
def colour_correlation(batch: Batch) -> np.ndarray:
    """Mean and standard deviation of `correlation_by_parity` over the four positions."""
    positions = _correlation_by_parity(batch.shared(_detail), batch.shared(_flat)).reshape(len(batch.lr), 4)
    return np.stack([positions.mean(axis=1), positions.std(axis=1)], axis=1)


@measures(
    Statistic(
        "colour_grid_mean",
        "levels",
        "lr",
        "grid of 2x2: spread of the mean colour differences over even and odd rows and columns",
    ),
    Statistic(
        "colour_grid_variance",
        "%",
        "lr",
        "grid of 2x2: spread of the variance of the colour differences over even and odd rows and columns",
    ),
)
def colour_grid(batch: Batch) -> np.ndarray:
    """Standard deviations over the four positions of a 2x2 grid, in flat areas."""
    detail, flat = batch.shared(_detail), batch.shared(_flat)[:, None]
    count = np.maximum(_sums_by_parity(flat), 1)
    means = (_sums_by_parity(detail * flat) / count).reshape(len(detail), 2, 4)
    variances = (_sums_by_parity(np.square(detail) * flat) / count).sum(axis=1).reshape(len(detail), 4)
    mean = np.sqrt(np.square(means.std(axis=2)).sum(axis=1))
    whole = variances.mean(axis=1)
    spread = np.where(whole > _LEAST_VARIANCE, variances.std(axis=1) / np.maximum(whole, 1e-9), np.nan)
    return np.stack([mean, 100 * spread], axis=1)


@measures(
    Statistic(
        "modulation_x",
        "%",
        "lr",
        "strongest periodic change of the variance of the colour differences along rows (sensor columns)",
        headline=True,
    ),
    Statistic(
        "modulation_y",
        "%",
        "lr",
        "strongest periodic change of the variance of the colour differences along columns",
    ),
)
def modulation(batch: Batch) -> np.ndarray:
    """Amplitude of the strongest wave in the variance above 0.1 cycles per pixel, in percent of the mean.

    The variance is divided by its local mean, which removes the effects of contrast and light. In 64 pixels
    chance alone gives about 10 %.
    """
    energy = np.square(batch.shared(_detail)).sum(axis=1)
    around = ndimage.uniform_filter(energy, (0, 9, 9))
    relative = np.minimum(energy / np.maximum(around, _LEAST_VARIANCE), _MOST_RELATIVE)
    flat = batch.shared(_flat)
    present = np.median(around, axis=(1, 2)) > _LEAST_VARIANCE
    relative = np.where(flat, relative, 0)
    profiles = (
        (relative.sum(axis=axis) + _PRIOR_PIXELS) / (flat.sum(axis=axis) + _PRIOR_PIXELS) for axis in (1, 2)
    )
    waves = [_strongest_wave(profile[:, _BORDER:-_BORDER]) for profile in profiles]
    return np.where(present[:, None], 100 * np.stack(waves, axis=1), np.nan)


def _strongest_wave(profiles: np.ndarray) -> np.ndarray:
    """Profiles (M, n) to (M,): the strongest amplitude above 0.1 cycles per pixel, over the mean."""
    count = profiles.shape[1]
    window = np.hanning(count + 2)[1:-1]
    mean = profiles @ window / window.sum()
    spectra = np.abs(np.fft.rfft((profiles - mean[:, None]) * window)) * 2 / window.sum()
    frequencies = np.fft.rfftfreq(count)
    spectra[:, frequencies == 0.5] /= 2
    return spectra[:, frequencies >= 0.1].max(axis=1) / np.maximum(mean, 1e-9)


@measures(
    Statistic(
        "noise_on_brightness",
        "",
        "lr",
        "correlation of the colour differences' strength with brightness, over a patch's blocks",
    ),
    Statistic(
        "noise_on_texture",
        "",
        "lr",
        "correlation of the colour differences' strength with texture of brightness, over a patch's blocks",
        headline=True,
    ),
)
def noise_places(batch: Batch) -> np.ndarray:
    """Correlations of log strength with brightness and with log texture, over 8x8 blocks without clipping.

    The strength is the energy of the colour differences. NaN for fewer than eight blocks, or if the strength
    is equal in all of them.
    """
    energy = np.square(batch.shared(_detail)).sum(axis=1)
    smooth = ndimage.uniform_filter(batch.grey, (0, 3, 3))
    texture = np.square(smooth - ndimage.uniform_filter(smooth, (0, 9, 9)))
    clipped = np.any(at_limits(batch.lr), axis=3)
    views = np.stack([energy, batch.grey, texture, clipped], axis=3)
    strength, brightness, rough, share_clipped = np.moveaxis(in_blocks(views).mean(axis=2), 2, 0)
    weights = (share_clipped < 0.02) & (strength > _LEAST_VARIANCE)
    strength = np.log(np.maximum(strength, _LEAST_VARIANCE))
    return np.stack(
        [_correlation(strength, other, weights) for other in (brightness, np.log(rough + 0.1))], axis=1
    )


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation (M,) of (M, n) with (M, n) over the true weights (M, n); NaN for fewer than eight."""
    count = weights.sum(axis=1)
    a, b = (
        (side - ((side * weights).sum(axis=1) / np.maximum(count, 1))[:, None]) * weights for side in (a, b)
    )
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    defined = (count >= 8) & (scale > 1e-6)
    return np.where(defined, (a * b).sum(axis=1) / np.maximum(scale, 1e-9), np.nan)
