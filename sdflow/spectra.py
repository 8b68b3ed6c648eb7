"""Opponent colours, windows and their spectra, for the measurement of a camera."""

from functools import lru_cache

import torch
from torch import Tensor

SIZE = 32
"""Side of the windows, and the period of the measured spectra."""


@lru_cache(maxsize=32)
def _opponents() -> Tensor:
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def opponent_colours(images: Tensor, inverse: bool = False) -> Tensor:
    """RGB to brightness, R - B and R - 2G + B (an orthonormal basis), or back: (B, 3, H, W) -> the same."""
    basis = _opponents().to(images)
    with torch.autocast(images.device.type, enabled=False):
        return torch.einsum("oc,bchw->bohw", basis.T if inverse else basis, images)


def windows(images: Tensor, size: int) -> Tensor:
    """Half-overlapping windows, (B, C, H, W) -> (B, N, C, size, size)."""
    cut = images.unfold(2, size, size // 2).unfold(3, size, size // 2)  # (B, C, ny, nx, size, size)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def under_hann(patches: Tensor) -> Tensor:
    """Windows minus their mean, under a Hann window of unit power."""
    size = patches.shape[-1]
    hann = torch.hann_window(size, periodic=True, device=patches.device, dtype=patches.dtype)
    window = torch.outer(hann, hann)
    centred = patches - patches.mean((-2, -1), keepdim=True)
    return centred * (window / window.norm())


@lru_cache(maxsize=8)
def radial_frequency(size: int) -> Tensor:
    """Cycles per pixel of each bin of a real Fourier transform of n x n pixels, (n, n // 2 + 1)."""
    return torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :])


def windows_of_picture(picture: Tensor, size: int) -> Tensor:
    """Half-overlapping windows of one picture, fp32: (3, H, W) -> (N, 3, size, size)."""
    return windows(picture[None].float(), size)[0]


def cross_spectrum(patches: Tensor) -> Tensor:
    """The real part of the cross-spectra of patches (n, 3, p, p), p at most 32: (n, 32, 17, 3, 3).

    The imaginary part is what one colour lags behind another; a zero-phase camera has none. Smaller patches
    are continued with zeros, which smooths their spectrum.
    """
    values = torch.fft.rfft2(under_hann(patches), s=(SIZE, SIZE)).movedim(1, -1)
    real, imaginary = values.real, values.imag
    return real[..., :, None] * real[..., None, :] + imaginary[..., :, None] * imaginary[..., None, :]


def power_of(spectra: Tensor) -> Tensor:
    """Power of each colour, from cross-spectra: (..., 3, 3) -> (..., 3)."""
    return spectra.diagonal(dim1=-2, dim2=-1)


def power_spectrum(colours: Tensor) -> Tensor:
    """Mean power of the windows of pictures (B, 3, H, W) in opponent colours: (32, 17, 3)."""
    return power_of(cross_spectrum(windows(colours, SIZE).flatten(0, 1))).mean(0)


def variance_of(spectra: Tensor) -> Tensor:
    """Variance of each colour, from cross-spectra: (..., 32, 17, 3, 3) -> (..., 3)."""
    return variance_of_power(power_of(spectra))


def variance_of_power(powers: Tensor, above: float = 0.0) -> Tensor:
    """Variance of each colour, from its power from ``above`` on: (..., 32, 17, 3) -> (..., 3)."""
    of_plane = torch.full((1, SIZE // 2 + 1, 1), 2.0)  # each stands for itself and its conjugate
    of_plane[:, [0, -1]] = 1
    told = radial_frequency(SIZE)[..., None] >= above
    return (powers * of_plane * told).sum((-3, -2)) / SIZE**2


def of_all_directions(values: Tensor) -> Tensor:
    """The mean over the ring of each frequency, there: (..., 32, 17, C) -> the same shape."""
    ring = (radial_frequency(SIZE) * SIZE).round().long().flatten()
    flat = values.flatten(-3, -2)
    sums = values.new_zeros(*flat.shape[:-2], int(ring.max()) + 1, flat.shape[-1]).index_add(-2, ring, flat)
    return (sums / ring.bincount()[:, None])[..., ring, :].reshape(values.shape)
