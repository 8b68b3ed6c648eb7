"""Low-pass filters and power spectra of image batches."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(maxsize=32)
def _gaussian(sigma: float, radius: int) -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    return taps / taps.sum()


def gaussian_blur(images: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian low-pass with reflected borders, (B, C, H, W) -> the same.

    Args:
        sigma: in pixels.
        radius: taps to each side; 2 sigma unless given. Smaller than H and W.
    """
    radius = math.ceil(2 * sigma) if radius is None else radius
    taps = _gaussian(sigma, radius).to(images)
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    with torch.autocast(images.device.type, enabled=False):  # bf16 rounds by as much as a camera's noise
        rows = F.conv2d(padded, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
        return F.conv2d(rows, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


@lru_cache(maxsize=32)
def _mixtures() -> Tensor:
    sums = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    differences = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]])
    return torch.cat([sums, differences]) / 2


def colour_mixtures(images: Tensor) -> Tensor:
    """Sums, then differences, of each two of R, G and B, halved: (B, 3, H, W) -> (B, 6, H, W).

    The powers of these six fix all of the channels' covariance, six numbers: how the channels go together.
    Those of the channels alone do not, nor those of any basis. All together have the power of R, G and B.
    """
    with torch.autocast(images.device.type, enabled=False):
        return torch.einsum("oc,bchw->bohw", _mixtures().to(images), images)


def windows(images: Tensor, size: int) -> Tensor:
    """Windows that overlap by half, (B, C, H, W) -> (B, N, C, size, size)."""
    cut = images.unfold(2, size, size // 2).unfold(3, size, size // 2)  # (B, C, ny, nx, size, size)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def power_spectrum(patches: Tensor) -> Tensor:
    """Power of square patches under a Hann window, their mean removed: (..., n, n) -> (..., n, n//2 + 1)."""
    return torch.fft.rfft2(_under_hann(patches)).abs().square()


def tied_frequencies(spectra: Tensor) -> Tensor:
    """Each frequency, and the three that a grid of 2x2 pixels ties to it, half a cycle per pixel off.

    Args:
        spectra: of windows of an even size, (..., C, n, n).

    Returns:
        (..., 4, C, n, n).
    """
    half = spectra.shape[-1] // 2
    shifts = [(0, 0), (0, half), (half, 0), (half, half)]
    return torch.stack([spectra.roll(shift, (-2, -1)) for shift in shifts], -4)


def cyclic_power(patches: Tensor) -> Tensor:
    """Products of each frequency with the conjugate of those that a 2x2 grid ties to it.

    The first of the four is the power. The means of the others over many patches that begin at even places
    are 0 unless their statistics differ between the four places of a 2x2 grid (Gardner's spectral
    correlation of cyclostationary signals).

    Args:
        patches: (..., C, n, n), n even.

    Returns:
        Real and imaginary part, (..., 4, C, n, n, 2).
    """
    values = torch.fft.fft2(_under_hann(patches))
    return torch.view_as_real(values.unsqueeze(-4) * tied_frequencies(values).conj())


def _under_hann(patches: Tensor) -> Tensor:
    """Less their mean and under a Hann window of unit power."""
    size = patches.shape[-1]
    hann = torch.hann_window(size, periodic=True, device=patches.device, dtype=patches.dtype)
    window = torch.outer(hann, hann)
    centred = patches - patches.mean((-2, -1), keepdim=True)
    return centred * (window / window.norm())


@lru_cache(maxsize=8)
def radial_frequency(size: int) -> Tensor:
    """Cycles per pixel of each bin of ``power_spectrum``, (n, n//2 + 1)."""
    return torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :])
