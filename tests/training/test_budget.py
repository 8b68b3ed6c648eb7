"""How long a training is: in steps or in minutes, never both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdflow_data.training.budget import Budget


@given(st.integers(1, 1000), st.integers(0, 2000), st.floats(0, 1e5))
def test_a_budget_of_steps_is_done_after_so_many_steps_however_long_they_take(
    steps: int, step: int, seconds: float
) -> None:
    assert (Budget(steps).progress(step, seconds) >= 1) == (step >= steps)
    assert Budget(steps).done(step, seconds) == min(step, steps)


@given(st.floats(0.1, 1000), st.integers(0, 2000), st.floats(0, 1e5))
def test_a_budget_of_minutes_is_done_after_so_many_seconds(minutes: float, step: int, seconds: float) -> None:
    assert (Budget(minutes=minutes).progress(step, seconds) >= 1) == (seconds >= 60 * minutes)


def test_a_budget_of_no_steps_is_done_at_once() -> None:
    assert Budget(0).progress(0, 0.0) >= 1


@pytest.mark.parametrize(("steps", "minutes"), [(None, None), (1, 1.0), (-1, None), (None, -1.0)])
def test_anything_but_one_of_the_two_is_refused(steps: int | None, minutes: float | None) -> None:
    with pytest.raises(ValueError, match="steps, minutes"):
        Budget(steps, minutes)
