"""The measures of papers on noise models: what they must be for laws that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdflow_data.statistics.noise_models import (
    NOISE_FLOW,
    SRGB_NOISE_FLOW,
    gaussian_akld,
    kld,
    kurtosis,
    mean_kld,
    neighbour_correlation,
    noise_measures,
)


def gaussian(sigma: float, seed: int, shape: tuple[int, ...] = (8, 32, 32, 3)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, shape)


def divergence(ratio: float) -> float:
    """Of a Gaussian with ``ratio`` times the variance from one of the same mean."""
    return 0.5 * (ratio - 1 - np.log(ratio))


@pytest.mark.parametrize("added", [0, 1])
@pytest.mark.parametrize("edges", [NOISE_FLOW, SRGB_NOISE_FLOW])
def test_the_divergence_of_a_set_from_itself_is_nothing(edges: np.ndarray, added: int) -> None:
    noise = gaussian(0.02, 0)
    assert kld(noise, noise, edges, added) == 0


@pytest.mark.parametrize("factor", [0.7, 1.5])
@pytest.mark.parametrize(("edges", "added", "sigma"), [(NOISE_FLOW, 0, 0.02), (SRGB_NOISE_FLOW, 1, 0.08)])
def test_the_divergence_of_gaussians_is_that_of_the_formula(
    edges: np.ndarray, added: int, sigma: float, factor: float
) -> None:
    """KL(real, generated) of Gaussians, whose variances are as 1 to factor squared."""
    found = kld(gaussian(sigma * factor, 1), gaussian(sigma, 2), edges, added)
    assert found == pytest.approx(np.log(factor) + 0.5 / factor**2 - 0.5, rel=0.15)


def test_a_count_added_to_every_bin_sees_what_the_other_leaves_out() -> None:
    real, generated = np.r_[np.zeros(90), np.full(10, 0.05)], np.zeros(100)
    assert kld(generated, real, NOISE_FLOW) < 0 < kld(generated, real, NOISE_FLOW, 1)


def test_bins_are_those_of_the_papers() -> None:
    assert len(NOISE_FLOW) == 64 + 2 + 1
    assert NOISE_FLOW[1:-1] == pytest.approx(np.linspace(-0.1, 0.1, 65))
    assert (255 * SRGB_NOISE_FLOW[[0, -1]]).round().tolist() == [-260, 260]
    assert 255 * np.diff(SRGB_NOISE_FLOW) == pytest.approx(4)


@settings(max_examples=10)
@given(st.floats(0.5, 2))
def test_akld_grows_with_the_ratio_of_variances_as_a_gaussian_s(factor: float) -> None:
    noise = gaussian(0.02, 3)
    assert gaussian_akld(factor * noise[:, None], noise) == pytest.approx(divergence(factor**2), abs=1e-9)


def test_akld_cuts_ratios() -> None:
    noise = gaussian(0.02, 3)
    assert gaussian_akld(100 * noise[:, None], noise) == pytest.approx(divergence(10))


def test_akld_sees_noise_at_the_wrong_places_and_histograms_do_not() -> None:
    strength = np.where(np.arange(32) < 16, 0.01, 0.04)[None, :, None, None]
    real, here, there = (
        strength * gaussian(1, 4),
        strength * gaussian(1, 5),
        strength[:, ::-1] * gaussian(1, 5),
    )
    assert gaussian_akld(there[:, None], real) > 3 * gaussian_akld(here[:, None], real)
    assert kld(there, real, NOISE_FLOW) == pytest.approx(kld(here, real, NOISE_FLOW), abs=0.01)


def test_papers_report_the_mean_over_the_samples() -> None:
    ours, theirs = gaussian(0.02, 6, (3, 2, 16, 16, 3)), gaussian(0.03, 7, (3, 16, 16, 3))
    each = [kld(ours[n, k], theirs[n], SRGB_NOISE_FLOW, 1) for n in range(3) for k in range(2)]
    assert mean_kld(ours, theirs, SRGB_NOISE_FLOW, 1) == pytest.approx(np.mean(each))


def test_kurtosis_of_known_laws() -> None:
    random = np.random.default_rng(0)
    assert kurtosis(random.normal(size=400_000)) == pytest.approx(0, abs=0.05)
    assert kurtosis(random.uniform(size=400_000)) == pytest.approx(-1.2, abs=0.05)
    assert kurtosis(random.laplace(size=400_000)) == pytest.approx(3, abs=0.3)


def test_the_correlation_of_neighbours_is_that_of_a_moving_mean() -> None:
    white = gaussian(1, 8, (4, 65, 65, 3))
    assert neighbour_correlation(white) == pytest.approx(0, abs=0.02)
    assert neighbour_correlation(white[:, 1:, 1:] + white[:, :-1, 1:]) == pytest.approx(0.25, abs=0.02)


def test_real_noise_measured_against_itself_is_without_a_gap() -> None:
    clean = np.full((4, 16, 16, 3), 100.0)
    real = clean + 255 * gaussian(0.02, 9, clean.shape)
    found = noise_measures(np.stack([real, real], axis=1), real, clean)
    assert [measure.value for measure in found] == pytest.approx([0] * len(found), abs=2e-3)
    assert all(measure.definition for measure in found)


def test_the_temporal_variance_is_that_between_samples() -> None:
    clean = np.full((4, 16, 16, 3), 100.0)
    generated = clean[:, None] + gaussian(3, 10, (4, 8, 16, 16, 3))
    temporal = noise_measures(generated, clean, clean)[-1]
    assert (temporal.name, temporal.value) == ("temporal variance", pytest.approx(9, rel=0.05))


def test_scenes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one shape"):
        noise_measures(np.zeros((2, 1, 8, 8, 3)), np.zeros((3, 8, 8, 3)), np.zeros((3, 8, 8, 3)))
