"""Traces of JPEG: borders of 8x8 blocks, and the grid of its quantisation."""

import numpy as np
from scipy.fft import dctn

from ..images.jpeg_traces import QUALITIES, lattice_evidence
from .batch import Batch, at_limits
from .noise import in_blocks
from .registry import Statistic, measures

_LEAST_EVIDENCE = 10.0
"""Log likelihood ratio, in nats, above which a quality counts as found."""


@measures(
    Statistic(
        "blockiness",
        "octaves",
        "lr",
        "roughness of the borders of an 8x8 grid against the rest, at the likeliest place of the grid",
        headline=True,
    ),
    Statistic(
        "blockiness_corner",
        "octaves",
        "lr",
        "roughness of the borders of an 8x8 grid against the rest, for a grid that begins at the corner",
    ),
)
def blockiness(batch: Batch) -> np.ndarray:
    """log2 of the roughness at one of 8 phases over that of the others; mean of both axes.

    Two columns: the phase with the highest ratio, and phase 0. NaN for patches under 16 pixels.
    """
    if batch.size < 16:
        return np.full((len(batch.lr), 2), np.nan)
    along = [block_phases(grey) for grey in (batch.grey, batch.grey.swapaxes(1, 2))]
    return np.mean([np.stack([phases.max(axis=1), phases[:, 0]], axis=1) for phases in along], axis=0)


def block_phases(grey: np.ndarray) -> np.ndarray:
    """The roughness of columns at each phase of a grid of 8, against that of the other phases.

    Args:
        grey: (M, h, w) grey levels, w at least 16.

    Returns:
        (M, 8) in octaves (log2). Phase k has its borders on the left of columns k, k + 8, and so on.
    """
    third = np.abs(np.diff(grey, n=3, axis=2)).mean(axis=1)  # third differences: blind to smooth shading
    # Difference n spans columns n to n + 3. Its centre is the border on the left of column n + 2.
    phases = np.stack([third[:, (phase - 2) % 8 :: 8].mean(axis=1) for phase in range(8)], axis=1)
    others = (phases.sum(axis=1, keepdims=True) - phases) / 7
    return np.log2((phases + 0.25) / (others + 0.25))


@measures(
    Statistic(
        "jpeg_quality",
        "",
        "lr",
        "quality setting (libjpeg's) of a JPEG compression whose grid starts at the corner; 100: none",
        headline=True,
    )
)
def jpeg_quality(batch: Batch) -> np.ndarray:
    """The libjpeg quality whose quantisation steps the luma DCT coefficients are multiples of.

    The quality has the largest likelihood ratio of "multiples of the steps, plus rounding" against "any
    value", over all blocks without clipped pixels. Coefficients of zero count against a quality, but never
    for it. 100 if no quality is likely enough; NaN if every block has clipped pixels.
    """
    clipped = np.any(at_limits(batch.lr), axis=3, keepdims=True)
    usable = np.logical_not(in_blocks(clipped).any(axis=(2, 3)))
    blocks = in_blocks(batch.grey[..., None])
    transformed = dctn(blocks.reshape(*usable.shape, 8, 8), axes=(2, 3), norm="ortho")
    evidence = lattice_evidence(transformed.reshape(*usable.shape, 64)[:, :, 1:], usable)
    best = np.where(evidence.max(axis=1) > _LEAST_EVIDENCE, np.array(QUALITIES)[evidence.argmax(axis=1)], 100)
    return np.where(np.any(usable, axis=1), best, np.nan)
