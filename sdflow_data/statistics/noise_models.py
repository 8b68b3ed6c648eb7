"""The measures that papers on noise models report, for comparison with their figures.

Noise is LR minus a clean reference of the same scene, as a fraction of the range (grey levels / 255).
Papers use one name for several definitions. Each function names the paper that it follows, and follows
the authors' code.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

NOISE_FLOW = np.concatenate([[-np.inf], np.arange(-0.1, 0.1 + 1e-9, 0.2 / 64), [np.inf]])
"""Edges of Noise Flow's bins: 64 from -0.1 to 0.1, and one beyond either end."""

SRGB_NOISE_FLOW = np.arange(-260, 261, 4) / 255
"""Edges of the bins of sRGB noise flow: each is four grey levels wide."""

_WINDOW = np.array([1, 3.5, 7, 9, 7, 3.5, 1]) / 32
"""DANet's Gaussian window along one axis: OpenCV's, with 7 taps."""

_LEAST_RATIO, _MOST_RATIO, _LEAST_VARIANCE = 0.1, 10.0, 1e-10


def kld(generated: np.ndarray, real: np.ndarray, edges: np.ndarray, added: int = 0) -> float:
    """KL(real || generated) of the histograms of noise, in nats.

    Args:
        generated, real: noise of any shape, as a fraction of the range.
        edges: the edges of the bins.
        added: a number that is added to the count of every bin. If it is 0, bins that are empty on either
            side are left out.
    """
    p, q = (_shares(noise, edges, added) for noise in (real, generated))
    both = (p > 0) & (q > 0)
    return float(np.sum(p[both] * np.log(p[both] / q[both])))


def _shares(noise: np.ndarray, edges: np.ndarray, added: int) -> np.ndarray:
    counts = np.histogram(noise, edges)[0] + added
    shares: np.ndarray = counts / max(1, counts.sum())
    return shares


def mean_kld(generated: np.ndarray, real: np.ndarray, edges: np.ndarray, added: int = 0) -> float:
    """The mean over the samples of the `kld` between a sample and its partner, as papers report it.

    Noise Flow (Abdelhamed, Brubaker and Brown, ICCV 2019): edges `NOISE_FLOW`, nothing added. sRGB noise flow
    (Kousha, Maleky, Brown and Brubaker, CVPR 2022): edges `SRGB_NOISE_FLOW`, 1 added.

    Args:
        generated: (N, K, p, p, 3) noise; real: (N, p, p, 3).
        edges, added: see `kld`.
    """
    found = [kld(sample, partner, edges, added) for some, partner in zip(generated, real) for sample in some]
    return float(np.mean(found))


def gaussian_akld(generated: np.ndarray, real: np.ndarray) -> float:
    """Average KL divergence (AKLD), in nats.

    DANet defines it (Yue, Zhao, Zhang and Meng, ECCV 2020); NAFlow reports it (Kim, Jung, Baik and Kim, CVPR
    2024). The noise of a pixel is modelled as a Gaussian of mean 0. Its variance is the mean square of the
    noise under a Gaussian window of 7 x 7 pixels. Ratios of variances are clipped to 0.1 and 10.

    Args:
        generated: (N, K, p, p, 3) noise; real: (N, p, p, 3).
    """
    of_real = _local_variance(real)[:, None]
    ratio = (_local_variance(generated) / of_real).clip(_LEAST_RATIO, _MOST_RATIO)
    return float(0.5 * np.mean(ratio - 1 - np.log(ratio)))


def _local_variance(noise: np.ndarray) -> np.ndarray:
    """(..., p, p, 3) noise to the variance at each pixel, of the same shape."""
    smooth = np.square(noise, dtype=np.float64)
    for axis in (-3, -2):
        smooth = ndimage.correlate1d(smooth, _WINDOW, axis=axis, mode="mirror")
    return smooth.clip(_LEAST_VARIANCE)


def kurtosis(noise: np.ndarray) -> float:
    """Excess kurtosis over all values: 0 for a Gaussian; NaN if all values are equal."""
    centred = noise - noise.mean(dtype=np.float64)
    variance = np.square(centred).mean()
    return float((centred**4).mean() / variance**2 - 3) if variance > 0 else np.nan


def neighbour_correlation(noise: np.ndarray) -> float:
    """The correlation of noise (..., p, p, 3) between neighbouring pixels; NaN if there is no noise.

    It is the mean over the neighbours on the right and below.
    """
    centred = noise - noise.mean(axis=(-3, -2), keepdims=True, dtype=np.float64)
    right = (centred[..., 1:, :] * centred[..., :-1, :]).mean()
    below = (centred[..., 1:, :, :] * centred[..., :-1, :, :]).mean()
    variance = np.square(centred).mean()
    return float((right + below) / 2 / variance) if variance > 0 else np.nan


@dataclass(frozen=True)
class NoiseMeasure:
    """One figure as papers report it.

    Attributes:
        name, unit: the names that papers use.
        value: the value for generated against real noise.
        definition: the definition, with its paper.
    """

    name: str
    unit: str
    value: float
    definition: str


def noise_measures(generated: np.ndarray, real: np.ndarray, clean: np.ndarray) -> list[NoiseMeasure]:
    """All measures of samples against their real partners.

    Args:
        generated: (N, K, p, p, 3) grey levels, K samples of each scene.
        real: (N, p, p, 3) grey levels, the real LR of the same scenes.
        clean: (N, p, p, 3) grey levels, the reference that is subtracted. With bicubic LR as the reference,
            blur counts as noise on both sides.

    Raises:
        ValueError: the shapes do not fit.
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
            "mean over samples; bins of 0.2/64, without empty ones: Noise Flow, Abdelhamed et al., ICCV 2019",
        ),
        NoiseMeasure(
            "KLD",
            "nats",
            mean_kld(ours, theirs, SRGB_NOISE_FLOW, 1),
            "mean over samples; bins of 4 levels, each plus 1: sRGB noise flow, Kousha et al., CVPR 2022",
        ),
        NoiseMeasure(
            "KLD of the set",
            "nats",
            kld(ours, theirs, NOISE_FLOW),
            "one histogram of all noise, bins of Noise Flow; not from a paper, steadier on small patches",
        ),
        NoiseMeasure(
            "AKLD",
            "nats",
            gaussian_akld(ours, theirs),
            "Gaussians with the variances of 7 x 7 windows: DANet, Yue et al., ECCV 2020; NAFlow, CVPR 2024",
        ),
        NoiseMeasure(
            "kurtosis gap", "", kurtosis(ours) - kurtosis(theirs), "excess kurtosis, generated minus real"
        ),
        NoiseMeasure(
            "gap of spatial correlation",
            "",
            neighbour_correlation(ours) - neighbour_correlation(theirs),
            "correlation of neighbouring pixels, generated minus real",
        ),
    ]
    if generated.shape[1] > 1:
        temporal = float(generated.var(axis=1, ddof=1, dtype=np.float64).mean())
        found.append(
            NoiseMeasure("temporal variance", "levels²", temporal, "variance between samples of one scene")
        )
    return found
