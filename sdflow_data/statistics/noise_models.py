"""The measures that papers on noise models report, so that figures can be compared with theirs.

Noise is LR less a clean reference of the same scene, in parts of the range (levels / 255). Several
definitions go by one name; each function names the one that it follows, as the authors' code has it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

NOISE_FLOW = np.concatenate([[-np.inf], np.arange(-0.1, 0.1 + 1e-9, 0.2 / 64), [np.inf]])
"""Edges of Noise Flow's bins: 64 from -0.1 to 0.1, and one for all that is beyond either end."""

SRGB_NOISE_FLOW = np.arange(-260, 261, 4) / 255
"""Edges of the bins of sRGB noise flow: four grey levels each."""

_WINDOW = np.array([1, 3.5, 7, 9, 7, 3.5, 1]) / 32
"""One side of DANet's Gaussian window: OpenCV's of 7 taps."""

_LEAST_RATIO, _MOST_RATIO, _LEAST_VARIANCE = 0.1, 10.0, 1e-10


def kld(generated: np.ndarray, real: np.ndarray, edges: np.ndarray, added: int = 0) -> float:
    """Kullback-Leibler divergence of a histogram of generated noise from that of real noise, in nats.

    Args:
        generated, real: noise of any shape, in parts of the range.
        edges: of the bins.
        added: to the count of every bin; with 0, bins that either side leaves empty are left out.
    """
    p, q = (_shares(noise, edges, added) for noise in (real, generated))
    both = (p > 0) & (q > 0)
    return float(np.sum(p[both] * np.log(p[both] / q[both])))


def _shares(noise: np.ndarray, edges: np.ndarray, added: int) -> np.ndarray:
    counts = np.histogram(noise, edges)[0] + added
    shares: np.ndarray = counts / max(1, counts.sum())
    return shares


def mean_kld(generated: np.ndarray, real: np.ndarray, edges: np.ndarray, added: int = 0) -> float:
    """Mean over the samples of the `kld` of each from its partner, as papers report it.

    Noise Flow (Abdelhamed, Brubaker and Brown, ICCV 2019): edges `NOISE_FLOW`, nothing added. sRGB noise flow
    (Kousha, Maleky, Brown and Brubaker, CVPR 2022): edges `SRGB_NOISE_FLOW`, 1 added.

    Args:
        generated: (N, K, p, p, 3) noise; real: (N, p, p, 3).
        edges, added: as `kld` has them.
    """
    found = [kld(sample, partner, edges, added) for some, partner in zip(generated, real) for sample in some]
    return float(np.mean(found))


def gaussian_akld(generated: np.ndarray, real: np.ndarray) -> float:
    """Average KL divergence as DANet defines it (Yue, Zhao, Zhang and Meng, ECCV 2020), and NAFlow reports it
    (Kim, Jung, Baik and Kim, CVPR 2024).

    Noise at every pixel counts as a Gaussian of mean 0 whose variance is the square of the noise under a
    Gaussian window of 7 x 7; ratios of variances are cut to 0.1 and 10.

    Args:
        generated: (N, K, p, p, 3) noise; real: (N, p, p, 3).
    """
    of_real = _local_variance(real)[:, None]
    ratio = (_local_variance(generated) / of_real).clip(_LEAST_RATIO, _MOST_RATIO)
    return float(0.5 * np.mean(ratio - 1 - np.log(ratio)))


def _local_variance(noise: np.ndarray) -> np.ndarray:
    """(..., p, p, 3)."""
    smooth = np.square(noise, dtype=np.float64)
    for axis in (-3, -2):
        smooth = ndimage.correlate1d(smooth, _WINDOW, axis=axis, mode="mirror")
    return smooth.clip(_LEAST_VARIANCE)


def kurtosis(noise: np.ndarray) -> float:
    """Excess kurtosis over all values: 0 for a Gaussian; NaN where all are the same."""
    centred = noise - noise.mean(dtype=np.float64)
    variance = np.square(centred).mean()
    return float((centred**4).mean() / variance**2 - 3) if variance > 0 else np.nan


def neighbour_correlation(noise: np.ndarray) -> float:
    """Of noise (..., p, p, 3) with that of the pixels on the right and below; NaN where there is no noise."""
    centred = noise - noise.mean(axis=(-3, -2), keepdims=True, dtype=np.float64)
    right = (centred[..., 1:, :] * centred[..., :-1, :]).mean()
    below = (centred[..., 1:, :, :] * centred[..., :-1, :, :]).mean()
    variance = np.square(centred).mean()
    return float((right + below) / 2 / variance) if variance > 0 else np.nan


@dataclass(frozen=True)
class NoiseMeasure:
    """One figure as papers report it.

    Attributes:
        name, unit: as they are called there.
        value: of generated against real.
        definition: whose.
    """

    name: str
    unit: str
    value: float
    definition: str


def noise_measures(generated: np.ndarray, real: np.ndarray, clean: np.ndarray) -> list[NoiseMeasure]:
    """All of them, of samples against their real partners.

    Args:
        generated: (N, K, p, p, 3) grey levels, K samples of each scene.
        real: (N, p, p, 3), the real LR of the same scenes.
        clean: (N, p, p, 3), what noise is measured from: bicubic LR where there is nothing cleaner. Then
            blur counts
            as noise, on both sides.
    """
    if real.shape != clean.shape or generated.shape != (len(real), generated.shape[1], *real.shape[1:]):
        raise ValueError(
            f"real, clean: expected one shape (N, p, p, 3), and generated (N, K, p, p, 3) with it, got "
            f"{real.shape}, {clean.shape} and {generated.shape}"
        )
    reference = clean.astype(np.float32)
    ours, theirs = (generated - reference[:, None]) / 255, (real - reference) / 255
    found = [
        NoiseMeasure(
            "KLD",
            "nats",
            mean_kld(ours, theirs, NOISE_FLOW),
            "mean over samples; bins of 0.2/64, empty ones apart: Noise Flow, Abdelhamed et al., ICCV 2019",
        ),
        NoiseMeasure(
            "KLD",
            "nats",
            mean_kld(ours, theirs, SRGB_NOISE_FLOW, 1),
            "mean over samples; bins of 4 levels, a count added: sRGB noise flow, Kousha et al., CVPR 2022",
        ),
        NoiseMeasure(
            "KLD of the set",
            "nats",
            kld(ours, theirs, NOISE_FLOW),
            "one histogram of all noise in the bins of Noise Flow; no paper's, and steadier on small patches",
        ),
        NoiseMeasure(
            "AKLD",
            "nats",
            gaussian_akld(ours, theirs),
            "Gaussians with the variances of 7 x 7 windows: DANet, Yue et al., ECCV 2020; NAFlow, CVPR 2024",
        ),
        NoiseMeasure(
            "kurtosis gap", "", kurtosis(ours) - kurtosis(theirs), "excess kurtosis, generated less real"
        ),
        NoiseMeasure(
            "gap of spatial correlation",
            "",
            neighbour_correlation(ours) - neighbour_correlation(theirs),
            "of neighbouring pixels, generated less real",
        ),
    ]
    if generated.shape[1] > 1:
        temporal = float(generated.var(axis=1, ddof=1, dtype=np.float64).mean())
        found.append(
            NoiseMeasure(
                "temporal variance", "levels²", temporal, "between samples of one scene, mean of pixels"
            )
        )
    return found
