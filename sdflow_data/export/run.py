"""The export of a dataset: select rows, divide them into parts, write the parts in parallel, publish."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from sdflow.errors import ArgumentError
from sdflow.files import reading, sha256_file, write_file

from ..dataset.croissant import croissant
from ..dataset.layout import Layout
from ..dataset.manifest import INFO, Dataset, Patch
from ..dataset.provenance import DESCRIPTION, UNSAID, Provenance
from ..dataset.shards import Sizes
from ..system.folders import check_outside, resolved
from ..system.lock import OutputLock
from ..system.processes import in_processes
from ..system.progress import progress
from . import FORMATS
from .folder import FolderWriter
from .hdf5 import HDF5Writer
from .lmdb import LMDBWriter
from .parquet import ParquetWriter
from .parts import Part, cut, read_patches
from .selection import parse_split, split_by_source, where
from .staging import Staging, open_staging
from .trainers import TRAINERS
from .webdataset import WebDatasetWriter


class Writer(Protocol):
    """Writes one format. It is pickled for worker processes."""

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Write one part, in any process. It replaces the remains of an interrupted run."""

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write the files that need all parts of a split, after these are complete."""


@dataclass(frozen=True)
class ExportRequest:
    """A request to export.

    Attributes:
        format: one of ``FORMATS``; None chooses the best one for ``trainer``.
        trainer: a key of ``TRAINERS``, or None.
        where: a condition on the columns of the manifest; None for all samples.
        split: the argument of `selection.parse_split`; None for no split.
        patches_per_shard: the number of patches in a shard, tar file, table or unit of work.
        template: a configuration of the trainer to fill in, or None.
        root: the path of the export where the trainer will run; None for its absolute path here.
        provenance: licences and sources of the photographs, for the dataset card and croissant.json. Missing
            statements are taken from the dataset.
    """

    format: str | None = None
    trainer: str | None = None
    where: str | None = None
    split: str | None = None
    patches_per_shard: int = 256
    template: Path | None = None
    root: str | None = None
    provenance: Provenance = UNSAID


@dataclass(frozen=True)
class Summary:
    """The result of an export.

    Attributes:
        format: one of ``FORMATS``.
        samples: the number of samples of each part of the split, ``""`` without a split.
        config: the configuration file of the trainer; None without a trainer.
    """

    format: str
    samples: dict[str, int]
    config: Path | None


def export(dataset: Dataset, out: Path, request: ExportRequest, workers: int | None = None) -> Summary:
    """Write a dataset in a format that other programs read. The same call continues an interrupted export.

    The same dataset and request give the same bytes, for any number of workers and interruptions. Only the
    configuration file of a trainer depends on the folder.

    Args:
        dataset: the dataset.
        out: a new or empty folder, or the same export, finished or not.
        request: the settings.
        workers: processes; None for one per core.

    Raises:
        SDFlowError: the request is inconsistent or does not fit the dataset, or ``out`` has other files.
    """
    trainer = None if request.trainer is None else TRAINERS[request.trainer]
    if trainer is None and (request.template or request.root):
        raise ValueError("trainer: expected one for a template or a root, got None")
    fractions = {} if request.split is None else parse_split(request.split)
    if trainer is not None:
        trainer.check_splits(tuple(fractions))
    splits = _select(dataset, request, fractions)
    samples = {name: _samples(parts) for name, parts in splits.items()}
    total = sum(samples.values())
    format = request.format if trainer is None else trainer.choose_format(request.format, total)
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {FORMATS}, got {format!r}")
    template = None if request.template is None else _read_template(request.template)
    layout = _layout(dataset, out, request, format, samples)
    try:
        config = None if trainer is None else trainer.text(layout, template)
    except RecursionError as error:
        raise ArgumentError("template", "expected a configuration, found one nested too deeply") from error
    settings = _settings(dataset, request, format, samples, template)

    check_outside(out, [dataset.folder])
    with OutputLock(out, None):
        staging = open_staging(out, settings)
        if staging is not None and not staging.is_finished():
            _write(_writer(dataset, request, format, _all(splits)), staging, dataset, splits, workers)
            if trainer is not None and config is not None:
                write_file(
                    staging.folder("") / trainer.config_name, config.encode("utf-8", "backslashreplace")
                )
            folder = staging.folder("")
            write_file(folder / DESCRIPTION, croissant(layout, folder, _files(format, folder)))
            staging.mark_finished()
        if staging is not None:
            staging.publish(settings)
    return Summary(format, samples, None if trainer is None else out / trainer.config_name)


def _read_template(path: Path) -> str:
    try:
        with reading(path) as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError("template", f"expected a text file, cannot read {path}: {error}") from error


def _layout(
    dataset: Dataset, out: Path, request: ExportRequest, format: str, samples: dict[str, int]
) -> Layout:
    return Layout(
        root=str(resolved(out)) if request.root is None else request.root,
        format=format,
        patch_size=dataset.info["patch_size"],
        scale=dataset.info["scale"],
        samples=samples if request.split else {"train": samples[""]},
        is_split=request.split is not None,
        columns=dataset.column_types(),
        info=dataset.info,
        provenance=_provenance(dataset, request),
    )


def _provenance(dataset: Dataset, request: ExportRequest) -> Provenance:
    return request.provenance.or_else(Provenance.of_dataset(dataset.info))


def _select(dataset: Dataset, request: ExportRequest, fractions: dict[str, float]) -> dict[str, list[Part]]:
    """The parts to write for each part of the split (``""`` without a split)."""
    rows = dataset.manifest if request.where is None else where(dataset.manifest, request.where)
    if rows.empty:
        raise ArgumentError(
            "where",
            f"expected a condition that some samples of {dataset.folder} fulfil, found {request.where!r}",
        )
    # The split is of all photographs, so that a filter moves no photograph to another part.
    split_of = split_by_source(dataset.manifest["source_sha256"], fractions) if fractions else None
    parts = cut(rows, None if split_of is None else split_of[rows.index], request.patches_per_shard)
    splits = {name: [part for part in parts if part.split == name] for name in fractions or ("",)}
    for name, members in splits.items():
        if not members:
            raise ArgumentError("where", f"no sample of the part {name!r} fulfils {request.where!r}")
    return splits


def _files(format: str, folder: Path) -> Iterator[Path]:
    """All files of an export, except pictures in folders."""
    for above, folders, names in os.walk(folder):
        if format == "folder":
            folders[:] = [name for name in folders if name not in ("hr", "lr")]
        yield from (Path(above) / name for name in names)


def _settings(
    dataset: Dataset, request: ExportRequest, format: str, samples: dict[str, int], template: str | None
) -> dict[str, object]:
    return {
        "format": format,
        "for": request.trainer,
        "where": request.where,
        "split": request.split,
        "patches_per_shard": request.patches_per_shard,
        "template_sha256": None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        "root": request.root,
        **_provenance(dataset, request).to_json(),
        "dataset_sha256": sha256_file(dataset.folder / INFO),  # which contains the SHA-256 of the manifest
        "scale": dataset.info["scale"],
        "patch_size": dataset.info["patch_size"],
        "samples": samples if request.split else sum(samples.values()),
    }


def _writer(dataset: Dataset, request: ExportRequest, format: str, parts: list[Part]) -> Writer:
    size, scale = dataset.info["patch_size"], dataset.info["scale"]
    if format == "folder":
        return FolderWriter(size)
    if format == "lmdb":
        return LMDBWriter(size, scale)
    if format == "webdataset":
        return WebDatasetWriter()
    if format == "parquet":
        return ParquetWriter()
    return HDF5Writer.of(dataset, parts, request.patches_per_shard)


def _write(
    writer: Writer, staging: Staging, dataset: Dataset, splits: dict[str, list[Part]], workers: int | None
) -> None:
    """Write the missing parts, then the files that need all parts."""
    parts = _all(splits)
    pending = [part for part in parts if not staging.is_done(part.number)]
    with progress(_samples(parts), "exporting", "pairs") as bar:
        bar.update(_samples(parts) - _samples(pending))
        write_part = partial(_write_part, writer, staging, dataset.folder, dataset.sizes)
        for written in in_processes(write_part, pending, workers):
            bar.update(written)
    for name, members in splits.items():
        writer.finish(staging, name, members)


def _write_part(writer: Writer, staging: Staging, dataset: Path, sizes: Sizes, part: Part) -> int:
    writer.write_part(staging, part, read_patches(dataset, sizes, part))
    staging.mark_done(part.number)
    return len(part.rows)


def _all(splits: dict[str, list[Part]]) -> list[Part]:
    return [part for parts in splits.values() for part in parts]


def _samples(parts: list[Part]) -> int:
    return sum(len(part.rows) for part in parts)
