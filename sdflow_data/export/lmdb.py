"""Export as two LMDB databases in the layout of BasicSR."""

import errno
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import lmdb
import pandas as pd

from sdflow.errors import SDFlowError
from sdflow.files import WriteError, write_file

from ..dataset.manifest import Patch
from .parts import Part
from .staging import Staging
from .webdataset import write_tar

_FIRST_MAP_SIZE = 64 << 20
_SAMPLES_PER_TRANSACTION = 256
_SLACK = 1 << 20  # bytes of LMDB's own pages in a transaction, at most

_PNG_LEVEL = 1  # a field of meta_info.txt that no reader uses


@dataclass(frozen=True)
class LMDBWriter:
    """Writes ``hr.lmdb/`` and ``lr.lmdb/``, each with ``data.mdb``, ``lock.mdb`` and ``meta_info.txt``.

    In both, the key of a sample is its id, and its value a PNG file. ``metadata.parquet`` beside them has the
    rows of the manifest.

    Attributes:
        patch_size: side of HR patches in pixels.
        scale: ratio of HR to LR size.
    """

    patch_size: int
    scale: int

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Store the encoded pictures of a part in a temporary file.

        `finish` writes the databases, because they have a single writer and their bytes depend on the order.
        """
        write_tar(_aside(staging, part), patches)

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write both databases and ``metadata.parquet`` from the stored pictures of all parts."""
        folder = staging.folder(split)
        folder.mkdir(exist_ok=True)
        rows = pd.concat([part.rows for part in parts], ignore_index=True)
        for kind, size in (("hr", self.patch_size), ("lr", self.patch_size // self.scale)):
            pictures = (item for part in parts for item in _pictures(_aside(staging, part), kind))
            _write_database(folder / f"{kind}.lmdb", pictures)
            lines = rows["sample_id"] + f".png ({size},{size},3) {_PNG_LEVEL}\n"
            write_file(folder / f"{kind}.lmdb" / "meta_info.txt", "".join(lines).encode("ascii"))
        write_file(folder / "metadata.parquet", rows.to_parquet(index=False))


def _aside(staging: Staging, part: Part) -> Path:
    return staging.scratch() / f"{part.number:06d}.tar"


def _pictures(path: Path, kind: str) -> Iterator[tuple[bytes, bytes]]:
    """Keys and PNG files of the ``hr`` or ``lr`` pictures in a tar file."""
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, ending = member.name.partition(".")
            if ending == f"{kind}.png":
                content = tar.extractfile(member)
                assert content is not None
                yield key.encode("ascii"), content.read()


def _write_database(path: Path, items: Iterator[tuple[bytes, bytes]]) -> None:
    shutil.rmtree(path, ignore_errors=True)  # from an interrupted run
    # Without locks, because the lock file would contain process ids. No other process uses this folder yet.
    size = 0
    try:
        with lmdb.open(os.fsencode(path), map_size=_FIRST_MAP_SIZE, lock=False, sync=False) as environment:
            while batch := list(islice(items, _SAMPLES_PER_TRANSACTION)):
                size = sum(len(value) for _, value in batch)
                while not _put(environment, batch):
                    environment.set_mapsize(2 * environment.info()["map_size"])
            environment.sync(True)
    except lmdb.Error as error:
        if shutil.disk_usage(path.parent).free < 2 * size + _SLACK:  # LMDB reports a full disk as EIO
            raise WriteError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise SDFlowError(f"{path}: cannot be written: {error}") from error
    write_file(path / "lock.mdb", b"")


def _put(environment: lmdb.Environment, batch: list[tuple[bytes, bytes]]) -> bool:
    """Store a batch in one transaction. Returns False, with nothing stored, if the map is too small."""
    try:
        with environment.begin(write=True) as transaction:
            for key, value in batch:
                transaction.put(key, value)
    except lmdb.MapFullError:
        return False
    return True
