"""A folder that was begun with some settings is gone on with by the same ones alone."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdflow.errors import ArgumentError
from sdflow_data.system.settings import check_same

_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
_SETTINGS = st.dictionaries(st.text(max_size=2), _VALUES, max_size=4)


@settings(max_examples=40)
@given(stored=_SETTINGS, asked=_SETTINGS)
def test_settings_are_refused_exactly_where_they_differ(
    stored: dict[str, Any], asked: dict[str, Any]
) -> None:
    check_same(Path("out"), stored, dict(reversed(stored.items())))
    if stored != asked and any(stored.get(name) != asked.get(name) for name in stored | asked):
        with pytest.raises(ArgumentError):
            check_same(Path("out"), stored, asked)


@pytest.mark.parametrize(
    ("stored", "asked", "message"),
    [
        ({"seed": 0}, {"seed": 1}, "seed: out was begun with 0, found 1 now"),
        ({"weights": []}, {"weights": [0.5, 0.5]}, "weights: out was begun with none, found 0.5, 0.5 now"),
        ({"net": {"width": 8}}, {"net": {"width": 9}}, "net.width: out was begun with 8, found 9 now"),
        ({"old": 1}, {}, "old: out was begun with 1, found none now"),
    ],
)
def test_the_first_difference_is_told_with_both_values(
    stored: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_same(Path("out"), stored, asked)
    assert str(caught.value).startswith(f"{message}; give the same value")
