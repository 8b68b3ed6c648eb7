"""Parts, the independent units of work of an export, and the pairs in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sdflow.errors import SDFlowError

from ..dataset.manifest import Patch
from ..dataset.shards import ShardReader, Sizes, shard_path
from ..images.writing import encode_png


@dataclass(frozen=True)
class Part:
    """A unit of work: some patches with their selected variants.

    Attributes:
        number: the number among all parts.
        split: the name of the part of the split; ``""`` without a split.
        index: the number within the split, for the file name in formats with one file per part.
        rows: the rows of the manifest. The variants of a patch are consecutive.
    """

    number: int
    split: str
    index: int
    rows: pd.DataFrame


@dataclass(frozen=True)
class Pair:
    """A sample as two PNG files.

    Attributes:
        name: the sample id, a safe file name and key.
        hr, lr: the PNG files.
        record: the row of the manifest.
    """

    name: str
    hr: bytes
    lr: bytes
    record: dict[str, object]


def cut(rows: pd.DataFrame, splits: pd.Series | None, patches_per_part: int) -> list[Part]:
    """Divide selected rows into parts of ``patches_per_part`` patches, in the order of the manifest.

    Args:
        rows: rows of a manifest.
        splits: the name of the part of the split for each row; None without a split.

    Raises:
        SDFlowError: a sample id is not a safe name, or is not unique.
    """
    _check_names(rows["sample_id"])
    parts: list[Part] = []
    by_split = [("", rows)] if splits is None else rows.groupby(splits, sort=False)
    for split, selected in by_split:
        patch = selected.groupby(["shard", "row"], sort=False).ngroup()
        for index, (_, members) in enumerate(selected.groupby(patch // patches_per_part, sort=True)):
            parts.append(Part(len(parts), str(split), index, members))
    return parts


def _check_names(names: pd.Series) -> None:
    for name in names:
        if not re.fullmatch("[A-Za-z0-9_-]{1,90}", name):
            raise SDFlowError(
                f"manifest: expected a sample_id of letters, digits, - and _, 90 at most, found {name!r:.200}"
            )
    if names.duplicated().any():
        raise SDFlowError(f"manifest: the sample_id {names[names.duplicated()].iloc[0]!r} is not unique")


def read_patches(dataset: Path, sizes: Sizes, part: Part) -> Iterator[Patch]:
    """Read the patches of a part, in order, each with its selected variants.

    Raises:
        SDFlowError: a shard is missing or damaged, or contradicts the dataset.
    """
    for shard, in_shard in part.rows.groupby("shard", sort=False):
        with ShardReader(shard_path(dataset, int(shard)), sizes) as reader:
            for row, rows in in_shard.groupby("row", sort=False):
                variants = [reader.lr[row, variant] for variant in rows["variant"]]
                yield Patch(reader.hr[row], np.stack(variants), rows)


def encode(patches: Iterator[Patch]) -> Iterator[Pair]:
    """Encode samples as PNG files. The pairs of one patch share the encoded HR."""
    for patch in patches:
        hr = encode_png(patch.hr)
        for lr, record in zip(patch.lr, patch.rows.to_dict("records")):
            yield Pair(str(record["sample_id"]), hr, encode_png(lr), record)
