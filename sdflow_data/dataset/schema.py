"""The columns of shards and manifests, for all code that writes or checks them."""

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from .identity import PatchId, sample_id


class Column(NamedTuple):
    """A column of the manifest.

    Attributes:
        type: the type of its values; ``str`` for text.
        per: whether a shard stores one value per patch or per sample.
        meaning: a description.
    """

    type: type
    per: Literal["patch", "sample"]
    meaning: str


COLUMNS: dict[str, Column] = {
    "sample_id": Column(str, "sample", "identifier, equal in every dataset"),
    "shard": Column(np.int32, "patch", "number of the shard"),
    "row": Column(np.int32, "patch", "index of the patch in the shard"),
    "variant": Column(np.int32, "sample", "index among the samples of the patch"),
    "source": Column(str, "patch", "path of the HR picture under the HR folder"),
    "source_sha256": Column(str, "patch", "SHA-256 of the HR picture file"),
    "lr_source": Column(str, "patch", "path of the LR picture of an imported pair"),
    "lr_source_sha256": Column(str, "patch", "SHA-256 of the LR picture file"),
    "top": Column(np.int64, "patch", "first row of the patch in the HR picture"),
    "left": Column(np.int64, "patch", "first column of the patch in the HR picture"),
    "component": Column(np.int32, "sample", "mixture component; -1 for none or several"),
    "temperature": Column(np.float64, "patch", "temperature of the latent noise"),
    "seed": Column(np.int64, "sample", "seed of the latent noise"),
    "draw": Column(np.int32, "sample", "number of discarded draws, which were not finite"),
    "codec": Column(
        str, "sample", "compression, such as jpeg:Q:420; ~Q if only the nearest quality is known"
    ),
}
"""All columns except the statistics (float32 per sample), which follow in the order of the registry."""

PLACES = ("shard", "row", "variant")
"""The position of a sample. Manifests store these columns; shards do not."""

OF_SHARDS = ("sample_id", "source", "source_sha256")
"""The columns that every shard has."""


def check_types(types: Mapping[str, type], needed: Collection[str] = (*OF_SHARDS, *PLACES)) -> None:
    """Check columns against `COLUMNS`.

    Args:
        types: NumPy types by column names; ``numpy.object_`` is text.
        needed: the columns that must exist.

    Raises:
        ValueError: names the first column that is missing or has another type.
    """
    if missing := [name for name in needed if name not in types]:
        raise ValueError(f"no column {missing[0]}")
    allowed = {str: np.object_, np.float64: np.floating, np.int32: np.integer, np.int64: np.integer}
    for name, found in types.items():
        expected = allowed[COLUMNS[name].type] if name in COLUMNS else np.number
        if not np.issubdtype(found, expected):
            raise ValueError(f"{np.dtype(found)} in its column {name}")


def statistics_in(names: Collection[str]) -> list[str]:
    """The names that are statistics, in the given order."""
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
    """The values of a column as an array of its type; text as objects."""
    if name not in COLUMNS:
        return np.asarray(values)
    kind = COLUMNS[name].type
    return np.asarray(values, object if kind is str else kind)
