"""The transfer function from bicubic to LR: gain, shift and Gaussian blur, fitted in the frequency domain."""

from functools import lru_cache

import numpy as np

from .batch import LUMA, Batch
from .registry import Statistic, measures

_BAND = 0.35
"""The highest fitted frequency, in cycles per pixel. Aliasing and JPEG dominate above it."""

_EXPECTED = np.array([0.3, 0.5, 0.5, 1.0, 1.0, 1.0])
"""Standard deviations of the parameters in the weak prior around zero."""

_PASSES, _STEPS, _LONGEST_STEP = 2, 5, 0.7
"""Passes over the windows, Gauss-Newton steps in each, and the limit of a step in any parameter."""


def transfer(batch: Batch) -> np.ndarray:
    """The best-fitting transfer function from bicubic to LR, for every sample.

    Model: ``LR(f) = BICUBIC(f) exp(g - 2 pi i f.d - 2 pi^2 f'Cf)``: a gain, a shift and a Gaussian blur, by
    nonlinear least squares (Gauss-Newton) on windowed spectra of the grey images, up to 0.35 cycles per
    pixel. Noise in LR does not bias the fit, because the bicubic side has none. A weak prior (shift within
    about half a pixel, blur within about one) keeps patches without detail near the neutral values.

    Returns:
        (M, 6): g; d in LR pixels (right, down); C in squared LR pixels (xx, xy, yy), negative where LR is
        sharper than bicubic.
    """
    across, down, terms = frequencies(batch.size)
    fitted = np.zeros((len(batch.lr), terms.shape[1]))
    window = _windows(batch.size, np.zeros((1, 2)))
    target = _spectra(batch.grey, window)[:, down, across]
    bicubic = batch.bicubic @ LUMA
    for _ in range(_PASSES):
        # The content under the window moves with the shift, so the window goes along on the bicubic side.
        source = _spectra(bicubic, _windows(batch.size, fitted[:, 1:3]))[:, down, across]
        fitted = fit_transfer(source, target, terms, fitted)
    return fitted


@measures(
    Statistic(
        "shift", "pixels", "pair", "distance by which LR is moved against bicubic", headline=True, cheap=True
    ),
    Statistic("shift_x", "pixels", "pair", "shift of LR to the right"),
    Statistic("shift_y", "pixels", "pair", "shift of LR downwards"),
)
def shift(batch: Batch) -> np.ndarray:
    """(M, 3): distance, right and down, in LR pixels."""
    right, down = batch.shared(transfer)[:, 1:3].T
    return np.stack([np.hypot(right, down), right, down], axis=1)


@measures(
    Statistic(
        "blur_width",
        "pixels",
        "pair",
        "standard deviation of the blur from bicubic to LR, in LR pixels; negative: sharpened",
        headline=True,
        cheap=True,
    ),
)
def blur(batch: Batch) -> np.ndarray:
    """Signed root of the blur's variance, mean of both axes, in LR pixels."""
    variance = batch.shared(transfer)[:, [3, 5]].mean(axis=1)
    return np.sign(variance) * np.sqrt(np.abs(variance))


@lru_cache(maxsize=4)
def frequencies(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fitted frequencies of the half spectrum of a square image.

    Args:
        size: side of the image in pixels.

    Returns:
        Column indices (F,), row indices (F,), and the factors of the model's parameters in its exponent,
        complex (F, 6).
    """
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    radius = np.hypot(down, across)
    rows, columns = np.nonzero((radius > 0) & (radius <= _BAND) & ~((across == 0) & (down < 0)))
    x, y = across[0, columns], down[rows, 0]
    linear, quadratic = -2j * np.pi, -2 * np.pi**2
    blur = (quadratic * x * x, 2 * quadratic * x * y, quadratic * y * y)
    return columns, rows, np.stack([1 + 0j * x, linear * x, linear * y, *blur], axis=1)


def _windows(size: int, shifts: np.ndarray) -> np.ndarray:
    """(M, size, size): Hann windows that are moved by minus the shifts (M, 2) (right, down)."""
    place = np.arange(size) + 0.5 + shifts[:, :, None]
    side = np.where((place > 0) & (place < size), np.sin(np.pi * place / size) ** 2, 0.0)
    return (side[:, 1, :, None] * side[:, 0, None, :]).astype(np.float32)


def _spectra(images: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Half spectra of windowed images whose mean under the window is taken off."""
    mean = (images * windows).sum(axis=(1, 2)) / windows.sum(axis=(1, 2))
    return np.fft.rfft2((images - mean[:, None, None]) * windows)


def fit_transfer(source: np.ndarray, target: np.ndarray, terms: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The parameters that take one set of spectra to another.

    Args:
        source, target: (M, F) complex, at the frequencies of `frequencies`.
        terms: (F, 6), from `frequencies`.
        start: (M, 6), the parameters to begin with.

    Returns:
        (M, 6), see `transfer`.
    """
    fitted = start
    for _ in range(_STEPS):
        step = _gauss_newton_step(fitted, source, target, terms)
        fitted = fitted + step.clip(-_LONGEST_STEP, _LONGEST_STEP)
    return fitted


def _gauss_newton_step(
    fitted: np.ndarray, source: np.ndarray, target: np.ndarray, terms: np.ndarray
) -> np.ndarray:
    """The change of the parameters, (M, 6), that brings the model to the target, to first order."""
    count = terms.shape[1]
    model = source * np.exp(fitted @ terms.T)
    error = target - model
    products = (terms.conj()[:, :, None] * terms[:, None, :]).real.reshape(len(terms), -1)
    normal = (np.abs(model) ** 2 @ products).reshape(-1, count, count)
    gradient = ((model.conj() * error) @ terms.conj()).real
    # The window spreads every frequency over its neighbours, so only half as many are independent.
    precision = (np.square(np.abs(error)).mean(axis=1, keepdims=True) + 1e-3) / _EXPECTED**2
    return np.linalg.solve(
        normal + precision[:, :, None] * np.eye(count), (gradient - precision * fitted)[..., None]
    )[..., 0]
