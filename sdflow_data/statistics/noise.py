"""Noise: its level in flat areas."""

import numpy as np
from scipy import ndimage

from .batch import LUMA, Batch
from .registry import Statistic, measures

_BLOCK = 8
_FLATTEST = 0.1
"""Share of a patch's blocks that count as flat."""


def _smooth_surfaces() -> np.ndarray:
    """(64, 6): an orthonormal basis of the quadratic surfaces over a block."""
    side = np.linspace(-1, 1, _BLOCK)
    y, x = (axis.ravel() for axis in np.meshgrid(side, side, indexing="ij"))
    return np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0]


_SURFACES = _smooth_surfaces().astype(np.float32)


def in_blocks(images: np.ndarray) -> np.ndarray:
    """(M, p, p, ...) to the whole 8x8 blocks in it, (M, blocks, 64, ...)."""
    count = images.shape[1] // _BLOCK
    whole = images[:, : count * _BLOCK, : count * _BLOCK]
    cells = whole.reshape(len(images), count, _BLOCK, count, _BLOCK, *images.shape[3:]).swapaxes(2, 3)
    return cells.reshape(len(images), count * count, _BLOCK * _BLOCK, *images.shape[3:])


def block_noise(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean level and noise variance of every 8x8 block.

    The variance is that around the quadratic surface which fits the block best, so that noise counts whatever
    its grain (a high-pass filter would miss what JPEG or blur has left of it), and shading does not.

    Args:
        images: (M, p, p, 3).

    Returns:
        levels and variances, (M, blocks, 3) each.
    """
    blocks = in_blocks(images)
    levels = blocks.mean(axis=2)
    centred = blocks - levels[:, :, None]
    smooth = np.einsum("mbic,is->mbsc", centred, _SURFACES)
    energy = np.einsum("mbic,mbic->mbc", centred, centred) - np.einsum("mbsc,mbsc->mbc", smooth, smooth)
    return levels, energy.clip(0) / (_BLOCK * _BLOCK - _SURFACES.shape[1])


def flat_blocks(images: np.ndarray, share: float = _FLATTEST) -> np.ndarray:
    """(M, k): the blocks with the smallest gradients after a slight blur, least of all clipped ones.

    Choosing by gradients and not by energy keeps the noise of the chosen blocks an unbiased sample.
    """
    smoothed = ndimage.gaussian_filter(images @ LUMA, (0, 1, 1))
    gradient = np.hypot(*np.gradient(smoothed, axis=(1, 2)))
    clipped = (images <= 0) | (images >= 255)
    activity = in_blocks(gradient).mean(axis=2) + 1000 * (in_blocks(clipped).mean(axis=(2, 3)) > 0.02)
    count = max(2, round(share * activity.shape[1]))
    return np.argpartition(activity, min(count, activity.shape[1]) - 1, axis=1)[:, :count]


def flat_variance(images: np.ndarray) -> np.ndarray:
    """(M,): noise variance in flat areas, the mean of the channels, in squared grey levels."""
    _, variances = block_noise(images)
    chosen = np.take_along_axis(variances.mean(axis=2), flat_blocks(images), axis=1)
    return np.median(chosen, axis=1)


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
    return np.sqrt(flat_variance(batch.lr))
