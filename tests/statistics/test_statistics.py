"""Estimators: laws that each must obey, and known degradations of photographs, measured again."""

import io

import numpy as np
import pandas as pd
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.stats import gennorm

from sdflow_data.statistics import (
    CHEAP_COLUMNS,
    LR_COLUMNS,
    STATISTICS,
    Batch,
    bicubic_frame,
    cheap_statistics,
    frame_of_images,
    frame_of_pairs,
    frame_of_patches,
    measure,
)
from sdflow_data.statistics.batch import bicubic_lr
from sdflow_data.statistics.frames import cut_patches
from sdflow_data.statistics.kernel import kernel_sums
from sdflow_data.statistics.naturalness import asymmetric_fit
from sdflow_data.statistics.noise import noise_curve
from sdflow_data.statistics.spectrum import BANDS

SCALE, SIZE = 2, 64


def photographs() -> list[np.ndarray]:
    return [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()]


def hr_patches() -> np.ndarray:
    """(20, 128, 128, 3): five of each photograph."""
    return np.concatenate([cut_patches(photo, SIZE * SCALE, 5) for photo in photographs()])


def to_lr(hr: np.ndarray, noise: float = 0, seed: int = 0) -> np.ndarray:
    """(N, 1, p, p, 3): bicubic, plus white noise, as 8 bits."""
    low = bicubic_lr(hr, hr.shape[1] // SCALE)
    noisy = low + np.random.default_rng(seed).normal(0, noise, low.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)[:, None]


def whole_photographs(degrade, noise: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """HR patches, and LR patches of photographs that are degraded as a whole, so that nothing is cut."""
    hr, lr = [], []
    for photo in photographs():
        square = photo[:256, :256].astype(np.float32)
        hr.append(cut_patches(photo[:256, :256], SIZE * SCALE, 4))
        lr.append(cut_patches(bicubic_lr(degrade(square)[None], 256 // SCALE)[0], SIZE, 4))
    low = np.concatenate(lr)
    low = low + np.random.default_rng(0).normal(0, noise, low.shape)
    return np.concatenate(hr), np.rint(low).clip(0, 255).astype(np.uint8)[:, None]


def clean() -> list[np.ndarray]:
    """Photographs at half their size, without noise and JPEG blocks of their own, float."""
    return [bicubic_lr(photo[None, :256, :256].astype(np.float32), 128)[0] for photo in photographs()]


def patches_of(images: list[np.ndarray]) -> np.ndarray:
    whole = [np.rint(image).clip(0, 255).astype(np.uint8) for image in images]
    return np.concatenate([cut_patches(image, SIZE, 4) for image in whole])


def median(name: str, lr: np.ndarray, hr: np.ndarray | None = None) -> float:
    return float(np.nanmedian(measure(Batch(lr if lr.ndim == 5 else lr[:, None], hr), [name])[name]))


@pytest.fixture(scope="module")
def noisy_frame():
    hr = hr_patches()
    return frame_of_pairs(hr, np.concatenate([to_lr(hr, 8, seed) for seed in range(3)], axis=1))


# Known degradations


@pytest.mark.parametrize("sigma", [2, 5, 10, 25])
def test_the_noise_level_of_white_noise_is_found(sigma: float) -> None:
    random = np.random.default_rng(0)
    found = median(
        "noise_sigma", patches_of([image + random.normal(0, sigma, image.shape) for image in clean()])
    )
    assert found == pytest.approx(sigma, rel=0.1, abs=0.4)


def test_coarse_grain_is_told_from_white_noise() -> None:
    random = np.random.default_rng(0)
    white = [random.normal(0, 8, image.shape) for image in clean()]
    coarse = [ndimage.gaussian_filter(noise, (1, 1, 0)) * 3.5 for noise in white]
    of_white, of_coarse = (
        median("noise_grain", patches_of([image + n for image, n in zip(clean(), noise)]))
        for noise in (white, coarse)
    )
    assert abs(of_white) < 0.05
    assert of_coarse > 0.5


def test_grey_noise_is_told_from_coloured_noise() -> None:
    random = np.random.default_rng(0)
    coloured = patches_of([image + random.normal(0, 8, image.shape) for image in clean()])
    grey = patches_of([image + random.normal(0, 8, (*image.shape[:2], 1)) for image in clean()])
    assert abs(median("noise_channels", coloured)) < 0.1
    assert median("noise_channels", grey) > 0.9


@pytest.mark.parametrize("gain", [0.2, 0.5, 1.0])
def test_the_growth_of_noise_with_brightness_is_found(gain: float) -> None:
    random = np.random.default_rng(0)
    noisy = patches_of([image + random.normal(0, np.sqrt(gain * image + 4)) for image in clean()])
    assert median("noise_gain", noisy) == pytest.approx(gain, rel=0.25)


def test_the_growth_of_noise_over_a_set_is_found_exactly() -> None:
    random = np.random.default_rng(0)
    flat = random.uniform(30, 220, (400, 1, 1, 1))
    noisy = flat + random.normal(0, np.sqrt(0.3 * flat + 4), (400, 16, 16, 3))
    curve = noise_curve(frame_of_patches(noisy))
    assert curve.gain == pytest.approx(0.3, rel=0.05)
    assert curve.dark == pytest.approx(2, abs=0.6)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("noise", [0, 5])
def test_the_width_of_a_gaussian_blur_is_found(sigma: float, noise: float) -> None:
    hr, lr = whole_photographs(lambda photo: ndimage.gaussian_filter(photo, (sigma, sigma, 0)), noise)
    drawn = np.zeros(101)
    drawn[50] = 1
    weights = ndimage.gaussian_filter1d(drawn, sigma)
    truth = np.sqrt(weights @ (np.arange(101) - 50) ** 2) / SCALE
    assert median("blur_width", lr, hr) == pytest.approx(truth, abs=0.04)


def moved_by(photo: np.ndarray, down: float, right: float) -> np.ndarray:
    channels = [
        ndimage.shift(photo[..., channel], (down, right), order=5, mode="reflect") for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_a_shift_is_found_to_a_fiftieth_of_a_pixel(shift: float) -> None:
    hr, lr = whole_photographs(lambda photo: moved_by(photo, 0, shift * SCALE), noise=5)
    assert median("shift_x", lr, hr) == pytest.approx(shift, abs=0.02)
    assert median("shift_y", lr, hr) == pytest.approx(0, abs=0.02)


def test_blur_is_no_shift_and_a_shift_is_no_blur() -> None:
    hr, blurred = whole_photographs(lambda photo: ndimage.gaussian_filter(photo, (2, 2, 0)))
    _, moved = whole_photographs(lambda photo: moved_by(photo, 1, 1))
    assert median("shift", blurred, hr) < 0.03
    assert abs(median("blur_width", moved, hr)) < 0.1


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_the_quality_of_jpeg_is_found(quality: int) -> None:
    compressed = []
    for image in clean():
        buffer = io.BytesIO()
        Image.fromarray(np.rint(image).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        compressed.append(np.asarray(Image.open(buffer)))
    found = measure(Batch(patches_of(compressed)[:, None]), ["jpeg_quality"])["jpeg_quality"]
    assert np.nanmean(np.abs(found - quality) <= 2) > 0.8


def test_without_jpeg_no_quality_is_found() -> None:
    found = measure(Batch(patches_of(clean())[:, None]), ["jpeg_quality"])["jpeg_quality"]
    assert np.nanmean(found == 100) > 0.95


def test_blockiness_sees_an_8x8_grid_wherever_it_begins() -> None:
    random = np.random.default_rng(0)
    blocks = np.kron(random.normal(0, 6, (16, 16)), np.ones((8, 8)))[..., None]
    images = [random.normal(128, 2, (128, 128, 3)) + np.roll(blocks, offset, (0, 1)) for offset in (0, 3)]
    plain = random.normal(128, 2, (1, 64, 64, 3)).astype(np.float32)
    for image in images:
        assert (
            median("blockiness", image[None, 16:80, 16:80].astype(np.float32))
            > median("blockiness", plain) + 0.5
        )


@pytest.mark.parametrize("blur", [1.0, 2.0])
def test_blur_makes_edges_less_sharp_and_noise_hardly_changes_them(blur: float) -> None:
    sharp = median("sharpness", patches_of(clean()))
    soft = median(
        "sharpness", patches_of([ndimage.gaussian_filter(image, (blur, blur, 0)) for image in clean()])
    )
    random = np.random.default_rng(0)
    noisy = median("sharpness", patches_of([image + random.normal(0, 8, image.shape) for image in clean()]))
    assert soft < 0.8 * sharp
    assert noisy == pytest.approx(sharp, rel=0.1)


def test_white_noise_has_the_spectrum_of_its_variance() -> None:
    noise = np.random.default_rng(0).normal(128, 10, (20, 1, SIZE, SIZE, 1)) * np.ones(3)
    found = measure(Batch(noise), [f"spectrum_{n}" for n in range(2, len(BANDS) + 1)])
    assert [float(np.mean(values)) for values in found.values()] == pytest.approx([2.0] * 15, abs=0.1)


def test_a_wave_stands_in_its_band() -> None:
    wave = 128 + 50 * np.sin(2 * np.pi * 0.25 * np.arange(SIZE))[None, :, None] * np.ones((SIZE, SIZE, 3))
    found = measure(Batch(wave[None, None]), [f"spectrum_{n}" for n in range(1, 17)])
    assert max(found, key=lambda name: float(found[name][0])) == "spectrum_8"


def test_the_kernel_of_an_anisotropic_blur_is_found() -> None:
    hr, lr = whole_photographs(lambda photo: ndimage.gaussian_filter(photo, (2.4, 1.2, 0)), noise=2)
    kernel = kernel_sums(hr, lr).solve()
    assert kernel.widths == pytest.approx([1.2, 0.6], abs=0.06)
    assert kernel.angle == pytest.approx(90, abs=5)
    assert kernel.shift == pytest.approx([0, 0], abs=0.03)
    assert kernel.taps.sum() == pytest.approx(1, abs=0.01)


def test_the_kernel_of_bicubic_has_no_width() -> None:
    hr = hr_patches()
    assert np.abs(kernel_sums(hr, to_lr(hr)).solve().widths).max() < 0.2


def test_kernel_sums_of_halves_are_the_sums_of_the_whole() -> None:
    hr = hr_patches()
    lr = to_lr(hr, noise=3)
    whole, halves = kernel_sums(hr, lr), kernel_sums(hr[:7], lr[:7]) + kernel_sums(hr[7:], lr[7:])
    np.testing.assert_allclose(halves.solve().taps, whole.solve().taps, atol=1e-6)


@pytest.mark.parametrize("shape", [0.8, 1.0, 2.0, 4.0])
def test_a_generalised_gaussian_is_fitted(shape: float) -> None:
    drawn = gennorm.rvs(shape, size=(3, 100_000), random_state=0)
    _, mean, left, right = asymmetric_fit(np.where(drawn < 0, 2 * drawn, drawn))
    variance = gennorm.var(shape)
    assert left == pytest.approx(4 * variance, rel=0.05)
    assert right == pytest.approx(variance, rel=0.05)
    assert (mean < 0).all()
    assert asymmetric_fit(drawn)[0] == pytest.approx(shape, rel=0.05)


def test_neighbours_are_alike_in_photographs_and_not_in_noise() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (8, 1, 128, 128, 1)) * np.ones(3)
    assert median("nss1_right_mean", noise) == pytest.approx(-0.1, abs=0.05)
    assert median("nss1_right_mean", patches_of(clean())) > 0.01


def test_naturalness_has_36_features() -> None:
    assert sum(name.startswith("nss") for name in STATISTICS) == 36


# Randomness


def test_variants_differ_by_their_noise(noisy_frame) -> None:
    assert noisy_frame["variant_spread"].median() == pytest.approx(8, rel=0.1)
    assert noisy_frame["noise_random"].median() > 90


def test_texture_that_all_variants_share_is_not_random() -> None:
    hr = hr_patches()
    frame = frame_of_pairs(hr, np.repeat(to_lr(hr, noise=8), 4, axis=1))
    assert frame["variant_spread"].max() == 0
    assert frame["noise_random"].max() == 0
    np.testing.assert_allclose(frame["noise_of_mean"].median(), 8, rtol=0.15)


def test_noise_averages_out_in_the_mean_of_variants() -> None:
    flat = np.random.default_rng(0).normal(128, 8, (6, 16, SIZE, SIZE, 3)).astype(np.float32)
    assert median("noise_of_mean", flat) == pytest.approx(2, rel=0.15)


def test_a_single_variant_tells_nothing_about_randomness() -> None:
    frame = frame_of_pairs(hr_patches()[:2], to_lr(hr_patches()[:2]))
    assert frame[[s.name for s in STATISTICS.values() if s.needs == "variants"]].isna().all(axis=None)


# The residual against bicubic


def test_a_colour_shift_is_found_by_channel() -> None:
    hr = (hr_patches() // 2 + 60).astype(np.uint8)
    frame = frame_of_pairs(hr, to_lr(hr) + np.uint8([5, 0, 2]))
    means = frame[["residual_mean_r", "residual_mean_g", "residual_mean_b"]].mean()
    assert means.to_list() == pytest.approx([5, 0, 2], abs=0.05)


def test_white_noise_is_what_is_left_of_bicubic(noisy_frame) -> None:
    assert noisy_frame["residual_std"].median() == pytest.approx(8, rel=0.05)
    assert noisy_frame["residual_correlation"].median() == pytest.approx(0, abs=0.03)
    assert noisy_frame["residual_channels"].median() == pytest.approx(0, abs=0.03)
    assert noisy_frame["psnr_bicubic"].median() == pytest.approx(20 * np.log10(255 / 8), abs=0.3)


def test_bicubic_differs_from_itself_by_rounding_alone() -> None:
    frame = bicubic_frame(hr_patches(), SIZE)
    assert frame["residual_std"].median() == pytest.approx(np.sqrt(1 / 12), rel=0.05)
    assert frame["shift"].max() < 0.05


# Frames


def test_a_sample_is_measured_the_same_in_any_company(noisy_frame) -> None:
    hr = hr_patches()
    lr = np.concatenate([to_lr(hr, 8, seed) for seed in range(3)], axis=1)
    alone = frame_of_pairs(hr[4:5], lr[4:5])
    names = list(STATISTICS)
    np.testing.assert_allclose(alone[names], noisy_frame[names].iloc[12:15], rtol=1e-4, atol=1e-4)


def test_frames_of_halves_are_the_frame_of_the_whole() -> None:
    hr = hr_patches()
    lr = to_lr(hr, 5)
    whole = frame_of_pairs(hr, lr)
    halves = pd.concat([frame_of_pairs(hr[part], lr[part]) for part in (slice(9), slice(9, None))])
    names = list(STATISTICS)
    np.testing.assert_allclose(halves[names], whole[names], rtol=1e-4, atol=1e-4)


def test_rows_are_variants_of_patches_in_order(noisy_frame) -> None:
    assert noisy_frame["patch"].to_list() == [n for n in range(20) for _ in range(3)]
    assert noisy_frame["variant"].to_list() == [0, 1, 2] * 20


def test_the_cheap_statistics_are_those_of_the_frame() -> None:
    hr, lr = hr_patches()[3], to_lr(hr_patches()[3:4], 5)[0]
    frame = frame_of_pairs(hr[None], lr[None])
    found = cheap_statistics(hr, lr)
    assert tuple(found) == CHEAP_COLUMNS
    for name, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, frame[name])


def test_the_manifest_has_the_statistics_that_selections_speak_of() -> None:
    promised = {"noise_sigma", "sharpness", "residual_mean_r", "residual_std", "psnr_bicubic", "shift"}
    assert promised <= set(CHEAP_COLUMNS)


def test_lr_alone_is_measured_as_in_pairs(noisy_frame) -> None:
    lr = to_lr(hr_patches(), 8, 0)[:, 0]
    alone = frame_of_patches(lr)
    firsts = noisy_frame[noisy_frame["variant"] == 0]
    np.testing.assert_allclose(alone[list(LR_COLUMNS)], firsts[list(LR_COLUMNS)], rtol=1e-4, atol=1e-4)


def test_photographs_of_any_size_are_cut_into_patches() -> None:
    frame = frame_of_images([skimage.data.coffee(), skimage.data.chelsea()[:100, :70]], size=64, most=20)
    assert frame["group"].value_counts().to_dict() == {0: 10, 1: 1}


def test_photographs_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="64x64"):
        frame_of_images([np.zeros((40, 80, 3), np.uint8)], size=64)


@given(st.integers(8, 90), st.integers(8, 90), st.sampled_from([8, 12, 24, 32]), st.integers(1, 30))
def test_patches_lie_on_the_jpeg_grid_and_apart(height: int, width: int, size: int, most: int) -> None:
    y, x = np.mgrid[:height, :width]
    patches = cut_patches(np.stack([y, x, y * 0], axis=2).astype(np.uint8), size, most)
    step = -(-size // 8) * 8
    fits = max(0, (height - size) // step + 1) * max(0, (width - size) // step + 1)
    corners = {tuple(patch[0, 0, :2].tolist()) for patch in patches}
    assert len(corners) == len(patches) == min(most, fits)
    assert all(top % 8 == left % 8 == 0 for top, left in corners)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([(8, 2), (16, 2), (24, 4), (33, 2), (40, 8)]), st.integers(1, 3), st.integers(0, 10))
def test_every_statistic_has_a_number_or_nan_for_patches_of_any_size(
    sizes: tuple[int, int], variants: int, seed: int
) -> None:
    size, scale = sizes
    random = np.random.default_rng(seed)
    hr = random.integers(0, 256, (2, size * scale, size * scale, 3), np.uint8)
    lr = random.integers(0, 256, (2, variants, size, size, 3), np.uint8)
    frame = frame_of_pairs(hr, lr)[list(STATISTICS)]
    assert frame.shape == (2 * variants, len(STATISTICS))
    assert not np.isinf(frame.to_numpy()).any()
    assert frame[["noise_sigma", "residual_std", "shift", "spectrum_8"]].notna().all(axis=None)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_is_measured_without_a_warning(level: int) -> None:
    hr = np.full((1, 128, 128, 3), level, np.uint8)
    with np.errstate(all="raise", under="ignore"):
        frame = frame_of_pairs(hr, np.full((1, 2, 64, 64, 3), level, np.uint8))
    assert frame["noise_sigma"].to_list() == pytest.approx([0, 0], abs=1e-3)
    assert frame["sharpness"].isna().all()
    assert frame["shift"].max() < 1e-6


def test_patches_too_small_to_tell_have_no_statistics() -> None:
    found = cheap_statistics(np.zeros((16, 16, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8))
    assert all(np.isnan(values).all() for values in found.values())


@pytest.mark.parametrize(
    ("lr", "hr"),
    [((2, 64, 64, 3), None), ((2, 1, 64, 32, 3), None), ((2, 1, 64, 64, 3), (1, 128, 128, 3))],
)
def test_wrong_shapes_are_refused(lr: tuple[int, ...], hr: tuple[int, ...] | None) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        Batch(np.zeros(lr), None if hr is None else np.zeros(hr))


def test_every_statistic_says_what_it_is() -> None:
    for statistic in STATISTICS.values():
        assert statistic.description
        assert statistic.description[0].islower() or statistic.description[0].isupper()
        assert not statistic.description.endswith(".")
