"""Pairs as PNG files in two flat folders, the format that every trainer reads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sdflow.files import flush, write_file, writing

from ..dataset.manifest import Patch
from .parts import Pair, Part, encode
from .staging import Staging


@dataclass(frozen=True)
class FolderWriter:
    """``hr/`` and ``lr/`` with the same names in both and nothing else in them. Beside them:

    - ``meta_info.txt``: name and size of each HR file, so that a reader need not list the folders;
    - ``meta_info_realesrgan.txt``: the two paths of each pair;
    - ``metadata.parquet``: the samples' rows of the manifest, and the paths of their two files.
    """

    patch_size: int

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """The PNG files of a part."""
        hr_folder, lr_folder = (staging.folder(part.split) / name for name in ("hr", "lr"))
        hr_folder.mkdir(parents=True, exist_ok=True)
        lr_folder.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        previous: Pair | None = None
        for pair in encode(patches):
            hr, lr = hr_folder / f"{pair.name}.png", lr_folder / f"{pair.name}.png"
            hr.unlink(missing_ok=True)  # from an interrupted run; it may be a link to another one
            if previous is None or previous.hr is not pair.hr or not _link(written[-2], hr):
                _write(hr, pair.hr)
            _write(lr, pair.lr)
            written += [hr, lr]
            previous = pair
        for path in written:  # after all were written: one by one the disk would wait for each
            with writing(path):
                flush(path)

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write the three files about the samples."""
        folder = staging.folder(split)
        rows = pd.concat([part.rows for part in parts], ignore_index=True)
        files = rows["sample_id"] + ".png"
        size = f"({self.patch_size},{self.patch_size},3)"
        write_file(folder / "meta_info.txt", _lines(files + " " + size))
        # RealESRGAN's reader splits lines at comma and space and joins the halves to the two dataroots.
        write_file(folder / "meta_info_realesrgan.txt", _lines("hr/" + files + ", lr/" + files))
        metadata = rows.assign(hr_file_name="hr/" + files, lr_file_name="lr/" + files)
        write_file(folder / "metadata.parquet", metadata.to_parquet(index=False))


def _write(path: Path, content: bytes) -> None:
    with writing(path):
        path.write_bytes(content)


def _link(source: Path, path: Path) -> bool:
    """Make ``path`` a hard link to ``source``; False if the file system has no hard links."""
    try:
        os.link(source, path)
    except OSError:
        return False
    return True


def _lines(texts: pd.Series) -> bytes:
    return ("\n".join(texts) + "\n").encode("ascii")
