"""The folder of a dataset: finishing it from its shards, and reading it.

    dataset.json      the settings of all samples, counts, checksums of the other tables; written last, so
                      that its presence shows that the dataset is whole
    manifest.parquet  a row per sample, in the order of shards, rows in a shard, variants; its columns are
                      listed in `sdflow_data.dataset.schema`
    failures.csv      every input that gave no pairs, or fewer than planned, with the reason
    croissant.json    what others have to know of it, for machines; see `sdflow_data.dataset.croissant`
    shards/           see `sdflow_data.dataset.shards`

The manifest is a function of the shards alone. It is written and read in pieces of bounded size.
"""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from sdflow.files import replacing, sha256_file, write_file

from .croissant import croissant
from .layout import Layout
from .provenance import DESCRIPTION, Provenance
from .schema import COLUMNS, PLACES
from .shards import Failure, ShardReader, shard_path

FORMAT_VERSION = 1
INFO, MANIFEST, FAILURES = "dataset.json", "manifest.parquet", "failures.csv"

_PROMISED = {"scale", "patch_size", "variants", "counts", "files"}
_ROWS_PER_GROUP = 1 << 16
MAX_SHARDS = 10**6
"""Shards have names of six digits."""


class Patch(NamedTuple):
    """One HR patch with its variants: uint8 (P, P, 3), uint8 (K, P/s, P/s, 3), and its K manifest rows."""

    hr: np.ndarray
    lr: np.ndarray
    rows: pd.DataFrame


@dataclass(frozen=True)
class Dataset:
    """A whole dataset; made by :func:`read_dataset`.

    Attributes:
        folder: the folder of the dataset.
        info: the contents of dataset.json.
    """

    folder: Path
    info: dict[str, Any]

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """One row per sample. For large datasets, read single columns with :meth:`columns`."""
        return self.columns(None)

    def columns(self, names: Sequence[str] | None) -> pd.DataFrame:
        """Some columns of the manifest (None: all)."""
        path = self.folder / MANIFEST
        try:
            table = pd.read_parquet(path, columns=None if names is None else list(names))
            self._check_places(path, table)
            return table
        except (OSError, pa.ArrowException) as error:
            raise SDFlowError(f"{path}: expected the manifest, found: {error}") from error

    def _check_places(self, path: Path, table: pd.DataFrame) -> None:
        """Check that the position of every sample lies in a shard."""
        counts = self.info["counts"]
        ends = zip(PLACES, (counts["shards"], counts.get("patches", 1 << 50), self.info["variants"]))
        for name, end in ends:
            if name not in table or not len(table):
                continue
            values = table[name]
            if not pd.api.types.is_integer_dtype(values.dtype):
                raise SDFlowError(
                    f"{path}: expected whole numbers in its column {name}, found {values.dtype}"
                )
            if values.min() < 0 or values.max() >= end:
                found = f"{values.min()} to {values.max()}"
                raise SDFlowError(f"{path}: expected {name} from 0 to {end - 1}, found {found}")

    def column_types(self) -> dict[str, str]:
        """The columns of the manifest and their types, in pyarrow's notation."""
        path = self.folder / MANIFEST
        try:
            return {column.name: str(column.type) for column in pq.read_schema(path)}
        except (OSError, pa.ArrowException) as error:
            raise SDFlowError(f"{path}: expected the manifest, found: {error}") from error

    def patches_per_shard(self) -> np.ndarray:
        """Number of patches in each shard: int64 (shards,). Memory is bounded."""
        samples = np.zeros(self.info["counts"]["shards"], np.int64)
        path = self.folder / MANIFEST
        try:
            for batch in pq.ParquetFile(path).iter_batches(columns=["shard"]):
                samples += np.bincount(batch["shard"].to_numpy(), minlength=len(samples))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SDFlowError(f"{path}: expected the manifest, found: {error}") from error
        return samples // self.info["variants"]

    def shard(self, number: int) -> ShardReader:
        """Open shard ``number``.

        Raises:
            SDFlowError: the shard is missing or damaged, or its pictures have other sizes than planned.
        """
        path, size = shard_path(self.folder, int(number)), self.info["patch_size"]
        low = size // self.info["scale"]
        shard = ShardReader(path)
        try:
            for images, shape in (
                (shard.hr, (size, size, 3)),
                (shard.lr, (self.info["variants"], low, low, 3)),
            ):
                if images.shape[1:] != shape:
                    raise SDFlowError(f"{path}: expected pictures of {shape}, found {images.shape[1:]}")
        except SDFlowError:
            shard.close()
            raise
        return shard

    def patches(self) -> Iterator[Patch]:
        """Every patch, in the order of the manifest."""
        for number, in_shard in self.manifest.groupby("shard", sort=True):
            with self.shard(number) as shard:
                for row, rows in in_shard.groupby("row", sort=True):
                    if row >= len(shard):
                        path = shard_path(self.folder, int(number))
                        raise SDFlowError(f"{path}: expected a row {row}, found {len(shard)} rows")
                    yield Patch(shard.hr[row], shard.lr[row], rows)


def read_dataset(folder: Path) -> Dataset:
    """Open a dataset.

    Raises:
        SDFlowError: the folder is not a dataset, not a finished one, or has another format version.
    """
    path = folder / INFO
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = info["format_version"]
        missing = _PROMISED - info.keys()
    except FileNotFoundError:
        raise SDFlowError(
            f"{folder}: expected a dataset, found no {INFO} in it "
            "(an unfinished one is finished by the same command that began it)"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NotADirectoryError) as error:
        raise SDFlowError(f"{path}: expected the description of a dataset, found: {error}") from error
    if version != FORMAT_VERSION:
        raise SDFlowError(f"{path}: expected dataset format {FORMAT_VERSION}, found {version}")
    if missing:
        raise SDFlowError(f"{path}: expected {', '.join(sorted(missing))} in it, found none")
    _check_info(path, info)
    _refuse_links_out(folder)
    return Dataset(folder, info)


def _check_info(path: Path, info: dict[str, Any]) -> None:
    """Refuse impossible sizes and counts before they are used."""
    counts = info["counts"]
    if not isinstance(counts, dict) or not isinstance(info["files"], dict):
        raise SDFlowError(f"{path}: expected counts and files by their names, found other JSON")
    limits = {"scale": (1, 64), "patch_size": (1, 1 << 16), "variants": (1, 1 << 20)}
    values = {name: (info[name], *limit) for name, limit in limits.items()}
    values |= {f"counts.{name}": (value, 0, 1 << 50) for name, value in counts.items()}
    values |= {"counts.shards": (counts.get("shards"), 1, MAX_SHARDS)}
    for name, (value, low, high) in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise SDFlowError(f"{path}: expected {name} from {low} to {high}, found {value!r:.40}")
    if info["patch_size"] % info["scale"]:
        found = f"{info['patch_size']} and {info['scale']}"
        raise SDFlowError(f"{path}: expected a patch_size that the scale divides, found {found}")


def _refuse_links_out(folder: Path) -> None:
    """Refuse links that lead out of the folder: a dataset may come from an untrusted source."""
    inside = folder.resolve()
    shards = folder / "shards"
    for path in [*folder.iterdir(), *(shards.iterdir() if shards.is_dir() else ())]:
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise SDFlowError(f"{path}: expected a file of the dataset, found a link that leads out of it")


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
        shards: number of shards.
        metadata: contents of dataset.json besides counts and checksums.
        skipped: inputs that are in no shard.
        others: names of further files in ``folder`` that belong to the dataset.
        described: whether it gets a description in Croissant.

    Returns:
        The contents of dataset.json.

    Raises:
        SDFlowError: there is no sample; failures.csv gives the reasons.
    """
    counts = dict.fromkeys(("sources", "patches", "samples", "shards", "failures", "redraws"), 0)
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
        raise SDFlowError(f"{folder}: not one sample could be made{why}")
    counts |= {"sources": len(sources), "shards": shards, "failures": len(listed)}
    versions = {"format_version": FORMAT_VERSION, "library_version": sdflow.__version__}
    info = {**versions, **metadata, "counts": counts}
    names = [MANIFEST, FAILURES, *others]
    if described:
        made = [shard_path(folder, number) for number in range(shards)]
        _describe(folder, info, [*(folder / name for name in names), *made])
        names.append(DESCRIPTION)
    info["files"] = {name: sha256_file(folder / name) for name in sorted(names)}
    write_file(folder / INFO, (json.dumps(info, indent=2, ensure_ascii=False) + "\n").encode())
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
    """The manifest rows of a shard: ``sample_id``, ``shard``, ``row``, ``variant``, then its own columns."""
    count, variants = shard.lr.shape[:2]
    rows, variant = np.mgrid[:count, :variants]
    at = dict(zip(PLACES, (np.full((count, variants), number), rows, variant)))
    places = {name: values.astype(COLUMNS[name].type) for name, values in at.items()}
    columns = shard.columns()
    ordered = {"sample_id": columns.pop("sample_id"), **places, **columns} if columns else places
    flat = {
        name: np.broadcast_to(values if values.ndim == 2 else values[:, None], (count, variants)).ravel()
        for name, values in ordered.items()
    }
    return pa.table(flat)


def failures_csv(failures: Iterable[Failure]) -> bytes:
    """The bytes of failures.csv; ``top`` and ``left`` are empty if the whole picture failed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Failure._fields)
    for failure in failures:
        writer.writerow([_printable(value) if isinstance(value, str) else value for value in failure])
    return text.getvalue().encode("utf-8")


def _printable(text: str) -> str:
    """Escape control characters in names of files, because a terminal would interpret them."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") else c for c in text
    )


def _write_manifest(path: Path, tables: Iterator[pa.Table]) -> int:
    """Write tables one after the other in row groups of a useful size; returns the number of rows.

    No file is written if there is no table.
    """
    first = next(tables, None)
    if first is None:
        return 0
    total = 0
    with replacing(path) as aside, pq.ParquetWriter(aside, first.schema) as writer:
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
