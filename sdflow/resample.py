"""The pixel conventions of the project: value ranges and the reference (bicubic) downscaling."""

import torch
import torch.nn.functional as F
from torch import Tensor


def to_unit(pixels: Tensor) -> Tensor:
    """8-bit grey levels in [0, 255] to the model's range [-1, 1] (float32): ``v / 127.5 - 1``.

    >>> to_unit(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-1.,  1.])
    """
    return pixels.to(torch.float32) / 127.5 - 1.0


def to_levels(images: Tensor) -> Tensor:
    """The model's range [-1, 1] to grey levels in [0, 255], neither rounded nor clipped."""
    return (images.to(torch.float32) + 1.0) * 127.5


def quantise(levels: Tensor) -> Tensor:
    """Grey levels to uint8: rounded to the nearest level, then clipped to [0, 255].

    The caller must check for non-finite values, which have no 8-bit value.

    >>> quantise(torch.tensor([-3.0, 12.4, 12.6, 300.0]))
    tensor([  0,  12,  13, 255], dtype=torch.uint8)
    """
    return levels.round().clamp(0, 255).to(torch.uint8)


def bicubic_downscale(images: Tensor, scale: int) -> Tensor:
    """Antialiased bicubic downscaling (Keys, a = -0.5), equal to Pillow's ``BICUBIC``.

    Args:
        images: (B, C, s*H, s*W), any float range.
        scale: the integer factor s; both sizes must be multiples of it.

    Returns:
        (B, C, H, W) in the same range, with the usual over- and undershoot at edges.
    """
    height, width = images.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"images: expected sizes that are multiples of {scale}, got {height}x{width}")
    size = (height // scale, width // scale)
    return F.interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=True)


def as_stored(images: Tensor) -> Tensor:
    """Images in [-1, 1] after storage in an 8-bit file: rounded to grey levels and clipped."""
    return to_unit(quantise(to_levels(images)))
