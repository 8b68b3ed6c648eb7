"""A recipe for tests that need one and not what it says."""

from sdflow_data.dataset.recipe import Recipe

RECIPE = Recipe(
    model="city",
    model_hash="a" * 64,
    scale=4,
    patch_size=256,
    stride=256,
    variants=4,
    temperature=0.8,
    components=(),
    weights=(),
    seed=0,
    device="cpu",
    precision="fp32",
    patches_per_shard=128,
)
