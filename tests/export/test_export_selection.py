"""Which samples are exported, into which part of a split, and how the work is cut."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdflow.errors import SDFlowError
from sdflow_data.export.parts import cut
from sdflow_data.export.selection import parse_split, split_by_source, where

ROWS = pd.DataFrame(
    {
        "noise_sigma": [1.0, 5.0, np.nan, 9.0],
        "component": [0, 1, 2, 3],
        "source": ["a.png", "b", "a.png", "c"],
    }
)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("noise_sigma < 6", [0, 1]),
        ("noise_sigma * 2 > 8 and not component == 3", [1]),
        ("(noise_sigma < 2) | (component >= 3)", [0, 3]),
        ("2 < noise_sigma < 9.5", [1, 3]),
        ("source == 'a.png' or component in [1]", [0, 1, 2]),
        ("  component % 2 == 0 ", [0, 2]),
        ("component > -1 and ~(component > 1)", [0, 1]),
    ],
)
def test_a_condition_keeps_the_rows_for_which_it_holds(condition: str, kept: list[int]) -> None:
    assert where(ROWS, condition).index.tolist() == kept


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('true')",
        "source.str.len() > 1",
        "component.values",
        "component[0] == 1",
        "[c for c in component]",
        "(lambda: True)()",
        "(x := 1) == 1",
        "9 ** 9 ** 9 > component",
        "f'{component}' == '1'",
        "component == 1 if True else False",
    ],
)
def test_a_condition_is_comparisons_and_nothing_more(condition: str) -> None:
    with pytest.raises(SDFlowError, match="where: expected comparisons"):
        where(ROWS, condition)


@pytest.mark.parametrize(
    "condition",
    [
        "'a' * 2000000000 < 'b'",
        "2000000000 * 'a' < 'b'",
        "source * 2000000000 == 'b'",
        "(source) * 9 == 'b'",
        "('a' + 'b') * 9 == 'b'",
        "(source or source) * 9 == 'b'",
        "component in [1] * 2000000000",
        "(1, 2) * 2000000000 == component",
        "b'a' * 2000000000 == source",
        "source + source + source == ''",
        "-source * 9 == 'b'",
    ],
)
def test_arithmetic_is_on_numbers_alone(condition: str) -> None:
    with pytest.raises(SDFlowError, match="where: expected arithmetic on numbers"):
        where(ROWS, condition)


@pytest.mark.parametrize("condition", ["", "component ==", "@secret > 1", "component = 1", "a; b", "(" * 500])
def test_what_is_no_expression_is_refused_in_one_line(condition: str) -> None:
    with pytest.raises(SDFlowError, match="where: expected a condition") as caught:
        where(ROWS, condition)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("condition", ["component", "noise_sigma + 1", "1 == 1", "True"])
def test_a_condition_must_be_true_or_false_of_each_sample(condition: str) -> None:
    with pytest.raises(SDFlowError, match="true or false"):
        where(ROWS, condition)


def test_an_unknown_column_is_named_with_the_known_ones() -> None:
    with pytest.raises(SDFlowError, match=r"no column 'sigma'; there are noise_sigma, component, source"):
        where(ROWS, "sigma < 3")


def test_a_comparison_of_text_with_a_number_is_an_error_of_the_user() -> None:
    with pytest.raises(SDFlowError, match="cannot evaluate"):
        where(ROWS, "source < 3")


def test_a_split_keeps_the_order_in_which_it_is_given() -> None:
    assert list(parse_split(" val=0.25, train=0.75").items()) == [("val", 0.25), ("train", 0.75)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("train", "expected a list such as"),
        ("train=0.5,,val=0.5", "expected a list such as"),
        ("train=1e0", "expected a list such as"),
        ("train=0.5.0,val=0.5", "expected a list such as"),
        ("../up=0.5,val=0.5", "expected a list such as"),
        ("a=0.5,a=0.5", "given twice"),
        ("a=0,b=1", "above 0"),
        ("a=0.5,b=0.6", "sum of 1.1"),
    ],
)
def test_a_wrong_split_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SDFlowError, match=f"split: .*{complaint}"):
        parse_split(text)


def hashes(count: int) -> list[str]:
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


@st.composite
def splits(draw: st.DrawFn) -> tuple[pd.Series, dict[str, float]]:
    """Samples of photographs in any order, and fractions for no more parts than there are photographs."""
    weights = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    photographs = hashes(draw(st.integers(len(weights), 40)))
    samples = photographs + draw(st.lists(st.sampled_from(photographs), max_size=60))
    fractions = {f"part{n}": weight / sum(weights) for n, weight in enumerate(weights)}
    return pd.Series(draw(st.permutations(samples))), fractions


@given(splits())
def test_no_photograph_lies_in_two_parts(case: tuple[pd.Series, dict[str, float]]) -> None:
    sources, fractions = case
    assert (split_by_source(sources, fractions).groupby(sources).nunique() == 1).all()


@given(splits())
def test_every_part_gets_its_fraction_of_the_photographs_and_at_least_one(
    case: tuple[pd.Series, dict[str, float]],
) -> None:
    sources, fractions = case
    counts = sources.groupby(split_by_source(sources, fractions)).nunique()
    assert set(counts.index) == set(fractions)
    total, lifted = sources.nunique(), len(fractions)  # parts that were too small take from the others
    for name, fraction in fractions.items():
        assert abs(counts[name] - fraction * total) < 1 + lifted


@given(splits(), st.randoms())
def test_a_split_depends_on_the_photographs_alone(
    case: tuple[pd.Series, dict[str, float]], random: "st.random.Random"
) -> None:
    sources, fractions = case
    shuffled = sources.sample(frac=1, random_state=random.randrange(2**32))
    assert split_by_source(shuffled, fractions).sort_index().equals(split_by_source(sources, fractions))


def test_fewer_photographs_than_parts_are_refused() -> None:
    with pytest.raises(SDFlowError, match="at least 2 source photographs for as many parts, found 1"):
        split_by_source(pd.Series(["a", "a"]), {"train": 0.9, "val": 0.1})


def manifest(patches: list[int]) -> pd.DataFrame:
    """Rows of a dataset with two patches a shard; ``patches`` are their numbers of variants."""
    rows = [(f"p{n}-v{v}", n // 2, n % 2, v) for n, count in enumerate(patches) for v in range(count)]
    return pd.DataFrame(rows, columns=["sample_id", "shard", "row", "variant"])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 5), st.booleans())
def test_parts_hold_every_row_once_and_whole_patches(counts: list[int], size: int, split: bool) -> None:
    rows = manifest(counts)
    splits = rows["shard"].map(lambda shard: "ab"[shard % 2]) if split else None
    parts = cut(rows, splits, size)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert sorted(index for part in parts for index in part.rows.index) == list(range(len(rows)))
    patches = [set(zip(part.rows["shard"], part.rows["row"])) for part in parts]
    assert len(set().union(*patches)) == sum(map(len, patches))
    for name in {part.split for part in parts}:
        own = [part for part in parts if part.split == name]
        assert [part.index for part in own] == list(range(len(own)))
        order = [index for part in own for index in part.rows.index]
        assert order == sorted(order)
        assert all(len(patches[part.number]) == size for part in own[:-1])


@pytest.mark.parametrize("name", ["a/b", "a.b", "a b", "é", "", "../a"])
def test_a_sample_id_that_is_not_safe_as_a_name_is_refused(name: str) -> None:
    rows = manifest([1, 1])
    rows.loc[1, "sample_id"] = name
    with pytest.raises(SDFlowError, match="expected a sample_id of letters"):
        cut(rows, None, 4)


def test_a_sample_id_that_comes_twice_is_refused() -> None:
    rows = manifest([1, 1])
    rows["sample_id"] = "same"
    with pytest.raises(SDFlowError, match="'same' is not unique"):
        cut(rows, None, 4)
