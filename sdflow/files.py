"""Files that are whole or not there: written aside, flushed to the disk, renamed; and SHA-256 of files."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST_NAME = 255  # bytes, on most file systems


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; what stands there becomes ``path`` when the block ends well.

    The name (``.NAME.tmp``, or a hash where that would be too long) is always the same for a path, so that
    what a killed process left behind is overwritten by the next one; two writers of one path at a time are
    the caller's to prevent. When the block raises, the file aside is removed and ``path`` stays as it was.
    """
    aside = path.with_name(_aside(path.name))
    try:
        yield aside
        flush(aside)
        aside.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk shows in write(), which does not say where
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def _aside(name: str) -> str:
    if len(os.fsencode(name)) + len("..tmp") <= _LONGEST_NAME:
        return f".{name}.tmp"
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.tmp"


def flush(path: Path) -> None:
    """Wait until the disk has all of a file, or of a folder's list of names.

    For folders that is best effort: some file systems, and Windows, refuse it.
    """
    if not path.is_dir():
        _flush(path, os.O_RDWR)  # Windows flushes only what is open for writing
        return
    with suppress(OSError):
        _flush(path, os.O_RDONLY)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path, start: int = 0, *, prefix: bytes = b"") -> str:
    """The SHA-256 of ``prefix`` and a file's bytes from ``start`` on, in hexadecimal."""
    digest = hashlib.sha256(prefix)
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
