"""Images, pairs, shards, manifests, statistics and export around the SDFlow model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset.reading import PairedShards, StreamedPairs

__all__ = ["PairedShards", "StreamedPairs"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .dataset import reading  # needs torch, which takes seconds to load

    return getattr(reading, name)
