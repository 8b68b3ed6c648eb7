"""Traces of how a picture was made: single numbers that give samples of a generator away.

A camera does not know which pixels are even, and a flow that squeezes 2x2 pixels into channels does; a sensor
has columns, an enlargement has a period; noise follows light. All are measured on the two colour differences
R - B and R - 2G + B, where a photograph has little but noise.
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
"""Cycles per pixel above which is measured, and over which a filter opens: sharp ends would ring."""

_BORDER = 3
"""Pixels at the border that are left out: filters there see the other side."""

_LEAST_VARIANCE = 0.02
"""Squared levels of a colour difference under which there is nothing to measure."""

_MOST_RELATIVE, _FEW = 4.0, 4
"""Of an energy over that around it; and pixels that a row or column needs to have a say
of its own."""


def colour_differences(images: np.ndarray) -> np.ndarray:
    """The two colour differences of pictures above 0.12 cycles per pixel.

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
    """Where the brightness of pictures (M, h, w, 3) varies least and nothing is clipped: bool (M, h, w).

    It is half of every picture, or less where much is clipped; its border is left out.
    """
    grey = images.astype(np.float32) @ LUMA
    smooth = ndimage.uniform_filter(grey, (0, 3, 3))
    rough = ndimage.uniform_filter(np.square(smooth - ndimage.uniform_filter(smooth, (0, 7, 7))), (0, 5, 5))
    inner = np.zeros(grey.shape[1:], bool)
    inner[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    flat: np.ndarray = rough <= np.median(rough[:, inner], axis=1)[:, None, None]
    return flat & inner & ~np.any(at_limits(images), axis=3)


def correlation_by_parity(images: np.ndarray) -> np.ndarray:
    """The correlation of the two colour differences in flat places, at each place of a 2x2 grid.

    Above 0.12 cycles per pixel. A camera has about the same at all four places.

    Args:
        images: (M, h, w, 3) grey levels.

    Returns:
        (M, 2, 2): at even and odd rows (second axis) and even and odd columns (third axis); NaN where
        there is no colour to correlate.
    """
    return _correlation_by_parity(colour_differences(images), flat_places(images))


def _correlation_by_parity(detail: np.ndarray, flat: np.ndarray) -> np.ndarray:
    first, second = np.moveaxis(detail, 1, 0)
    products = (_sums_by_parity(a * b * flat) for a, b in ((first, second), (first, first), (second, second)))
    covariance, one, other = products
    energy = np.sqrt(one * other)
    told = energy > _LEAST_VARIANCE * _sums_by_parity(flat)
    return np.where(told, covariance / np.maximum(energy, 1e-9), np.nan)


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
    """Mean and standard deviation of `correlation_by_parity` over the four places."""
    places = _correlation_by_parity(batch.shared(_detail), batch.shared(_flat)).reshape(len(batch.lr), 4)
    return np.stack([places.mean(axis=1), places.std(axis=1)], axis=1)


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
    """Standard deviations over the four places of a 2x2 grid, in flat areas, above 0.12 cycles per pixel."""
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
    """Of the strongest wave above 0.1 cycles per pixel in the variance, its amplitude over the mean variance.

    The variance counts relative to that around it, so that neither contrast nor light has a say. Chance
    makes some 10 % in 64 pixels.
    """
    energy = np.square(batch.shared(_detail)).sum(axis=1)
    around = ndimage.uniform_filter(energy, (0, 9, 9))
    relative = np.minimum(energy / np.maximum(around, _LEAST_VARIANCE), _MOST_RELATIVE)
    flat = batch.shared(_flat)
    told = np.median(around, axis=(1, 2)) > _LEAST_VARIANCE
    profiles = (((relative * flat).sum(axis=axis) + _FEW) / (flat.sum(axis=axis) + _FEW) for axis in (1, 2))
    waves = [_strongest_wave(profile[:, _BORDER:-_BORDER]) for profile in profiles]
    return np.where(told[:, None], 100 * np.stack(waves, axis=1), np.nan)


def _strongest_wave(profiles: np.ndarray) -> np.ndarray:
    """(M, n) to the amplitude of the strongest wave above 0.1 cycles per pixel, over the mean (M,)."""
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
    """Where noise lies. Strength and texture as logarithms, over 8x8 blocks without clipped pixels.

    NaN for fewer than eight blocks, or where the strength is the same in all of them.
    """
    energy = np.square(batch.shared(_detail)).sum(axis=1)
    smooth = ndimage.uniform_filter(batch.grey, (0, 3, 3))
    texture = np.square(smooth - ndimage.uniform_filter(smooth, (0, 9, 9)))
    clipped = np.any(at_limits(batch.lr), axis=3)
    views = np.stack([energy, batch.grey, texture, clipped], axis=3)
    strength, brightness, rough, off = np.moveaxis(in_blocks(views).mean(axis=2), 2, 0)
    weights = (off < 0.02) & (strength > _LEAST_VARIANCE)
    strength = np.log(np.maximum(strength, _LEAST_VARIANCE))
    return np.stack(
        [_correlation(strength, other, weights) for other in (brightness, np.log(rough + 0.1))], axis=1
    )


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(M, n) and (M, n) to (M,), where the weights (M, n) are true; NaN for fewer than eight of them."""
    count = weights.sum(axis=1)
    a, b = (
        (side - ((side * weights).sum(axis=1) / np.maximum(count, 1))[:, None]) * weights for side in (a, b)
    )
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    told = (count >= 8) & (scale > 1e-6)
    return np.where(told, (a * b).sum(axis=1) / np.maximum(scale, 1e-9), np.nan)
