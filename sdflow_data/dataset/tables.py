"""Parquet tables of a dataset. Tables that are read are untrusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import reading, replacing


@contextmanager
def reading_table(path: Path, expected: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for reading.

    Args:
        path: the file.
        expected: the expected kind of file for messages, such as "the manifest".

    Raises:
        SDFlowError: the file is not Parquet, or has too many rows for its size; or the block raises an
            `ArgumentError` or an exception of pyarrow or pandas for damaged files.
    """
    try:
        with reading(path) as file, pq.ParquetFile(file) as table:
            rows, size = table.metadata.num_rows, path.stat().st_size
            if rows > size:  # rows differ, so each takes at least a byte
                raise ValueError(f"{rows} rows in {size} bytes")
            yield table
    except (ArgumentError, *_DAMAGE) as error:
        raise SDFlowError(f"{path}: expected {expected}, found: {_reason(error)}") from error


_DAMAGE = (OSError, ValueError, TypeError, KeyError, OverflowError, pa.ArrowException)
"""The exceptions of pyarrow and pandas for damaged or foreign files."""


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def writing_table(path: Path, schema: pa.Schema, compression: str = "snappy") -> Iterator[pq.ParquetWriter]:
    """Write a Parquet file atomically."""
    with (
        replacing(path) as aside,
        aside.open("wb") as file,  # pyarrow itself opens only names in UTF-8
        pq.ParquetWriter(file, schema, compression=compression) as table,
    ):
        yield table
