"""Bias and spread of the estimators of sdflow_data.statistics on known degradations.

    python benchmarks/estimators.py

prints the table of docs/statistics.md. The photographs are those of scikit-image. Patches have 64x64 LR
pixels, and each is measured separately, as in `sdflow inspect`.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import click
import numpy as np
import skimage.data
from PIL import Image
from results import json_option, record  # type: ignore[import-not-found]
from scipy import ndimage

from sdflow_data.statistics import STATISTICS, Batch, frame_of_patches, measure
from sdflow_data.statistics.batch import bicubic_lr
from sdflow_data.statistics.kernel import kernel_sums
from sdflow_data.statistics.noise import noise_curve

SIZE, SCALE = 64, 2


@dataclass(frozen=True)
class Case:
    """One statistic under one known degradation; NaN is no estimate."""

    statistic: str
    degradation: str
    truth: float
    estimates: np.ndarray

    @property
    def bias(self) -> float:
        """Median estimate minus the truth."""
        return float(np.nanmedian(self.estimates) - self.truth)

    @property
    def spread(self) -> float:
        """Half of the central 68 % range of the estimates: the standard deviation of a Gaussian."""
        low, high = np.nanquantile(self.estimates, [0.16, 0.84])
        return float((high - low) / 2)


def photographs() -> list[np.ndarray]:
    """Sharp photographs, uint8 (H, W, 3)."""
    names = ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry")
    left, right, _ = skimage.data.stereo_motorcycle()
    return [getattr(skimage.data, name)() for name in names] + [left, right]


def clean_photographs() -> list[np.ndarray]:
    """The photographs at a third of their size, float, which removes their noise and JPEG blocks."""
    return [_downscale(photograph, 3) for photograph in photographs()]


def cases(random: np.random.Generator) -> Iterator[Case]:
    """All estimators with a known truth."""
    clean = clean_photographs()
    for sigma in (2.0, 5.0, 10.0, 15.0, 25.0):
        noisy = _patches([_round(photo + random.normal(0, sigma, photo.shape)) for photo in clean])
        yield _case("noise_sigma", f"white noise, sigma {sigma:g}", sigma, noisy)
        yield _case("noise_grain", f"white noise, sigma {sigma:g}", 0, noisy)
        yield _case("noise_channels", f"white noise, sigma {sigma:g}", 0, noisy)
    for sigma in (5.0, 10.0):
        grey = _patches(
            [_round(photo + random.normal(0, sigma, photo.shape[:2])[..., None]) for photo in clean]
        )
        yield _case("noise_channels", f"grey noise, sigma {sigma:g}", 1, grey)
    for gain in (0.05, 0.2, 0.5, 1.0):
        noisy = _patches([_round(photo + _poisson_gaussian(photo, gain, 2, random)) for photo in clean])
        yield _case("noise_gain", f"variance {gain} * brightness + 4", gain, noisy)
        yield _case("noise_dark", f"variance {gain} * brightness + 4", 2, noisy)
        curve = noise_curve(frame_of_patches(noisy))
        truth = f"variance {gain} * brightness + 4"
        yield Case("gain of the set (levels)", truth, gain, np.array([curve.gain]))
    for quality in (30, 50, 70, 85, 95):
        compressed = _patches([_jpeg(_round(photo), quality) for photo in clean])
        yield _case("jpeg_quality", f"JPEG quality {quality}", quality, compressed)
    yield _case("jpeg_quality", "no JPEG", 100, _patches([_round(photo) for photo in clean]))
    for noise in (0, 5):
        for sigma in (0.0, 0.5, 1.0, 2.0, 3.0):
            blur = _pairs(partial(_blur, sigma=sigma), noise, random)
            truth = np.sqrt(_discrete_variance(sigma)) / SCALE
            yield _case("blur_width", f"Gaussian blur {sigma} HR pixels, noise {noise}", truth, *blur)
            widths = _kernel_widths(*blur)
            yield Case(
                "width of the kernel (pixels)",
                f"Gaussian blur {sigma} HR pixels, noise {noise}",
                truth,
                widths,
            )
        for shift in (0.0, 0.1, 0.25, 0.5, 1.0):
            moved = _pairs(partial(_move, right=shift * SCALE), noise, random)
            yield _case("shift_x", f"moved by {shift} pixels, noise {noise}", shift, *moved)


def _case(
    statistic: str, degradation: str, truth: float, lr: np.ndarray, hr: np.ndarray | None = None
) -> Case:
    return Case(statistic, degradation, truth, measure(Batch(lr[:, None], hr), [statistic])[statistic])


def _kernel_widths(lr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Of the kernels of groups of 10 patches, their mean width."""
    groups = [slice(start, start + 10) for start in range(0, len(lr) - 9, 10)]
    return np.array([kernel_sums(hr[g], lr[g, None]).solve().widths.mean() for g in groups])


def _pairs(
    degrade: Callable[[np.ndarray], np.ndarray], noise: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """LR and HR patches; LR is bicubic of the degraded photographs, plus white noise."""
    low = [_downscale(degrade(photograph), SCALE) for photograph in photographs()]
    noisy = [_round(image + random.normal(0, noise, image.shape)) for image in low]
    return _patches(noisy), _patches(photographs(), SIZE * SCALE)


def _patches(images: list[np.ndarray], size: int = SIZE) -> np.ndarray:
    return np.stack(
        [
            image[top : top + size, left : left + size]
            for image in images
            for top in range(0, image.shape[0] - size + 1, size // 2)
            for left in range(0, image.shape[1] - size + 1, size // 2)
        ]
    )


def _downscale(image: np.ndarray, scale: int) -> np.ndarray:
    height, width = (side // scale * scale for side in image.shape[:2])
    padded = np.zeros((max(height, width),) * 2 + (3,), np.float32)
    padded[:height, :width] = image[:height, :width]
    return bicubic_lr(padded[None], len(padded) // scale)[0, : height // scale, : width // scale]


def _round(image: np.ndarray) -> np.ndarray:
    return np.rint(image).clip(0, 255).astype(np.uint8)


def _poisson_gaussian(image: np.ndarray, gain: float, dark: float, random: np.random.Generator) -> np.ndarray:
    return random.normal(0, np.sqrt(gain * image.clip(0) + dark**2))


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0))


def _discrete_variance(sigma: float) -> float:
    """Of the sampled Gaussian that `_blur` applies; smaller than sigma^2 where sigma is."""
    if sigma == 0:
        return 0.0
    x = np.arange(-20, 21)
    weights = np.exp(-0.5 * np.square(x / sigma))
    return float(weights @ x**2 / weights.sum())


def _move(image: np.ndarray, right: float) -> np.ndarray:
    return ndimage.shift(image.astype(np.float32), (0, right, 0), order=5, mode="reflect")


@click.command()
@json_option
def main() -> None:
    """Print the table."""
    results = []
    print("| statistic | unit | degradation | truth | bias | spread | patches |")
    print("|---|---|---|---|---|---|---|")
    for case in sorted(cases(np.random.default_rng(0)), key=lambda c: c.statistic):
        known = STATISTICS.get(case.statistic)
        name, unit = (f"`{known.name}`", known.unit) if known else (case.statistic, "")
        measured = int(np.isfinite(case.estimates).sum())
        print(
            f"| {name} | {unit} | {case.degradation} | {case.truth:.3g} | {case.bias:+.3f} "
            f"| {case.spread:.3f} | {measured} of {len(case.estimates)} |"
        )
        row = {"statistic": case.statistic, "degradation": case.degradation, "truth": case.truth}
        results.append({**row, "bias": case.bias, "spread": case.spread, "patches": measured})
    record(results)


if __name__ == "__main__":
    main()
