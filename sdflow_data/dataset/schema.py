"""The columns of shards and manifests: one list for all code that writes or checks them."""

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from .identity import PatchId, sample_id


class Column(NamedTuple):
    """A column: its type (``str`` for text), whether its values belong to patches or samples, its meaning."""

    type: type
    per: Literal["patch", "sample"]
    meaning: str


COLUMNS: dict[str, Column] = {
    "sample_id": Column(str, "sample", "its name, the same in every dataset that holds it"),
    "shard": Column(np.int32, "patch", "the number of its shard"),
    "row": Column(np.int32, "patch", "the patch's place in the shard"),
    "variant": Column(np.int32, "sample", "its place among the samples of the patch"),
    "source": Column(str, "patch", "the HR picture, by its path under the HR folder"),
    "source_sha256": Column(str, "patch", "SHA-256 of the HR picture's bytes"),
    "lr_source": Column(str, "patch", "the LR picture of an imported pair"),
    "lr_source_sha256": Column(str, "patch", "SHA-256 of that picture's bytes"),
    "top": Column(np.int64, "patch", "the patch's first row in the HR picture"),
    "left": Column(np.int64, "patch", "the patch's first column in the HR picture"),
    "component": Column(np.int32, "sample", "its mixture component, -1 for none or several"),
    "temperature": Column(np.float64, "patch", "of the latent noise"),
    "seed": Column(np.int64, "sample", "what it was drawn from"),
    "draw": Column(np.int32, "sample", "draws before it that were not finite"),
    "codec": Column(
        str, "sample", "the compression that it ends with, as jpeg:Q:420; ~Q is about that quality"
    ),
}
"""All columns except the statistics (float32 per sample), which follow in the order of their registry."""

PLACES = ("shard", "row", "variant")
"""The position of a sample. Manifests store these columns; shards do not."""

OF_SHARDS = ("sample_id", "source", "source_sha256")
"""Columns that no shard of a dataset lacks."""


def check_types(types: Mapping[str, type], needed: Collection[str] = (*OF_SHARDS, *PLACES)) -> None:
    """Refuse columns that are missing or hold something else than `COLUMNS` says.

    Args:
        types: of columns by their names, as NumPy's; ``numpy.object_`` is text.
        needed: columns that have to be there.

    Raises:
        ValueError: names the first one.
    """
    if missing := [name for name in needed if name not in types]:
        raise ValueError(f"no column {missing[0]}")
    kinds = {str: np.object_, np.float64: np.floating, np.int32: np.integer, np.int64: np.integer}
    for name, found in types.items():
        kind = kinds[COLUMNS[name].type] if name in COLUMNS else np.number
        if not np.issubdtype(found, kind):
            raise ValueError(f"{np.dtype(found)} in its column {name}")


def statistics_in(names: Collection[str]) -> list[str]:
    """The statistics among the columns, in the order given."""
    return [name for name in names if name not in COLUMNS]


def patch_columns(
    patch: PatchId,
    source: str,
    *,
    lr_source: tuple[str, str] | None = None,
    component: np.ndarray,
    temperature: float,
    seed: np.ndarray,
    draw: np.ndarray,
    codec: list[str] | None = None,
) -> dict[str, Any]:
    """The columns of a patch of K samples, except the statistics.

    Args:
        patch: the patch.
        source: the path of the HR picture.
        lr_source: path and SHA-256 of the LR picture of an imported pair.
        component, seed, draw: (K,).
        temperature: the temperature of all samples.
        codec: K names; None for imported pairs.
    """
    lr_names = ("lr_source", "lr_source_sha256")
    return {
        "sample_id": [sample_id(patch, variant) for variant in range(len(seed))],
        "source": source,
        "source_sha256": patch.sha256,
        **(dict(zip(lr_names, lr_source)) if lr_source else {}),
        "top": patch.top,
        "left": patch.left,
        "component": component,
        "temperature": temperature,
        "seed": seed,
        "draw": draw,
        **({} if codec is None else {"codec": codec}),
    }


def as_column(name: str, values: list[Any]) -> np.ndarray:
    """Values of patches, or of their samples, as an array of the column's type; text as objects."""
    if name not in COLUMNS:
        return np.asarray(values)
    kind = COLUMNS[name].type
    return np.asarray(values, object if kind is str else kind)
