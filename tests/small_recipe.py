"""A recipe for tests that need one and not what it says."""

import dataclasses
from typing import Any

from sdflow_data.dataset.recipe import PatchGrid, Recipe, Sampling

RECIPE = Recipe(
    model="city",
    model_hash="a" * 64,
    grid=PatchGrid(scale=4, patch_size=256, stride=256, variants=4, patches_per_shard=128),
    sampling=Sampling(temperature=0.8),
)


def changed(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with other settings, wherever in it they belong."""
    for part in ("grid", "sampling"):
        values = getattr(recipe, part)
        own = {
            field.name: settings.pop(field.name)
            for field in dataclasses.fields(values)
            if field.name in settings
        }
        recipe = dataclasses.replace(recipe, **{part: dataclasses.replace(values, **own)})
    return dataclasses.replace(recipe, **settings)
