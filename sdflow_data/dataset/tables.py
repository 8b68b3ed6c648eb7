"""Parquet tables of a dataset, read from whoever wrote them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import reading, replacing


@contextmanager
def reading_table(path: Path, expected: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file, open for reading.

    Args:
        path: of the file.
        expected: what it ought to be, for the message: "the manifest".

    Raises:
        SDFlowError: it is something else, has too many rows for its size, or something in it is not what the
            block expects.
    """
    try:
        with reading(path) as file, pq.ParquetFile(file) as table:
            rows, size = table.metadata.num_rows, path.stat().st_size
            if rows > size:  # no two rows are alike, so that each takes a byte at the least
                raise ValueError(f"{rows} rows in {size} bytes")
            yield table
    except (ArgumentError, *_DAMAGE) as error:
        raise SDFlowError(f"{path}: expected {expected}, found: {_reason(error)}") from error


_DAMAGE = (OSError, ValueError, TypeError, KeyError, OverflowError, pa.ArrowException)
"""What pyarrow and pandas raise of files that are damaged or made by others."""


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def writing_table(path: Path, schema: pa.Schema, compression: str = "snappy") -> Iterator[pq.ParquetWriter]:
    """Write a Parquet file, whole or not at all."""
    with (
        replacing(path) as aside,
        aside.open("wb") as file,  # by name, pyarrow opens files alone whose names are UTF-8
        pq.ParquetWriter(file, schema, compression=compression) as table,
    ):
        yield table
