"""Atomic writing of files (temporary name, fsync, rename), reading of untrusted files, and SHA-256."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .errors import SDFlowError

_LONGEST_NAME = 255  # bytes, on most file systems
_LARGEST_JSON = 1 << 26  # bytes
NOT_SUPPORTED = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""Errors of file systems without locks or fsync, such as some of clusters and network storage."""


class WriteError(OSError):
    """The system refused to write a file. ``filename`` is the file."""


@contextmanager
def writing(path: Path, aside: Path | None = None) -> Iterator[None]:
    """Convert errors of the system in the block to a `WriteError` of ``path``.

    Args:
        path: the file that the block writes.
        aside: its temporary name; None for none. Errors of other files are not converted.
    """
    try:
        yield
    except OSError as error:
        named = error.filename  # write() to a full disk does not name the file
        if isinstance(named, (str, bytes, Path)) and Path(os.fsdecode(named)) not in (path, aside):
            raise
        raise WriteError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``. Its file replaces ``path`` if the block ends without error.

    A path always has the same temporary name (``.NAME.tmp``, or a hash if that would be too long), so that a
    new process overwrites the remains of a killed one. The caller must prevent two writers of one path at a
    time. If the block raises, the temporary file is removed and ``path`` stays unchanged.

    Raises:
        WriteError: the system refuses to write.
    """
    aside = path.with_name(_aside(path.name))
    try:
        with writing(path, aside):
            yield aside
            flush(aside)
            aside.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is more informative
            aside.unlink()
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
    """Wait until a file, or the names in a folder, are on disk (fsync), if the file system supports it.

    Errors for folders are ignored, because Windows and some file systems refuse it.
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
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. Errors of the system in the block name it.

    Raises:
        OSError: the file cannot be opened or read, or is something else: a folder, or a pipe, whose opening
            would wait.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:  # Path.open has no opener
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "expected a file, found something else")
            yield file
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no named pipes among its files


def sha256_file(path: Path, start: int = 0, *, prefix: bytes = b"") -> str:
    """The SHA-256 of ``prefix`` followed by a file's bytes from ``start`` on, in hexadecimal."""
    digest = hashlib.sha256(prefix)
    with reading(path) as file:
        file.seek(start)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def parse_json(content: bytes | str) -> dict[str, Any]:
    """Parse an untrusted JSON object.

    Raises:
        ValueError: the text is not JSON, is too large or nested too deeply, or is not an object. The message
            is one short line.
    """
    if len(content) > _LARGEST_JSON:
        raise ValueError(f"{len(content)} bytes, more than {_LARGEST_JSON}")
    try:
        values = json.loads(content)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("bytes that are no UTF-8") from error
    if not isinstance(values, dict):
        raise ValueError(f"JSON that is no object but a {type(values).__name__}")
    return values


def to_json(values: Mapping[str, Any]) -> bytes:
    """Indented JSON. Text that is not UTF-8 becomes escapes."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """Read a JSON object from an untrusted file; see `parse_json`.

    Args:
        path: the file.
        expected: the expected content for messages, such as "the description of a dataset".

    Raises:
        SDFlowError: the content is something else.
        OSError: the file cannot be read.
    """
    with reading(path) as file:
        content = file.read(_LARGEST_JSON + 1)
    try:
        return parse_json(content)
    except ValueError as error:
        raise SDFlowError(f"{path}: expected {expected}, found {error}") from error
