"""Pairs as a dataset of this toolkit: other shards, filtered, or one dataset per part of a split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sdflow.files import write_file

from ..dataset.manifest import Dataset, Patch, finish_dataset, read_failures
from ..dataset.shards import ShardWriter, shard_path
from .parts import Part
from .staging import Staging

_PLACE = ["shard", "row", "variant"]
_MADE_ANEW = ("format_version", "library_version", "counts", "files")


@dataclass(frozen=True)
class HDF5Writer:
    """A dataset that `dataset.manifest` reads. Samples keep their ids; variants are numbered anew.

    Attributes:
        source: the folder of the exported dataset.
        facts: metadata of all samples, for the shards and dataset.json.
    """

    source: Path
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, dataset: Dataset, parts: list[Part], patches_per_shard: int) -> "HDF5Writer":
        """The writer for given parts of a dataset."""
        counts = pd.concat([part.rows.groupby(["shard", "row"]).size() for part in parts])
        # A shard holds the same number of variants of every patch. If a filter leaves different numbers,
        # every sample becomes a patch of its own, with its own copy of the HR.
        variants = int(counts.iloc[0]) if counts.nunique() == 1 else 1
        facts = {name: value for name, value in dataset.info.items() if name not in _MADE_ANEW}
        most = patches_per_shard * int(counts.max()) // variants
        return cls(dataset.folder, facts | {"variants": variants, "patches_per_shard": most})

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """One shard."""
        variants = self.facts["variants"]
        shard = ShardWriter(self.facts["patch_size"], self.facts["scale"], variants)
        for patch in patches:
            columns = patch.rows.drop(columns=_PLACE)
            for first in range(0, len(columns), variants):
                chosen = slice(first, first + variants)
                values = {name: column.to_numpy() for name, column in columns[chosen].items()}
                shard.add(patch.hr, patch.lr[chosen], values)
        path = shard_path(staging.folder(part.split), part.index)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, shard.finish(self.facts))

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """The manifest, the failures (those of the dataset that is exported) and dataset.json."""
        failures = read_failures(self.source)
        finish_dataset(staging.folder(split), len(parts), self.facts, failures)
