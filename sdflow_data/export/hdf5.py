"""Export as datasets of this toolkit, for example with other shards, filtered or split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sdflow.files import write_file

from ..dataset.manifest import Dataset, Patch, finish_dataset, read_failures
from ..dataset.schema import PLACES
from ..dataset.shards import ShardWriter, shard_path
from .parts import Part
from .staging import Staging

_REPLACED = ("format_version", "library_version", "counts", "files")


@dataclass(frozen=True)
class HDF5Writer:
    """Writes a dataset for each part of a split. Samples keep their ids; variants are renumbered.

    Attributes:
        source: the folder of the exported dataset.
        metadata: metadata of all samples, for the shards and dataset.json.
    """

    source: Path
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, dataset: Dataset, parts: list[Part], patches_per_shard: int) -> "HDF5Writer":
        """The writer for all parts of a dataset."""
        counts = pd.concat([part.rows.groupby(["shard", "row"]).size() for part in parts])
        # All patches of a shard have the same number of variants. If a filter leaves different numbers, every
        # sample becomes its own patch, with a copy of the HR.
        variants = int(counts.iloc[0]) if counts.nunique() == 1 else 1
        metadata = {name: value for name, value in dataset.info.items() if name not in _REPLACED}
        most = patches_per_shard * int(counts.max()) // variants
        return cls(dataset.folder, metadata | {"variants": variants, "patches_per_shard": most})

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Write a part as one shard."""
        variants = self.metadata["variants"]
        shard = ShardWriter(self.metadata["patch_size"], self.metadata["scale"], variants)
        for patch in patches:
            columns = patch.rows.drop(columns=list(PLACES))
            for first in range(0, len(columns), variants):
                chosen = slice(first, first + variants)
                values = {name: column.to_numpy() for name, column in columns[chosen].items()}
                shard.add(patch.hr, patch.lr[chosen], values)
        path = shard_path(staging.folder(part.split), part.index)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, shard.finish(self.metadata))

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write the manifest, the failures of the exported dataset, and dataset.json."""
        failures = read_failures(self.source)
        finish_dataset(staging.folder(split), len(parts), self.metadata, failures)
