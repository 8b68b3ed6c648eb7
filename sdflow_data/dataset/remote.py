"""Datasets at URLs. Files are copied to a local cache before they are first read."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import fsspec

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file

from .manifest import INFO, MANIFEST, Dataset, read_dataset


@dataclass(frozen=True)
class Source:
    """The local folder of a dataset, and the source of missing files.

    Attributes:
        folder: the local folder.
        url: the URL of the folder to copy from; None if all files are local.
    """

    folder: Path
    url: str | None = None

    def local(self, path: Path) -> Path:
        """The path of a file in the folder. A missing file is copied first."""
        if self.url is not None and not path.exists():
            _copy(f"{self.url}/{path.relative_to(self.folder).as_posix()}", path)
        return path


def open_source(folder: str | Path, cache: str | Path | None) -> tuple[Source, Dataset]:
    """Open a dataset in a folder, or at a URL that fsspec reads, such as ``s3://bucket/pairs``.

    Each dataset has its own folder in ``cache``, named after the URL and the contents of dataset.json. A
    dataset that changed under the same URL is therefore copied again.

    Args:
        folder: a path or a URL.
        cache: the folder for copies; None for ``sdflow`` in the user's cache folder.

    Raises:
        SDFlowError: there is no complete dataset, or the URL is unreadable.
    """
    url = str(folder)
    if "://" not in url:
        return Source(Path(folder)), read_dataset(Path(folder))
    url = url.rstrip("/")
    root = _user_cache() if cache is None else Path(cache)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as aside:
        info = Path(aside) / INFO
        _copy(f"{url}/{INFO}", info)
        content = info.read_bytes()
    source = Source(root / hashlib.sha256(url.encode() + b"\n" + content).hexdigest(), url)
    source.folder.mkdir(exist_ok=True)
    for name in (INFO, MANIFEST):
        source.local(source.folder / name)
    dataset = read_dataset(source.folder)
    found = sha256_file(source.folder / MANIFEST)
    if found != dataset.info["files"].get(MANIFEST):
        (source.folder / MANIFEST).unlink()
        raise SDFlowError(f"{url}/{MANIFEST}: expected the one that {INFO} describes, found another")
    return source, dataset


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdflow"


def _copy(url: str, path: Path) -> None:
    """Copy a file atomically; several processes may do so at the same time.

    Raises:
        SDFlowError: the file cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    aside = Path(name)
    try:
        filesystem, remote = fsspec.url_to_fs(url)
        filesystem.get_file(remote, str(aside))
        aside.replace(path)
    except FileNotFoundError as error:
        raise SDFlowError(f"{url}: expected a file of a dataset, found none") from error
    except (OSError, ValueError, ImportError) as error:  # the network, or the protocol of the URL
        raise SDFlowError(f"{url}: cannot be read: {error}") from error
    finally:
        aside.unlink(missing_ok=True)
