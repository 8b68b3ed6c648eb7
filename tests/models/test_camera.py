"""The simulated camera: what it states of its blur, noise and JPEG is true."""

from dataclasses import replace

import numpy as np
import pytest

from sdflow_data.models.simulated_camera import SimulatedCamera

CAMERA = SimulatedCamera(
    scale=2, blur_sigma=0.0, poisson_gain=0.2, read_noise=3.0, strength=(1.0, 1.0), jpeg_quality=None
)


def flat(level: int, side: int = 256) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


@pytest.mark.parametrize("level", [40, 120, 200])
def test_noise_has_the_stated_deviation_at_every_brightness(level: int) -> None:
    photograph = CAMERA(flat(level), seed=1).astype(float)
    stated = np.hypot(CAMERA.noise_std(level), 12**-0.5)  # rounding to 8 bits adds its own
    assert photograph.std() == pytest.approx(stated, rel=0.02)
    assert photograph.mean() == pytest.approx(level, abs=0.15)


def test_noise_is_independent_between_pixels_channels_and_seeds() -> None:
    a, b = (CAMERA(flat(128), seed).astype(float) - 128 for seed in (1, 2))
    for first, second in [(a, b), (a[..., 0], a[..., 1]), (a[:, 1:], a[:, :-1]), (a[1:], a[:-1])]:
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02


def test_strength_varies_between_photographs_within_the_stated_range() -> None:
    camera = replace(CAMERA, strength=(0.5, 2.0))
    strengths = [camera.strength_of(seed) for seed in range(200)]
    assert 0.5 <= min(strengths) < 0.6 and 1.9 < max(strengths) <= 2.0
    measured = [camera(flat(128, 128), seed).std() for seed in range(8)]
    assert np.corrcoef(measured, strengths[:8])[0, 1] > 0.99


def test_a_photograph_is_a_function_of_scene_and_seed() -> None:
    camera = SimulatedCamera()
    scene = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    assert np.array_equal(camera(scene, 5), camera(scene, 5))
    assert not np.array_equal(camera(scene, 5), camera(scene, 6))


def test_blur_has_the_stated_width() -> None:
    camera = replace(CAMERA, scale=1, blur_sigma=2.0)
    point = flat(0, 65)
    point[32, 32] = 255
    spread = camera._optics(point)[..., 0]
    y, x = np.mgrid[-32:33, -32:33]
    assert (spread * x**2).sum() / spread.sum() == pytest.approx(4.0, rel=0.05)
    assert (spread * y**2).sum() / spread.sum() == pytest.approx(4.0, rel=0.05)
    assert (spread * x).sum() == pytest.approx(0, abs=1e-3)


def test_noise_free_is_the_mean_of_many_photographs() -> None:
    scene = np.random.default_rng(0).integers(60, 200, (16, 16, 3), dtype=np.uint8)
    mean = np.mean([CAMERA(scene, seed).astype(float) for seed in range(2000)], axis=0)
    assert np.abs(mean - CAMERA.noise_free(scene)).max() < 1.0


def test_jpeg_changes_a_photograph_the_more_the_lower_its_quality() -> None:
    scene = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    clean = CAMERA(scene, 1).astype(float)
    errors = [np.abs(replace(CAMERA, jpeg_quality=q)(scene, 1) - clean).mean() for q in (95, 60, 20)]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_size_is_that_of_the_scene_by_the_scale(scale: int) -> None:
    assert SimulatedCamera(scale=scale)(np.zeros((48, 64, 3), np.uint8), 0).shape == (
        48 // scale,
        64 // scale,
        3,
    )


@pytest.mark.parametrize(
    "wrong",
    [{"blur_sigma": -1.0}, {"jpeg_quality": 0}, {"strength": (2.0, 1.0)}, {"scale": 0}, {"read_noise": -1.0}],
)
def test_values_out_of_range_are_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatedCamera(**wrong)
