"""The measures that papers on noise models report, so that figures can be compared with theirs.

Noise is LR less a clean reference of the same scene, in parts of the range (levels / 255), as the papers
have it. Several definitions go by one name; each function names the one that it follows.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_BIN = 0.2 / 64
_EDGES = np.concatenate([[-np.inf], np.arange(-0.1, 0.1 + 1e-9, _BIN), [np.inf]])
"""64 bins from -0.1 to 0.1, and one for all that is beyond either end."""

_WINDOW = np.array([1, 3.5, 7, 9, 7, 3.5, 1]) / 32
"""One side of DANet's Gaussian window: OpenCV's of 7 taps."""

_LEAST_RATIO, _MOST_RATIO, _LEAST_VARIANCE = 0.1, 10.0, 1e-10


def histogram_kld(generated: np.ndarray, real: np.ndarray, added: int = 0) -> float:
    """Kullback-Leibler divergence of the histogram of generated noise from that of real noise, in nats.

    Args:
        generated, real: noise of any shape, in parts of the range.
        added: to the count of every bin. 0 is Noise Flow's definition (Abdelhamed, Brubaker and Brown, ICCV
            2019), which skips bins that either side leaves empty; 1 is that of sRGB noise flow (Kousha,
            Maleky, Brown and Brubaker, CVPR 2022).
    """
    p, q = (_shares(noise, added) for noise in (real, generated))
    both = (p > 0) & (q > 0)
    return float(np.sum(p[both] * np.log(p[both] / q[both])))


def _shares(noise: np.ndarray, added: int) -> np.ndarray:
    counts = np.histogram(noise, _EDGES)[0] + added
    shares: np.ndarray = counts / max(1, counts.sum())
    return shares


def histogram_akld(generated: np.ndarray, real: np.ndarray) -> float:
    """Mean over the pictures of `histogram_kld` (a count added to every bin) of each with its partner.

    Args:
        generated: (N, K, p, p, 3) noise; real: (N, p, p, 3).
    """
    found = [histogram_kld(sample, partner, 1) for some, partner in zip(generated, real) for sample in some]
    return float(np.mean(found))


def gaussian_akld(generated: np.ndarray, real: np.ndarray) -> float:
    """Average KL divergence as DANet defines it (Yue, Zhao, Zhang and Meng, ECCV 2020), which NAFlow reports.

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
        NoiseMeasure("KLD", "nats", histogram_kld(ours, theirs), "histograms, Noise Flow (ICCV 2019)"),
        NoiseMeasure(
            "KLD",
            "nats",
            histogram_kld(ours, theirs, 1),
            "histograms with a count added, sRGB noise flow (CVPR 2022)",
        ),
        NoiseMeasure(
            "AKLD", "nats", gaussian_akld(ours, theirs), "7 x 7 Gaussian variances, DANet (ECCV 2020), NAFlow"
        ),
        NoiseMeasure(
            "AKLD", "nats", histogram_akld(ours, theirs), "mean of histograms' KLD picture by picture"
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
