"""Export as tar files for streaming (WebDataset)."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sdflow.files import replacing, write_file

from ..dataset.manifest import Patch
from .parts import Part, encode
from .staging import Staging


@dataclass(frozen=True)
class WebDatasetWriter:
    """Writes ``pairs-000000.tar`` and so on.

    A sample is ``KEY.hr.png``, ``KEY.lr.png`` and ``KEY.json``. The JSON is the row of the manifest.
    ``metadata.parquet`` beside the tar files has all rows.
    """

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Write a part as one tar file."""
        folder = staging.folder(part.split)
        folder.mkdir(exist_ok=True)
        write_tar(folder / f"pairs-{part.index:06d}.tar", patches)

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write ``metadata.parquet``."""
        rows = pd.concat([part.rows for part in parts], ignore_index=True)
        write_file(staging.folder(split) / "metadata.parquet", rows.to_parquet(index=False))


def write_tar(path: Path, patches: Iterator[Patch]) -> None:
    """Write samples to a tar file without times and owners, so that equal samples give equal bytes."""
    with replacing(path) as aside, tarfile.open(aside, "w", format=tarfile.USTAR_FORMAT) as tar:
        for pair in encode(patches):
            _add(tar, f"{pair.name}.hr.png", pair.hr)
            _add(tar, f"{pair.name}.lr.png", pair.lr)
            _add(tar, f"{pair.name}.json", to_json(pair.record))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # its mtime is 0
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def to_json(record: dict[str, object]) -> bytes:
    """A row of the manifest as JSON. NaN becomes null."""
    finite = {name: None if value != value else value for name, value in record.items()}
    return json.dumps(finite, ensure_ascii=False).encode()
