"""Distances between sets, and comparisons with their floor and ceiling."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from sdflow_data.inspection.tables import number, text_table
from sdflow_data.statistics import LR_COLUMNS, STATISTICS, compare, compare_features
from sdflow_data.statistics.compare import position
from sdflow_data.statistics.distances import (
    floor,
    interval,
    median_distance,
    mmd,
    sample_of,
    wasserstein,
)

values = arrays(np.float64, st.integers(1, 40), elements=st.floats(-100, 100).map(lambda x: round(x, 3)))


def frame(random: np.random.Generator, photographs: int = 10, **shifts: float) -> pd.DataFrame:
    """20 samples of each photograph; ordinary normal values but for the statistics named."""
    count = 20 * photographs
    columns = {name: random.normal(shifts.get(name, 0.0), 1, count) for name in LR_COLUMNS}
    return pd.DataFrame({"group": np.repeat(np.arange(photographs), 20), **columns})


@given(values, values)
def test_the_distance_is_that_of_scipy(a: np.ndarray, b: np.ndarray) -> None:
    found = wasserstein(sample_of(a, np.arange(len(a))), sample_of(b, np.arange(len(b))))
    assert found == pytest.approx(wasserstein_distance(a, b), abs=1e-9)


@given(values, st.floats(-50, 50))
def test_the_distance_of_a_shifted_set_is_the_shift(a: np.ndarray, shift: float) -> None:
    groups = np.arange(len(a))
    assert wasserstein(sample_of(a, groups), sample_of(a + shift, groups)) == pytest.approx(abs(shift))


def test_values_that_are_not_told_do_not_count() -> None:
    with_gaps = sample_of(np.array([np.nan, 1, 2, np.nan]), np.arange(4))
    assert with_gaps.values.tolist() == [1, 2]


def test_the_interval_has_the_true_distance_in_nine_of_ten_cases() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 10)
    hits = 0
    for _ in range(100):
        photographs = random.normal(0, 1, (2, 30))  # samples of one photograph are alike
        a, b = (photographs[side][groups] + random.normal(0, 0.3, 300) for side in (0, 1))
        low, high = interval(sample_of(a + 2, groups), sample_of(b, groups), random)
        hits += low <= 2 <= high
    assert 80 <= hits <= 98


def test_the_interval_knows_that_samples_of_one_photograph_are_alike() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 50)
    a, b = (random.normal(0, 1, 10)[groups] + random.normal(0, 0.1, 500) for _ in range(2))
    low, high = interval(sample_of(a + 3, groups), sample_of(b, groups), random)
    alone = np.arange(500)
    low_alone, high_alone = interval(sample_of(a + 3, alone), sample_of(b, alone), random)
    assert high - low > 2 * (high_alone - low_alone)


def test_the_floor_falls_with_the_number_of_photographs() -> None:
    random = np.random.default_rng(0)
    floors = []
    for photographs in (6, 60, 600):
        groups = np.repeat(np.arange(photographs), 5)
        drawn = random.normal(0, 1, (20, photographs))[:, groups]
        floors.append(np.mean([floor(sample_of(values, groups), random) for values in drawn]))
    assert floors[0] > 2 * floors[1] > 4 * floors[2]


@pytest.mark.parametrize(
    ("distance", "place"), [(0.05, 0.0), (0.1, 0.0), (0.55, 0.5), (1.0, 1.0), (1.9, 2.0)]
)
def test_a_distance_stands_between_floor_and_ceiling(distance: float, place: float) -> None:
    assert position(distance, 0.1, 1.0) == pytest.approx(place)


def test_a_statistic_that_cannot_tell_bicubic_from_real_has_no_position() -> None:
    assert np.isnan(position(0.1, 0.1, 0.11))


def test_equal_laws_have_no_mmd() -> None:
    random = np.random.default_rng(0)
    distances = [mmd(random.normal(0, 1, (100, 5)), random.normal(0, 1, (80, 5)), 3) for _ in range(50)]
    assert np.mean(distances) == pytest.approx(0, abs=0.002)


def test_mmd_sees_a_difference_in_dependence_alone() -> None:
    random = np.random.default_rng(0)
    tied = random.normal(0, 1, (300, 1)) * np.ones(2)
    free = random.normal(0, 1, (300, 2))
    bandwidth = median_distance(free)
    assert mmd(tied, free, bandwidth) > 0.02


def test_what_is_nearer_than_bicubic_is_said_to_be() -> None:
    random = np.random.default_rng(0)
    real = frame(random)
    table = compare(frame(random, noise_sigma=0.5), real, frame(random, noise_sigma=3))
    assert table.loc["noise_sigma", "nearer"]
    assert table.loc["noise_sigma", "position"] < 0.3
    table = compare(frame(random, noise_sigma=5), real, frame(random, noise_sigma=3))
    assert not table.loc["noise_sigma", "nearer"]
    assert table.loc["noise_sigma", "position"] > 1


def test_a_comparison_has_a_row_for_each_statistic_that_both_sets_have() -> None:
    random = np.random.default_rng(0)
    real = frame(random).drop(columns=["clipped"])
    table = compare(frame(random), real)
    assert list(table.index) == [name for name in STATISTICS if name in LR_COLUMNS and name != "clipped"]
    assert table["ceiling"].isna().all()
    assert table["distance"].notna().all()


def test_a_comparison_can_be_made_again() -> None:
    sets = [frame(np.random.default_rng(seed)) for seed in range(3)]
    pd.testing.assert_frame_equal(compare(*sets, seed=4), compare(*sets, seed=4))


def test_statistics_without_a_single_value_are_compared_to_nothing() -> None:
    random = np.random.default_rng(0)
    generated = frame(random).assign(sharpness=np.nan)
    table = compare(generated, frame(random), frame(random))
    assert table.loc["sharpness", ["generated", "distance", "position"]].isna().all()


@pytest.mark.parametrize("photographs", [1, 2])
def test_with_fewer_than_three_photographs_samples_stand_for_themselves(photographs: int) -> None:
    random = np.random.default_rng(0)
    few = frame(random, photographs)
    assert compare(frame(random), few, frame(random))["floor"].between(0.01, 1).all()
    assert compare_features(frame(random), few, frame(random)).floor < 0.1


def test_all_statistics_together_see_what_is_nearer() -> None:
    random = np.random.default_rng(0)
    near, far = {"noise_sigma": 0.3}, dict.fromkeys(LR_COLUMNS, 1.0)
    found = compare_features(frame(random, **near), frame(random), frame(random, **far))
    assert found.floor < 0.02 < found.ceiling
    assert found.position < 0.2


def test_the_table_aligns_and_shows_a_dash_for_what_is_not_there() -> None:
    random = np.random.default_rng(0)
    text = text_table(compare(frame(random), frame(random)).iloc[:3], with_real=True)
    head, rule, *rows = text.rstrip().split("\n")
    assert head.split()[:3] == ["statistic", "unit", "generated"]
    assert len(rows) == 3
    assert all(row.rstrip().endswith("—") for row in rows)
    assert len(rule) == max(map(len, [head, *rows]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.001, "0.00"), (9.996, "10.0"), (99.96, "100"), (-1.5, "-1.50"), (float("nan"), "—")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
