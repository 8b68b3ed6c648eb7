"""A prior's ``sample`` and ``log_prob`` are one law."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws import randomise
from torch import Tensor

from sdflow.distributed import ReplicaGroup
from sdflow.priors import GaussianMixture, MixtureLaw, standard_normal_log_prob

SAMPLES = 400_000
MOMENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda z: z[:, 0],
    "square": lambda z: z[:, 1].square(),
    "fourth power": lambda z: z[:, 0] ** 4,
    "product": lambda z: z[:, 0] * z[:, 1],
    "product of squares": lambda z: z.square().prod(1),
}


def mixture(law: MixtureLaw) -> GaussianMixture:
    """Three components that are far apart, so that the laws differ."""
    prior = GaussianMixture(3, law).double()
    with torch.no_grad():
        prior.means.copy_(torch.tensor([-2.0, 0.5, 1.5]))
        prior.log_stds.copy_(torch.tensor([-0.7, -1.2, 0.1]))
    return prior


def grid() -> tuple[Tensor, float]:
    """Images of two elements on a grid (n^2, 2) that holds all the mass, and the area of a cell."""
    axis = torch.linspace(-9, 9, 451, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


@pytest.mark.parametrize("law", ["image", "element", "published"])
def test_a_density_integrates_to_one(law: MixtureLaw) -> None:
    points, cell = grid()
    with torch.no_grad():
        assert float(mixture(law).log_prob(points).exp().sum() * cell) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("law", ["image", "element"])
def test_samples_have_the_moments_of_the_density(law: MixtureLaw, moment: str) -> None:
    prior, measure = mixture(law), MOMENTS[moment]
    points, cell = grid()
    with torch.no_grad():
        expected = float((prior.log_prob(points).exp() * measure(points)).sum() * cell)
        found = measure(prior.sample((SAMPLES, 2), generator=torch.Generator().manual_seed(1)))
    assert abs(float(found.mean()) - expected) < 5 * float(found.std()) / math.sqrt(SAMPLES)


def test_the_two_laws_differ() -> None:
    points, _ = grid()
    with torch.no_grad():
        assert (mixture("image").log_prob(points) - mixture("element").log_prob(points)).abs().max() > 1


def test_published_weights_keep_the_density_by_element() -> None:
    points, _ = grid()
    assert torch.equal(mixture("published").log_prob(points), mixture("element").log_prob(points))


def test_published_weights_keep_the_sampler_by_image() -> None:
    draws = [
        mixture(law).sample((50, 12, 4, 4), generator=torch.Generator().manual_seed(3))
        for law in ("image", "published")
    ]
    assert torch.equal(*draws)


def test_the_standard_normal_integrates_to_one() -> None:
    points, cell = grid()
    assert float(standard_normal_log_prob(points).exp().sum() * cell) == pytest.approx(1, abs=1e-6)


def test_a_component_is_the_one_that_was_asked_for() -> None:
    prior = mixture("image")
    noise = torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for k in range(3):
            latent = prior.latent(k, noise, 1.0)
            torch.testing.assert_close(latent.mean(), prior.means[k], atol=0.05, rtol=0)
            torch.testing.assert_close(latent.std(), prior.log_stds[k].exp(), atol=0.05, rtol=0)


def test_samples_of_a_component_are_recognised_as_its_own() -> None:
    prior = mixture("image")
    with torch.no_grad():
        for k in range(3):
            shares = prior.responsibilities(prior.latent(k, torch.randn(9, 40, dtype=torch.float64), 1.0))
            torch.testing.assert_close(shares.sum(1), torch.ones(9, dtype=torch.float64))
            assert (shares.argmax(1) == k).all()


def test_each_element_may_have_a_component_of_its_own() -> None:
    prior, noise = mixture("element"), torch.randn(2, 2, dtype=torch.float64)
    each = torch.tensor([[0, 2], [1, 2]])
    with torch.no_grad():
        latent = prior.latent(each, noise, 0.7)
        for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
            assert latent[place] == prior.latent(int(each[place]), noise, 0.7)[place]


def test_temperature_scales_the_deviation_alone() -> None:
    prior, noise = mixture("image"), torch.randn(5, dtype=torch.float64)
    with torch.no_grad():
        warm, cool = (
            prior.latent(2, noise, 1.0) - prior.means[2],
            prior.latent(2, noise, 0.5) - prior.means[2],
        )
    torch.testing.assert_close(cool, warm / 2)


def test_temperature_zero_is_the_mean_whatever_the_noise() -> None:
    prior = mixture("image")
    assert torch.equal(prior.latent(1, torch.randn(4).double(), 0.0), prior.means[1].expand(4))


def test_no_component_is_the_mean_of_the_mixture() -> None:
    prior = mixture("image")
    assert torch.equal(prior.latent(None, torch.randn(4).double(), 0.8), prior.means.mean().expand(4))


@pytest.mark.parametrize("component", [-1, 3, torch.tensor([0, 3]), torch.tensor([-1, 2])])
def test_a_component_that_is_not_there_is_refused(component: int | Tensor) -> None:
    with pytest.raises(ValueError, match="component"):
        mixture("image").latent(component, torch.zeros(1), 1.0)


@pytest.mark.parametrize("law", ["image", "element"])
def test_the_density_teaches_means_and_deviations(law: MixtureLaw) -> None:
    prior = randomise(GaussianMixture(4, law), 2)
    prior.log_prob(torch.randn(3, 12, 2, 2)).sum().backward()
    for parameter in prior.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).all()


def test_a_large_image_has_a_finite_density() -> None:
    assert mixture("image").log_prob(100 * torch.randn(1, 12, 64, 64).double()).isfinite().all()


@given(seed=st.integers(0, 999), shares=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any))
def test_a_training_step_draws_components_by_their_shares(seed: int, shares: list[int]) -> None:
    expected = torch.tensor(shares) / sum(shares)
    drawn = ReplicaGroup(seed, torch.device("cpu")).components(expected, (2000,))
    found = torch.bincount(drawn, minlength=len(shares)) / 2000
    assert float((found - expected).abs().max()) < 0.07
    assert not found[expected == 0].any()
