"""The export of a dataset: select, cut into parts, write them in parallel, finish, publish."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from sdflow.errors import SDFlowError

from ..atomic import write_file
from ..images import sha256_file
from ..manifest import INFO, Dataset, Patch
from ..progress import progress
from . import FORMATS
from .folder import FolderWriter
from .hdf5 import HDF5Writer
from .lmdb import LMDBWriter
from .parquet import ParquetWriter
from .parts import Part, cut, read_patches
from .selection import parse_split, split_by_source, where
from .staging import Staging, open_staging
from .trainers import TRAINERS, Layout
from .webdataset import WebDatasetWriter


class Writer(Protocol):
    """One format. It travels to worker processes."""

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Write one part, on any process, over whatever an interrupted run left of it."""

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write what needs all parts of a split, once they are there."""


@dataclass(frozen=True)
class Request:
    """What to export and how.

    Attributes:
        format: one of ``FORMATS``; None takes the best one for ``trainer``.
        trainer: a key of ``TRAINERS``, or None.
        where: a condition on the columns of the manifest, or None for all samples.
        split: as for `selection.parse_split`, or None.
        patches_per_shard: patches in a shard, a tar file, a table; elsewhere, in a unit of work.
    """

    format: str | None = None
    trainer: str | None = None
    where: str | None = None
    split: str | None = None
    patches_per_shard: int = 256


@dataclass(frozen=True)
class Summary:
    """What was exported.

    Attributes:
        format: one of ``FORMATS``.
        samples: their number by the part of the split, ``""`` without a split.
        config: the trainer's configuration file, if one was asked for.
    """

    format: str
    samples: dict[str, int]
    config: Path | None


def export(dataset: Dataset, out: Path, request: Request, workers: int | None = None) -> Summary:
    """Write a dataset as other programs read it. The same call again goes on where one was interrupted.

    The same dataset and request give the same bytes, whatever the number of workers and of interruptions;
    only a trainer's configuration file names the place.

    Args:
        dataset: what to export.
        out: a new or empty folder, or the same export, finished or not.
        request: what and how.
        workers: processes; None for one per core.

    Raises:
        SDFlowError: the request contradicts itself or the dataset, or ``out`` holds something else.
    """
    trainer = None if request.trainer is None else TRAINERS[request.trainer]
    format = request.format if trainer is None else trainer.choose_format(request.format)
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {FORMATS}, got {format!r}")
    fractions = {} if request.split is None else parse_split(request.split)
    if trainer is not None:
        trainer.check_splits(tuple(fractions))

    rows = dataset.manifest if request.where is None else where(dataset.manifest, request.where)
    if rows.empty:
        raise SDFlowError(f"--where: no sample of {dataset.folder} is left by {request.where!r}")
    # Over all photographs, so that a filter moves none of them to another part.
    splits = split_by_source(dataset.manifest["source_sha256"], fractions)[rows.index] if fractions else None
    parts = cut(rows, splits, request.patches_per_shard)
    by_split = {name: [part for part in parts if part.split == name] for name in fractions or ("",)}
    if empty := [name for name, members in by_split.items() if not members]:
        raise SDFlowError(f"--where: no sample is left for the part {empty[0]!r} by {request.where!r}")

    samples = {name: sum(len(part.rows) for part in members) for name, members in by_split.items()}
    summary = Summary(format, samples, None if trainer is None else out / trainer.config_name)
    settings = _settings(dataset, request, format, samples)
    staging = open_staging(out, settings)
    if staging is None:
        return summary
    if not staging.is_finished():
        writer = _writer(dataset, format, rows)
        _write_parts(writer, staging, dataset.folder, parts, workers or os.cpu_count() or 1)
        for name, members in by_split.items():
            writer.finish(staging, name, members)
        if trainer is not None:
            size, scale = dataset.info["patch_size"], dataset.info["scale"]
            config = trainer.config(Layout(out.resolve(), format, size, scale, tuple(fractions)))
            write_file(staging.folder("") / trainer.config_name, config.encode())
        staging.mark_finished()
    staging.publish(settings)
    return summary


def _settings(dataset: Dataset, request: Request, format: str, samples: dict[str, int]) -> dict[str, object]:
    return {
        "format": format,
        "for": request.trainer,
        "where": request.where,
        "split": request.split,
        "patches_per_shard": request.patches_per_shard,
        "dataset_sha256": sha256_file(dataset.folder / INFO),  # which holds the manifest's
        "scale": dataset.info["scale"],
        "patch_size": dataset.info["patch_size"],
        "samples": samples if request.split else sum(samples.values()),
    }


def _writer(dataset: Dataset, format: str, rows: pd.DataFrame) -> Writer:
    patch_size, scale = dataset.info["patch_size"], dataset.info["scale"]
    if format == "folder":
        return FolderWriter(patch_size)
    if format == "lmdb":
        return LMDBWriter(patch_size, scale)
    if format == "webdataset":
        return WebDatasetWriter()
    if format == "parquet":
        return ParquetWriter()
    return HDF5Writer.of(dataset, rows)


def _write_parts(writer: Writer, staging: Staging, folder: Path, parts: list[Part], workers: int) -> None:
    """Write those parts that are not there yet."""
    pending = [part for part in parts if not staging.is_done(part.number)]
    samples = sum(len(part.rows) for part in parts)
    with progress(samples, "export", "samples") as bar:
        bar.update(samples - sum(len(part.rows) for part in pending))
        if min(workers, len(pending)) <= 1:
            for part in pending:
                bar.update(_write_part(writer, staging, folder, part))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(pending)), context, _ignore_interrupts) as pool:
            try:
                tasks = [pool.submit(_write_part, writer, staging, folder, part) for part in pending]
                for task in as_completed(tasks):
                    bar.update(task.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _write_part(writer: Writer, staging: Staging, folder: Path, part: Part) -> int:
    writer.write_part(staging, part, read_patches(folder, part))
    staging.mark_done(part.number)
    return len(part.rows)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the parent alone answers, and lets parts in work end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
