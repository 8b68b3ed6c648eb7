"""Noise in flat areas: level, growth with brightness, grain and colour."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from .batch import LUMA, Batch, at_limits
from .registry import Statistic, measures

_SIDE, _STEP = 8, 4
"""Side of the blocks, and their distance; they overlap."""

_FLATTEST, _FLAT = 3, 24
"""Number of blocks of a patch for the noise level, and for its growth, which needs many brightnesses."""

_LEAST_RANGE = 48.0
"""Range of grey levels of the flat blocks that the growth with brightness needs."""

_BRIGHTNESS_STEP, _LEAST_IN_STEP = 16, 8


def _smooth_surfaces() -> np.ndarray:
    """(64, 6): an orthonormal basis of the quadratic surfaces over a block."""
    side = np.linspace(-1, 1, _SIDE)
    y, x = (axis.ravel() for axis in np.meshgrid(side, side, indexing="ij"))
    return np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0]


_SURFACES = _smooth_surfaces().astype(np.float32)
_FREEDOM = _SURFACES.shape[0] - _SURFACES.shape[1]
_PROJECTOR = (_SURFACES @ _SURFACES.T).reshape(_SIDE, _SIDE, _SIDE, _SIDE)
_NEIGHBOURS = _SIDE * (_SIDE - 1)
_LOST_CORRELATION = float(np.einsum("yxyx->yx", _PROJECTOR[:, :-1, :, 1:]).sum()) / _NEIGHBOURS
"""Bias of the covariance of neighbours in white noise of variance 1 when the surface is subtracted."""


def in_blocks(images: np.ndarray, step: int = _SIDE) -> np.ndarray:
    """(M, p, p, C) to its 8x8 blocks, ``step`` pixels apart: (M, blocks, 64, C)."""
    down = sliding_window_view(images, _SIDE, axis=1)[:, ::step]
    windows = sliding_window_view(down, _SIDE, axis=2)[:, :, ::step]
    rows, columns, channels = windows.shape[1:4]
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(len(images), rows * columns, _SIDE * _SIDE, channels)


def flat_blocks(images: np.ndarray, count: int) -> np.ndarray:
    """Indices (M, count) of the flattest 8x8 blocks, the flattest first. Blocks begin every 4 pixels.

    Flatness is the deviation from a quadratic surface after a slight blur. The blur removes most of the
    noise, so the choice hardly favours blocks with little noise. Blocks with clipped pixels come last,
    because their noise is cut off.
    """
    smoothed = ndimage.gaussian_filter(images @ LUMA, (0, 1, 1))[..., None]
    texture = np.square(_without_surface(in_blocks(smoothed, _STEP))).sum(axis=(2, 3))
    clipped = np.any(at_limits(images), axis=3, keepdims=True)
    often = in_blocks(clipped, _STEP).mean(axis=(2, 3)) > 0.02
    return np.argsort(texture + 1e9 * often, axis=1)[:, :count]


def noise_in(images: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightness of the chosen blocks, and their residual from the best quadratic surface.

    The residual keeps noise of any grain and removes shading. A high-pass filter would miss the noise that
    JPEG or blur leaves.

    Args:
        images: (M, p, p, 3).
        blocks: (M, k), from `flat_blocks`.

    Returns:
        levels (M, k, 3) and noise (M, k, 64, 3).
    """
    chosen = np.take_along_axis(in_blocks(images, _STEP), blocks[:, :, None, None], axis=1)
    return chosen.mean(axis=2), _without_surface(chosen)


def _without_surface(blocks: np.ndarray) -> np.ndarray:
    return blocks - _SURFACES @ (_SURFACES.T @ blocks)


def variance_of(noise: np.ndarray) -> np.ndarray:
    """(M, k, 64, 3) from `noise_in` to variances (M, k, 3)."""
    return np.square(noise).sum(axis=2) / _FREEDOM


def _flat_noise(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    return noise_in(batch.lr, flat_blocks(batch.lr, _FLAT))


def _flattest_noise(batch: Batch) -> np.ndarray:
    _, noise = batch.shared(_flat_noise)
    return noise[:, :_FLATTEST]


@measures(
    Statistic(
        "noise_sigma",
        "levels",
        "lr",
        "noise level: standard deviation in the flattest areas",
        headline=True,
        cheap=True,
    )
)
def noise_sigma(batch: Batch) -> np.ndarray:
    """Root of the mean noise variance over the three flattest blocks and the channels."""
    return np.sqrt(variance_of(batch.shared(_flattest_noise)).mean(axis=(1, 2)))


@measures(Statistic("flat_level", "levels", "lr", "brightness of the flattest areas"))
def flat_level(batch: Batch) -> np.ndarray:
    """Mean grey level of the three flattest blocks."""
    levels, _ = batch.shared(_flat_noise)
    return levels[:, :_FLATTEST].mean(axis=(1, 2))


@measures(
    Statistic("noise_gain", "levels", "lr", "growth of the noise variance with brightness, per level"),
    Statistic("noise_dark", "levels", "lr", "noise level at black, where the growth with brightness starts"),
)
def noise_growth(batch: Batch) -> np.ndarray:
    """Poisson-Gaussian noise, variance = gain * brightness + dark^2, over flat blocks and channels.

    Least squares, reweighted by the fitted variance (the spread of a block's variance is proportional to it)
    and against outliers (textured blocks). NaN if the blocks span less than 48 levels of brightness.
    """
    levels, noise = batch.shared(_flat_noise)
    return fit_growth(levels.reshape(len(levels), -1), variance_of(noise).reshape(len(levels), -1))


@dataclass(frozen=True)
class NoiseCurve:
    """Noise against brightness, over a whole set of samples.

    Attributes:
        levels, sigmas: median brightness and noise level of the samples in steps of brightness.
        gain, dark: parameters of the fitted Poisson-Gaussian noise; NaN if the levels span too little.
    """

    levels: np.ndarray
    sigmas: np.ndarray
    gain: float
    dark: float


def noise_curve(frame: pd.DataFrame) -> NoiseCurve:
    """The noise curve of all samples of a frame. It is far more exact than the values of a single sample.

    Args:
        frame: has the columns ``flat_level`` and ``noise_sigma``.
    """
    found = frame[["flat_level", "noise_sigma"]].dropna()
    steps = found.groupby((found["flat_level"] // _BRIGHTNESS_STEP).rename("step"))
    levels, sigmas = steps.median()[steps.size() >= _LEAST_IN_STEP].to_numpy(np.float64).T
    growth = fit_growth(levels[None], sigmas[None] ** 2)[0] if len(levels) > 1 else (np.nan, np.nan)
    return NoiseCurve(levels, sigmas, float(growth[0]), float(growth[1]))


def fit_growth(levels: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Fit variance = gain * brightness + dark^2 to each row by reweighted least squares.

    Args:
        levels: (M, n) grey levels.
        variances: (M, n) noise variances, in squared grey levels.

    Returns:
        (M, 2): gain and dark noise level; NaN for rows whose levels span less than 48.
    """
    x = levels / 255
    middle = np.median(variances, axis=1, keepdims=True)
    fitted = np.broadcast_to(middle, variances.shape)
    for _ in range(8):
        scale = np.maximum(fitted, 0.1 * middle + 1e-3)
        weight = 1 / np.square(scale) / (1 + np.square((variances - fitted) / (0.5 * scale)))
        total = weight.sum(axis=1, keepdims=True)
        x_mean = (weight * x).sum(axis=1, keepdims=True) / total
        v_mean = (weight * variances).sum(axis=1, keepdims=True) / total
        spread = (weight * np.square(x - x_mean)).sum(axis=1, keepdims=True)
        slope = (weight * (x - x_mean) * variances).sum(axis=1, keepdims=True) / np.maximum(spread, 1e-12)
        fitted = v_mean + slope * (x - x_mean)
    gain, dark = slope[:, 0] / 255, np.sqrt((v_mean - slope * x_mean)[:, 0].clip(0))
    seen = np.ptp(levels, axis=1) >= _LEAST_RANGE
    return np.where(seen[:, None], np.stack([gain, dark], axis=1), np.nan)


@measures(
    Statistic("noise_grain", "", "lr", "correlation of the noise between neighbouring pixels", headline=True)
)
def noise_grain(batch: Batch) -> np.ndarray:
    """Correlation in the flattest areas: 0 for white noise, more for coarse grain. NaN without noise."""
    noise = batch.shared(_flattest_noise)
    grid = noise.reshape(*noise.shape[:2], _SIDE, _SIDE, 3)
    right = (grid[:, :, :, 1:] * grid[:, :, :, :-1]).sum(axis=(1, 2, 3, 4))
    below = (grid[:, :, 1:] * grid[:, :, :-1]).sum(axis=(1, 2, 3, 4))
    variance = variance_of(noise).sum(axis=(1, 2))
    covariance = (right + below) / 2 / _NEIGHBOURS
    return np.where(variance > 0.1, covariance / np.maximum(variance, 1e-6) + _LOST_CORRELATION, np.nan)


@measures(
    Statistic(
        "noise_channels", "", "lr", "correlation of the noise between the colour channels", headline=True
    )
)
def noise_channels(batch: Batch) -> np.ndarray:
    """Correlation in the flattest areas: 0 for independent channels, 1 for grey noise. NaN without noise."""
    noise = batch.shared(_flattest_noise)
    energy = np.square(noise).sum(axis=(1, 2))
    products = (noise * np.roll(noise, 1, axis=3)).sum(axis=(1, 2))
    scale = np.sqrt(energy * np.roll(energy, 1, axis=1))
    return np.where(energy.min(axis=1) > 1, (products / np.maximum(scale, 1e-6)).mean(axis=1), np.nan)
