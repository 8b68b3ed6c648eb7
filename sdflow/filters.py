"""Low-pass filters of image batches."""

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
        sigma: standard deviation in pixels.
        radius: taps on each side, smaller than H and W; default 2 sigma.
    """
    radius = math.ceil(2 * sigma) if radius is None else radius
    taps = _gaussian(sigma, radius).to(images)
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    with torch.autocast(images.device.type, enabled=False):  # bf16 rounding is as large as a camera's noise
        rows = F.conv2d(padded, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
        return F.conv2d(rows, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
