"""Parquet tables of a dataset. Tables that are read are untrusted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import reading, replacing
from sdflow.wording import counted


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
                raise ValueError(f"{counted(rows, 'row')} in {counted(size, 'byte')}")
            yield table
    except (ArgumentError, *_DAMAGE) as error:
        raise SDFlowError(f"{path}: expected {expected}, found: {_reason(error)}") from error


def check_text(path: Path, table: pq.ParquetFile, names: Sequence[str] | None = None) -> None:
    """Refuse columns whose text is far larger than their file, before it is in memory. A value that is
    repeated takes a file no space.

    Args:
        path: of the table.
        table: the open file.
        names: the columns to read; None for all.

    Raises:
        ValueError: tells the sizes.
    """
    text = [f.name for f in table.schema_arrow if _is_text(f.type) and (names is None or f.name in names)]
    most, total = _TEXT_PER_BYTE * path.stat().st_size, 0
    if not text:
        return
    with reading(path) as file, pq.ParquetFile(file, read_dictionary=text) as repeated:
        for batch in repeated.iter_batches(columns=text):
            for column in batch.columns:
                lengths = pc.binary_length(column.dictionary)
                total += pc.sum(lengths.take(column.indices)).as_py() or 0
                if total > most:
                    raise ValueError(f"over {most} bytes of text in a file of {path.stat().st_size} bytes")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)


_TEXT_PER_BYTE = 256
"""A row takes 60 bytes at the least, and the longest path of a file 4,096."""

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
