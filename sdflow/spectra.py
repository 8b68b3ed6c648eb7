"""Opponent colours, windows and frequencies, for the measurement of a camera."""

from functools import lru_cache

import torch
from torch import Tensor


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
