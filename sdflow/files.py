"""Atomic writing of files (to a temporary name, flushed, then renamed), and SHA-256 of files."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST_NAME = 255  # bytes, on most file systems


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``. Its file replaces ``path`` if the block ends without error.

    A path always has the same temporary name (``.NAME.tmp``, or a hash if that would be too long), so that a
    new process overwrites the remains of a killed one. The caller must prevent two writers of one path at a
    time. If the block raises, the temporary file is removed and ``path`` stays unchanged.
    """
    aside = path.with_name(_aside(path.name))
    try:
        yield aside
        flush(aside)
        aside.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # write() reports a full disk without naming the file
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path`` atomically."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def _aside(name: str) -> str:
    if len(os.fsencode(name)) + len("..tmp") <= _LONGEST_NAME:
        return f".{name}.tmp"
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.tmp"


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk.

    For folders this is best effort: some file systems, and Windows, refuse it.
    """
    if not path.is_dir():
        _flush(path, os.O_RDWR)  # Windows flushes only files open for writing
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
    """The SHA-256 of ``prefix`` followed by a file's bytes from ``start`` on, in hexadecimal."""
    digest = hashlib.sha256(prefix)
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
