"""Export as Parquet tables that contain the pictures, in the layout of Hugging Face ``datasets``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from ..dataset.manifest import Patch
from ..dataset.tables import writing_table
from .parts import Part, encode
from .staging import Staging

_ROWS_PER_GROUP = 64  # readers decode one group at a time
_PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@dataclass(frozen=True)
class ParquetWriter:
    """Writes ``data/pairs-000000.parquet`` and so on.

    The columns are ``hr`` and ``lr`` (PNG files) and those of the manifest. The tables have a separate
    folder, because readers of tables read all files of a folder.
    """

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Write a part as one table."""
        folder = staging.folder(part.split) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        columns = pa.Schema.from_pandas(part.rows, preserve_index=False).remove_metadata()
        schema = pa.schema([("hr", _PICTURE), ("lr", _PICTURE), *columns])
        schema = schema.with_metadata({"huggingface": _features(columns)})
        path = folder / f"pairs-{part.index:06d}.parquet"
        with writing_table(path, schema, compression="none") as table:
            group: list[dict[str, object]] = []
            for pair in encode(patches):
                pictures = {"hr": pair.hr, "lr": pair.lr}
                files = {kind: {"bytes": png, "path": f"{pair.name}.png"} for kind, png in pictures.items()}
                group.append(files | pair.record)
                if len(group) == _ROWS_PER_GROUP:
                    table.write_table(pa.Table.from_pylist(group, schema))
                    group = []
            if group:
                table.write_table(pa.Table.from_pylist(group, schema))

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Do nothing, because the tables are complete."""


def _features(columns: pa.Schema) -> str:
    """The features of the columns in the notation of ``datasets``."""
    names = {"double": "float64", "float": "float32"}
    features: dict[str, dict[str, str]] = {"hr": {"_type": "Image"}, "lr": {"_type": "Image"}}
    for field in columns:
        kind = str(field.type)
        features[field.name] = {"dtype": names.get(kind, kind), "_type": "Value"}
    return json.dumps({"info": {"features": features}})
