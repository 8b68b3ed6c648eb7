"""Settings are checked when they are given, and kept for the life of a dataset."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_recipe import RECIPE, changed

from sdflow.errors import SDFlowError
from sdflow_data.dataset.recipe import PAIRS, Recipe


@pytest.mark.parametrize(
    "recipe",
    [
        changed(RECIPE, components=(1, 5), weights=(0.25, 0.75)),
        replace(RECIPE, model=PAIRS, sampling=None),
        changed(RECIPE, model=PAIRS, temperature=1.0),
    ],
    ids=["sampled", "imported", "sampled by a model of that name"],
)
def test_a_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_what_dataset_json_says_has_one_order_and_keeps_its_names() -> None:
    names = "model model_hash scale patch_size stride variants temperature components weights seed device"
    expected = [*names.split(), "precision", "patches_per_shard"]
    assert list(RECIPE.to_json()) == expected
    assert list(replace(RECIPE, model=PAIRS, sampling=None).to_json()) == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"variants": 0}, "variants: expected a whole number from 1 up, found 0"),
        ({"stride": 0}, "stride: expected a whole number from 1 up, found 0"),
        ({"patches_per_shard": 0}, "patches_per_shard: expected a whole number from 1 up, found 0"),
        ({"seed": -1}, "seed: expected a whole number from 0 up, found -1"),
        ({"temperature": -0.1}, "temperature: expected a number from 0 up, found -0.1"),
        ({"temperature": float("nan")}, "temperature: expected a number from 0 up, found nan"),
        ({"patches_per_shard": 10**6}, "patches_per_shard: expected shards of at most 2 GiB"),
        ({"patch_size": 2**14}, "patch_size: expected patches of at most 256 MiB"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SDFlowError, match=message):
        changed(RECIPE, **setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"model_hash": "b" * 64},
            r"model: .* city \(aaaaaaaaaaaa\), found city \(bbbbbbbbbbbb\)",
        ),
        ({"temperature": 0.5}, "temperature: out was begun with 0.8, found 0.5"),
        ({"components": (3,)}, "components: out was begun with all, found 3"),
        ({"variants": 8}, "variants: out was begun with 4, found 8"),
        ({"precision": "bf16"}, "precision: out was begun with fp32, found bf16"),
    ],
)
def test_another_setting_is_refused_with_both_values(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SDFlowError, match=message):
        RECIPE.check_same(Path("out"), changed(RECIPE, **setting))


def test_a_model_is_known_by_its_hash_not_by_its_name() -> None:
    RECIPE.check_same(Path("out"), changed(RECIPE, model="renamed"))
