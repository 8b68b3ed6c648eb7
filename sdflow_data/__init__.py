"""The data toolkit around the SDFlow model: images, models, training, datasets, statistics, export."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset.mixing import MixedPairs
    from .dataset.reading import PairedShards, StreamedPairs
    from .generation.on_the_fly import Degradation, OnTheFly

__all__ = ["Degradation", "MixedPairs", "OnTheFly", "PairedShards", "StreamedPairs"]

_MODULES = {
    "Degradation": ".generation.on_the_fly",
    "MixedPairs": ".dataset.mixing",
    "OnTheFly": ".generation.on_the_fly",
    "PairedShards": ".dataset.reading",
    "StreamedPairs": ".dataset.reading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        importlib.import_module(_MODULES[name], __name__), name
    )  # imports torch, which takes seconds
