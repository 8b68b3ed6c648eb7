"""Traces of how pictures were made: each is seen where it is, and nothing else is taken for it."""

import numpy as np
import pytest

from sdflow_data.statistics import STATISTICS, Batch, measure
from sdflow_data.statistics.compression import block_phases
from sdflow_data.statistics.traces import colour_differences, correlation_by_parity

SIZE = 64
FIRST, SECOND = np.array([1.0, 0, -1]), np.array([1.0, -2, 1])
"""R - B and R - 2G + B."""


def noise(seed: int = 0, size: int = SIZE, sigma: float = 4) -> np.ndarray:
    """Twelve grey surfaces under coloured noise, (12, size, size, 3)."""
    random = np.random.default_rng(seed)
    surface = 90 + 60 * random.random((12, 1, 1, 1)) + np.linspace(0, 20, size)[:, None, None]
    return surface + random.normal(0, sigma, (12, size, size, 3))


def coloured(where: np.ndarray, sign: np.ndarray, sigma: float = 4) -> np.ndarray:
    """Noise of the second colour difference that is ``sign`` times that of the first, or less that."""
    random = np.random.default_rng(5)
    first = random.normal(0, sigma, (12, *where.shape, 1))
    return first * FIRST + np.where(where, sign, -sign)[..., None] * first * SECOND


def found(name: str, images: np.ndarray) -> float:
    return float(np.nanmedian(measure(Batch(images[:, None]), [name])[name]))


ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


@pytest.mark.parametrize(
    "where",
    [ROWS % 2 == 0, COLUMNS % 2 == 0, (ROWS + COLUMNS) % 2 == 0],
    ids=["rows", "columns", "diagonals"],
)
def test_a_grid_in_the_correlation_of_colours_is_seen(where: np.ndarray) -> None:
    assert found("colour_grid", noise() + coloured(where, np.float64(0.8))) > 0.2
    assert found("colour_grid", noise() + coloured(np.ones_like(where), np.float64(0.8))) < 0.1
    assert found("colour_grid", noise()) < 0.1


@pytest.mark.parametrize("level", [0.5, 1.0])
def test_a_grid_of_mean_colours_is_seen(level: float) -> None:
    pattern = level * np.where((ROWS + COLUMNS) % 2 == 0, 1, -1)[..., None] * FIRST
    assert found("colour_grid_mean", noise() + pattern) > 2 * found("colour_grid_mean", noise())


def test_a_grid_of_noise_is_seen() -> None:
    stronger = noise() + 4 * (ROWS % 2)[..., None] * np.random.default_rng(1).normal(
        0, 1, (12, SIZE, SIZE, 3)
    )
    assert found("colour_grid_variance", stronger) > 2 * found("colour_grid_variance", noise())


def test_the_correlation_at_each_place_is_found() -> None:
    """The noise of one colour at a place is that of the other, so that the correlation of its own is 1."""
    places = correlation_by_parity(coloured(np.ones_like(ROWS, bool), np.float64(1)) + 128)
    np.testing.assert_allclose(places, 1, atol=0.01)
    np.testing.assert_allclose(correlation_by_parity(noise()).mean(axis=0), 0, atol=0.05)


def test_moving_a_picture_by_a_row_exchanges_even_and_odd_rows() -> None:
    pictures = noise(size=96) + np.pad(
        coloured(ROWS % 2 == 0, np.float64(0.8)), ((0, 0), (16, 16), (16, 16), (0, 0))
    )
    here, moved = (correlation_by_parity(np.roll(pictures, rows, axis=1)[:, 4:-4, 4:-4]) for rows in (0, 1))
    np.testing.assert_allclose(here[:, ::-1].mean(axis=0), moved.mean(axis=0), atol=0.03)


def test_pictures_without_colour_have_no_correlation_of_colours() -> None:
    assert np.isnan(correlation_by_parity(np.full((2, 64, 64, 3), 100, np.uint8))).all()


@pytest.mark.parametrize("frequency", [0.2, 0.346, 0.5])
@pytest.mark.parametrize("axis", [0, 1])
def test_noise_that_comes_and_goes_is_seen_along_its_axis(frequency: float, axis: int) -> None:
    place = (COLUMNS, ROWS)[axis]
    strength = np.sqrt(1 + 0.5 * np.cos(2 * np.pi * frequency * place))[..., None]
    waving = 128 + np.random.default_rng(0).normal(0, 4, (12, SIZE, SIZE, 3)) * strength
    along, across = ("modulation_x", "modulation_y")[:: 1 - 2 * axis]
    assert found(along, waving) > 2 * found(across, waving)
    assert found(across, waving) == pytest.approx(found(across, noise()), abs=4)


def test_strong_content_is_no_modulation() -> None:
    edges = noise() + 60 * (COLUMNS > 30)[..., None] * FIRST
    assert found("modulation_x", edges) < 1.5 * found("modulation_x", noise())


def test_noise_at_other_places_is_told() -> None:
    random = np.random.default_rng(0)
    texture = random.normal(0, 1, (12, 8, 8)).clip(-1, 1).repeat(8, 1).repeat(8, 2)[..., None]
    rough = (
        128
        + np.exp(texture)
        * 6
        * random.normal(0, 1, (12, SIZE // 4, SIZE // 4)).repeat(4, 1).repeat(4, 2)[..., None]
    )
    drawn = random.normal(0, 3, (12, SIZE, SIZE, 3))
    with_texture, elsewhere = (
        rough + np.exp(texture) * drawn,
        rough + np.exp(np.roll(texture, 24, axis=2)) * drawn,
    )
    assert found("noise_on_texture", with_texture) > 0.5
    assert abs(found("noise_on_texture", elsewhere)) < 0.3


@pytest.mark.parametrize("sign", [1, -1])
def test_noise_that_grows_or_falls_with_brightness_is_told(sign: int) -> None:
    random = np.random.default_rng(0)
    light = random.uniform(60, 190, (12, 8, 8)).repeat(8, 1).repeat(8, 2)[..., None]
    strength = 1 + 4 * (light - 60) / 130
    noisy = light + random.normal(0, 1, (12, SIZE, SIZE, 3)) * (strength if sign > 0 else 6 - strength)
    assert sign * found("noise_on_brightness", noisy) > 0.5


@pytest.mark.parametrize("phase", range(8))
def test_the_phase_of_a_grid_of_blocks_is_found(phase: int) -> None:
    random = np.random.default_rng(0)
    blocks = np.roll(random.normal(0, 8, (4, 8, 9)).repeat(8, 1).repeat(8, 2), phase, axis=2)[:, :, :64]
    assert (block_phases(blocks + random.normal(0, 2, blocks.shape)).argmax(axis=1) == phase).all()


@pytest.mark.parametrize(("frequency", "kept"), [(0.0625, 0), (0.25, 1), (0.5, 1)])
def test_what_is_slower_than_the_band_is_left_out(frequency: float, kept: float) -> None:
    wave = 10 * np.cos(2 * np.pi * frequency * COLUMNS)[None, ..., None] * FIRST / np.sqrt(2)
    np.testing.assert_allclose(
        colour_differences(128 + wave)[0, 0], kept * np.sqrt(2) * wave[0, ..., 0], atol=0.01
    )


def test_traces_are_statistics_of_lr_alone() -> None:
    assert {STATISTICS[name].needs for name in ("colour_grid", "modulation_x", "noise_on_texture")} == {"lr"}
