"""The folder of a dataset: finishing it from its shards, and reading it.

    dataset.json      the settings of all samples, counts, checksums of the other tables; written last, so
                      that its presence shows that the dataset is complete
    manifest.parquet  one row per sample, in the order of shards, rows in a shard, variants; for its columns
    see
                      `sdflow_data.dataset.schema`
    failures.csv      every input that gave no pairs, or fewer than planned, with the reason
    croissant.json    a machine-readable description; see `sdflow_data.dataset.croissant`
    shards/           see `sdflow_data.dataset.shards`

The manifest is a function of the shards alone. It is written and read in pieces of bounded size.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import sdflow
from sdflow.errors import SDFlowError
from sdflow.files import read_json, reading, sha256_file, to_json, write_file
from sdflow.wording import counted

from ..system.folders import refuse_links_out
from ..system.names import printable
from .croissant import croissant
from .layout import Layout
from .provenance import DESCRIPTION, Provenance
from .schema import COLUMNS, OF_SHARDS, PLACES, check_types
from .shards import MAX_PATCH_BYTES, MAX_SHARDS, Failure, ShardReader, Sizes, shard_path
from .tables import check_text, reading_table, writing_table

FORMAT_VERSION = 1
INFO, MANIFEST, FAILURES = "dataset.json", "manifest.parquet", "failures.csv"

_PROMISED = {"scale", "patch_size", "variants", "counts", "files"}
_COUNTS = ("sources", "patches", "samples", "shards", "failures", "redraws")
_ROWS_PER_GROUP = 1 << 16


class Patch(NamedTuple):
    """One HR patch with its variants: uint8 (P, P, 3), uint8 (K, P/s, P/s, 3), and its K manifest rows."""

    hr: np.ndarray
    lr: np.ndarray
    rows: pd.DataFrame


@dataclass(frozen=True)
class Dataset:
    """A complete dataset; :func:`read_dataset` opens it.

    Attributes:
        folder: the folder of the dataset.
        info: the contents of dataset.json.
    """

    folder: Path
    info: dict[str, Any]

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The manifest, one row per sample. For large datasets, read single columns with :meth:`columns`."""
        return self.columns(None)

    def columns(self, names: Sequence[str] | None) -> pd.DataFrame:
        """Some columns of the manifest; all for None.

        Raises:
            SDFlowError: the manifest is damaged, or lacks a column.
        """
        with self._reading() as table:
            if missing := set(names or ()) - set(table.schema_arrow.names):
                raise ValueError(f"no column {min(missing)}")
            check_text(self.folder / MANIFEST, table, names)
            found = table.read(None if names is None else list(names))
            if nulls := [name for name in found.column_names if name in COLUMNS and found[name].null_count]:
                raise ValueError(f"empty places in its column {nulls[0]}")
            return self._checked(found.to_pandas())

    @contextmanager
    def _reading(self) -> Iterator[pq.ParquetFile]:
        with reading_table(self.folder / MANIFEST, "the manifest") as table:
            found, counts = table.metadata.num_rows, self.info["counts"]
            if not found == counts["samples"] == counts["patches"] * self.info["variants"]:
                raise ValueError(
                    f"{counted(found, 'row')}, but {INFO} has {counted(counts['samples'], 'sample')} of "
                    f"{counted(counts['patches'], 'patch', 'patches')} in "
                    f"{counted(self.info['variants'], 'variant')}"
                )
            check_types({column.name: column.type.to_pandas_dtype() for column in table.schema_arrow})
            yield table

    def _checked(self, table: pd.DataFrame) -> pd.DataFrame:
        """Refuse samples outside of all shards.

        Raises:
            ValueError: names the column.
        """
        counts = self.info["counts"]
        for name, end in zip(PLACES, (counts["shards"], counts["patches"], self.info["variants"])):
            if name not in table or not len(table):
                continue
            values = table[name]
            if values.min() < 0 or values.max() >= end:
                raise ValueError(f"{name} from {values.min()} to {values.max()}, none from 0 to {end - 1}")
        return table

    def column_types(self) -> dict[str, str]:
        """The columns of the manifest, each with pyarrow's name of its type."""
        with self._reading() as table:
            return {column.name: str(column.type) for column in table.schema_arrow}

    def patches_per_shard(self) -> np.ndarray:
        """The number of patches in each shard, int64 (shards,), read in bounded memory."""
        samples = np.zeros(self.info["counts"]["shards"], np.int64)
        with self._reading() as table:
            for batch in table.iter_batches(columns=["shard"]):
                numbers = self._checked(batch.to_pandas())["shard"].to_numpy()
                samples += np.bincount(numbers, minlength=len(samples))
        return samples // self.info["variants"]

    @property
    def sizes(self) -> Sizes:
        """The sizes of the pictures in every shard."""
        return Sizes(self.info["patch_size"], self.info["scale"], self.info["variants"])

    def shard(self, number: int) -> ShardReader:
        """Open shard ``number``.

        Raises:
            SDFlowError: the shard is missing or damaged, or its pictures have other sizes than planned.
        """
        return ShardReader(shard_path(self.folder, int(number)), self.sizes)

    def patches(self) -> Iterator[Patch]:
        """All patches, in the order of the manifest."""
        for number, in_shard in self.manifest.groupby("shard", sort=True):
            with self.shard(number) as shard:
                for row, rows in in_shard.groupby("row", sort=True):
                    yield Patch(shard.hr[row], shard.lr[row], rows)


def read_dataset(folder: Path) -> Dataset:
    """Open a dataset.

    Raises:
        SDFlowError: the folder is not a dataset, is an unfinished one, or has another format version.
    """
    path = folder / INFO
    refuse_links_out(folder)
    try:
        info = read_json(path, "the description of a dataset")
    except FileNotFoundError:
        raise SDFlowError(
            f"{folder}: expected a dataset, found no {INFO} in it "
            "(the command that began an unfinished dataset finishes it)"
        ) from None
    except OSError as error:
        found = error.strerror
        raise SDFlowError(f"{path}: expected the description of a dataset, found: {found}") from error
    if "format_version" not in info:
        raise SDFlowError(f"{path}: expected the description of a dataset, found no format_version in it")
    if (version := info["format_version"]) != FORMAT_VERSION:
        raise SDFlowError(f"{path}: expected dataset format {FORMAT_VERSION}, found {version!r:.40}")
    if missing := _PROMISED - info.keys():
        raise SDFlowError(f"{path}: expected {', '.join(sorted(missing))} in it, found none")
    _check_info(path, info)
    return Dataset(folder, info)


def _check_info(path: Path, info: dict[str, Any]) -> None:
    """Refuse impossible sizes and counts before they are used."""
    counts = info["counts"]
    if not isinstance(counts, dict) or not isinstance(info["files"], dict):
        raise SDFlowError(f"{path}: expected counts and files by their names, found other JSON")
    limits = {"scale": (1, 64), "patch_size": (1, 1 << 16), "variants": (1, 1 << 20)}
    values = {name: (info[name], *limit) for name, limit in limits.items()}
    limits = dict.fromkeys((*_COUNTS, *counts), (0, 1 << 50))
    limits |= {"patches": (1, 1 << 50), "samples": (1, 1 << 50), "shards": (1, MAX_SHARDS)}
    values |= {f"counts.{name}": (counts.get(name), *limit) for name, limit in limits.items()}
    for name, (value, low, high) in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise SDFlowError(f"{path}: expected {name} from {low} to {high}, found {value!r:.40}")
    weights = info.get("weights", [])
    if not isinstance(weights, list) or not all(type(w) in (int, float) and 0 <= w < 2**53 for w in weights):
        raise SDFlowError(f"{path}: expected weights, finite numbers from 0 up, found {weights!r:.40}")
    if info["patch_size"] % info["scale"]:
        found = f"{info['patch_size']} and {info['scale']}"
        raise SDFlowError(f"{path}: expected a patch_size that the scale divides, found {found}")
    size = Sizes(info["patch_size"], info["scale"], info["variants"]).nbytes
    if size > MAX_PATCH_BYTES:
        expected = f"patches of at most {MAX_PATCH_BYTES} bytes with their variants"
        raise SDFlowError(f"{path}: expected {expected}, found {size}")


def finish_dataset(
    folder: Path,
    shards: int,
    metadata: Mapping[str, Any],
    skipped: Sequence[Failure] = (),
    others: Sequence[str] = (),
    *,
    described: bool = False,
) -> dict[str, Any]:
    """Finish a dataset whose shards 0 to ``shards - 1`` exist: manifest, failures, then dataset.json.

    Args:
        folder: the folder of the dataset.
        shards: the number of shards.
        metadata: contents of dataset.json besides counts and checksums.
        skipped: inputs that are in no shard.
        others: names of further files in ``folder`` that belong to the dataset.
        described: whether to write croissant.json.

    Returns:
        The contents of dataset.json.

    Raises:
        SDFlowError: there is no sample. failures.csv lists the reasons.
    """
    counts = dict.fromkeys(_COUNTS, 0)
    sources: set[str] = set()
    failures: set[Failure] = set()  # an unreadable picture fails in each of its shards

    def tables() -> Iterator[pa.Table]:
        for number in range(shards):
            with ShardReader(shard_path(folder, number)) as shard:
                failures.update(shard.failures())
                counts["patches"] += len(shard)
                table = shard_table(shard, number)
            if len(table):
                sources.update(table["source_sha256"].unique().to_pylist())
                counts["redraws"] += int(np.sum(table["draw"])) if "draw" in table.column_names else 0
                yield table

    counts["samples"] = _write_manifest(folder / MANIFEST, tables())
    listed = sorted([*skipped, *failures], key=lambda f: (f.source, f.top or 0, f.left or 0, f.reason))
    write_file(folder / FAILURES, failures_csv(listed))
    if not counts["samples"]:
        why = f"; for instance {listed[0].source}: {listed[0].reason}" if listed else ""
        raise SDFlowError(f"{folder}: no sample could be made{why}")
    counts |= {"sources": len(sources), "shards": shards, "failures": len(listed)}
    versions = {"format_version": FORMAT_VERSION, "library_version": sdflow.__version__}
    info = {**versions, **metadata, "counts": counts}
    names = [MANIFEST, FAILURES, *others]
    if described:
        made = [shard_path(folder, number) for number in range(shards)]
        _describe(folder, info, [*(folder / name for name in names), *made])
        names.append(DESCRIPTION)
    info["files"] = {name: sha256_file(folder / name) for name in sorted(names)}
    write_file(folder / INFO, to_json(info))
    return info


def _describe(folder: Path, info: dict[str, Any], files: Iterable[Path]) -> None:
    layout = Layout(
        root=".",
        format="hdf5",
        patch_size=info["patch_size"],
        scale=info["scale"],
        samples={"train": info["counts"]["samples"]},
        is_split=False,
        columns=Dataset(folder, info).column_types(),
        info=info,
        provenance=Provenance.of_dataset(info),
    )
    write_file(folder / DESCRIPTION, croissant(layout, folder, files))


def shard_table(shard: ShardReader, number: int) -> pa.Table:
    """The manifest rows of a shard: ``sample_id``, ``shard``, ``row``, ``variant``, then its own columns.

    Raises:
        SDFlowError: the shard lacks a column, or a column has another type.
    """
    count, variants = shard.lr.shape[:2]
    rows, variant = np.mgrid[:count, :variants]
    at = dict(zip(PLACES, (np.full((count, variants), number), rows, variant)))
    places = {name: values.astype(COLUMNS[name].type) for name, values in at.items()}
    columns = shard.columns()
    if missing := [name for name in OF_SHARDS if columns and name not in columns]:
        raise SDFlowError(f"{shard.path}: expected the columns {', '.join(OF_SHARDS)}, found no {missing[0]}")
    ordered = {"sample_id": columns.pop("sample_id"), **places, **columns} if columns else places
    flat = {
        name: np.broadcast_to(values if values.ndim == 2 else values[:, None], (count, variants)).ravel()
        for name, values in ordered.items()
    }
    return pa.table(flat)


def failures_csv(failures: Iterable[Failure]) -> bytes:
    """The contents of failures.csv; ``top`` and ``left`` are empty if the whole picture failed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Failure._fields)
    for failure in failures:
        writer.writerow([printable(value) if isinstance(value, str) else value for value in failure])
    return text.getvalue().encode("utf-8")


def read_failures(folder: Path) -> list[Failure]:
    """Read failures.csv in the folder of a dataset.

    Raises:
        SDFlowError: the file is missing or damaged.
    """
    path = folder / FAILURES
    try:
        with reading(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text, strict=True))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("rows of different lengths")
        return [
            Failure(row["source"], _place(row["top"]), _place(row["left"]), row["reason"]) for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise SDFlowError(
            f"{path}: expected the columns {', '.join(Failure._fields)}, found: {error!r:.200}"
        ) from error


def _place(text: str) -> int | None:
    return int(text) if text else None


def _write_manifest(path: Path, tables: Iterator[pa.Table]) -> int:
    """Write tables to one file, in row groups of bounded size; returns the number of rows.

    No file is written if there is no table.
    """
    first = next(tables, None)
    if first is None:
        return 0
    total = 0
    with writing_table(path, first.schema) as writer:
        pending = [first]
        for table in tables:
            pending.append(table)
            if sum(map(len, pending)) >= _ROWS_PER_GROUP:
                total += _write_group(writer, pending)
        total += _write_group(writer, pending)
    return total


def _write_group(writer: pq.ParquetWriter, pending: list[pa.Table]) -> int:
    group = pa.concat_tables(pending)
    pending.clear()
    if len(group):
        writer.write_table(group)
    return len(group)
