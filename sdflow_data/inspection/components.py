"""The mixture components that the samples of a dataset were drawn from."""

from dataclasses import dataclass

import pandas as pd

from ..dataset.manifest import Dataset


@dataclass(frozen=True)
class ComponentShare:
    """A mixture component in a dataset.

    Attributes:
        component: its number in the model; of a measured model, that of its camera.
        samples: the number of samples drawn from it.
        share: their share of the samples of all components.
        weight: the probability that the dataset was made with, to match a set of photographs; None for none.
        noise: the median noise of its samples in flat areas, in grey levels; NaN if it is not measurable.
        sharpness: the median sharpness of their edges, in 1/pixel; NaN if it is not measurable.
    """

    component: int
    samples: int
    share: float
    weight: float | None
    noise: float
    sharpness: float


def component_shares(dataset: Dataset, samples: pd.DataFrame) -> list[ComponentShare]:
    """The components of a dataset by number; empty for a model without components.

    Args:
        dataset: the dataset.
        samples: the statistics of its samples, in the order of the manifest.
    """
    drawn = dataset.columns(["component"])["component"].to_numpy()
    weights = dataset.info.get("weights", [])
    if len(weights) <= drawn.max(initial=-1):
        weights = []
    medians = samples[["noise_sigma", "sharpness"]].groupby(drawn).median()
    counts = pd.Series(drawn).value_counts()
    total = counts[counts.index >= 0].sum()
    return [
        ComponentShare(
            component=int(component),
            samples=int(counts[component]),
            share=float(counts[component] / total),
            weight=float(weights[component]) if weights else None,
            noise=float(row["noise_sigma"]),
            sharpness=float(row["sharpness"]),
        )
        for component, row in medians.iterrows()
        if component >= 0
    ]
