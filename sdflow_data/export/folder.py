"""Export as PNG files in two flat folders, which every trainer reads."""

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
    """Writes ``hr/`` and ``lr/``, with equal file names and no other files. Beside them it writes:

    - ``meta_info.txt``: name and size of each HR file, so that readers need not list the folders;
    - ``meta_info_realesrgan.txt``: the two paths of each pair;
    - ``metadata.parquet``: the rows of the manifest, with the paths of the two files.

    Attributes:
        patch_size: side of HR patches in pixels.
    """

    patch_size: int

    def write_part(self, staging: Staging, part: Part, patches: Iterator[Patch]) -> None:
        """Write the PNG files of a part. Pairs of one HR patch share its file by hard links."""
        hr_folder, lr_folder = (staging.folder(part.split) / name for name in ("hr", "lr"))
        hr_folder.mkdir(parents=True, exist_ok=True)
        lr_folder.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        previous: Pair | None = None
        for pair in encode(patches):
            hr, lr = hr_folder / f"{pair.name}.png", lr_folder / f"{pair.name}.png"
            hr.unlink(missing_ok=True)  # from an interrupted run; it may be a hard link
            if previous is None or previous.hr is not pair.hr or not _link(written[-2], hr):
                _write(hr, pair.hr)
            _write(lr, pair.lr)
            written += [hr, lr]
            previous = pair
        for path in written:  # after all files are written, which is faster than one by one
            with writing(path):
                flush(path)

    def finish(self, staging: Staging, split: str, parts: list[Part]) -> None:
        """Write the three files with metadata."""
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
