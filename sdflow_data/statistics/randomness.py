"""Randomness of the noise: the differences between the variants of one patch.

A generator can match every statistic of single samples with a texture that is the same in all variants.
The variants of such a generator hardly differ, and their mean is as noisy as each of them.
"""

import numpy as np

from .batch import Batch
from .noise import flat_blocks, in_blocks, noise_in, variance_of
from .registry import Statistic, measures

_FLAT_BLOCKS = 4


@measures(
    Statistic(
        "variant_spread",
        "levels",
        "variants",
        "standard deviation between the variants of a patch",
        headline=True,
    )
)
def variant_spread(batch: Batch) -> np.ndarray:
    """Variance over the variants, averaged in 8x8 blocks; the median block. NaN for a single variant."""
    if batch.variants_per_patch < 2:
        return np.full(len(batch.lr), np.nan)
    variance = in_blocks(batch.variants.var(axis=1, ddof=1)).mean(axis=(2, 3))
    return batch.of_samples(np.sqrt(np.median(variance, axis=1)))


@measures(
    Statistic("noise_of_mean", "levels", "variants", "noise that is left in the mean of a patch's variants"),
    Statistic(
        "noise_random",
        "%",
        "variants",
        "share of the noise variance in flat areas that differs between variants",
        headline=True,
    ),
)
def noise_of_mean(batch: Batch) -> np.ndarray:
    """Noise level of the mean of the variants, and share of the variance that the mean lacks.

    NaN for a single variant. The share is also NaN for a noise variance under 1/4.
    """
    count = batch.variants_per_patch
    if count < 2:
        return np.full((len(batch.lr), 2), np.nan)
    mean = batch.variants.mean(axis=1)
    flat = flat_blocks(mean, _FLAT_BLOCKS)
    of_mean = _variance_in(flat, mean)
    of_single = np.mean([_variance_in(flat, batch.variants[:, k]) for k in range(count)], axis=0)
    random = (of_single - of_mean) / np.maximum(of_single, 1e-6) * count / (count - 1)
    share = np.where(of_single >= 0.25, 100 * random.clip(0, 1), np.nan)
    return batch.of_samples(np.stack([np.sqrt(of_mean), share], axis=1))


def _variance_in(blocks: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(M,): mean noise variance in the chosen blocks (M, k)."""
    _, noise = noise_in(images, blocks)
    return variance_of(noise).mean(axis=(1, 2))
