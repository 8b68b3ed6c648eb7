"""Seeds and noise are functions of their arguments, and different arguments give different ones."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdflow.noise import BLOCK, component_field, derive_seed, draw_component, noise_field

integers = st.lists(st.integers(0, 3) | st.integers(0, 2**300), max_size=4)


@given(one=integers, other=integers)
def test_seeds_are_equal_only_where_the_arguments_are(one: list[int], other: list[int]) -> None:
    assert (derive_seed(*one) == derive_seed(*other)) == (one == other)


@pytest.mark.parametrize("other", [(1, 2, 0), (0, 1, 2), (1 + (2 << 32),), (12,), (2, 1)])
def test_zeros_words_and_digits_are_not_confused(other: tuple[int, ...]) -> None:
    assert derive_seed(1, 2) != derive_seed(*other)


def test_a_seed_has_63_bits_and_stays_what_it_is() -> None:
    seeds = [derive_seed(7, n) for n in range(200)]
    assert min(seeds) >= 0 and 2**62 < max(seeds) < 2**63
    assert derive_seed(7, np.int64(3)) == seeds[3]
    assert (
        derive_seed(5, 2**255, 1, 0) == 3519283668562563907
    )  # a change here changes every sample of every dataset


@pytest.mark.parametrize("field", [noise_field, partial(component_field, weights=np.full(5, 0.2))])
@given(
    top=st.integers(0, 2 * BLOCK),
    left=st.integers(0, 2 * BLOCK),
    height=st.integers(1, BLOCK + 3),
    width=st.integers(1, BLOCK + 3),
)
def test_overlapping_windows_of_a_field_agree(
    field: Callable[..., np.ndarray], top: int, left: int, height: int, width: int
) -> None:
    size = {"channels": 2, "height": 3 * BLOCK + 3, "width": 3 * BLOCK + 3}
    window = field(5, **(size | {"height": height, "width": width}), top=top, left=left)
    assert np.array_equal(window, field(5, **size)[:, top : top + height, left : left + width])


def test_a_field_is_standard_normal_and_nowhere_repeated() -> None:
    field = noise_field(1, 3, 256, 256)
    assert abs(field.mean()) < 0.01 and abs(field.std() - 1) < 0.01
    assert len(np.unique(field)) > 0.98 * field.size
    assert not np.isclose(field, noise_field(2, 3, 256, 256)).mean() > 0.001


def test_a_field_does_not_begin_before_zero() -> None:
    with pytest.raises(ValueError, match="from 0 up"):
        noise_field(1, 3, 4, 4, top=-1)


def test_components_are_drawn_as_often_as_they_weigh() -> None:
    weights = np.array([0, 0.25, 0, 0.75, 0])
    drawn = np.bincount([draw_component(seed, weights) for seed in range(4000)], minlength=5) / 4000
    assert np.abs(drawn - weights).max() < 0.03
    assert drawn[[0, 2, 4]].sum() == 0


def test_elements_get_components_as_often_as_these_weigh_whatever_their_noise_is() -> None:
    weights = np.array([0, 0.25, 0, 0.75, 0])
    components, noise = component_field(3, weights, 3, 128, 128), noise_field(3, 3, 128, 128)
    drawn = np.bincount(components.ravel(), minlength=5) / components.size
    assert np.abs(drawn - weights).max() < 0.01
    assert drawn[[0, 2, 4]].sum() == 0
    assert abs(np.corrcoef(components.ravel(), noise.ravel())[0, 1]) < 0.02
