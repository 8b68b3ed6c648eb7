"""Writing of PNG files in bands of rows, for pictures larger than memory."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sdflow.files import replacing


class PngWriter:
    """An 8-bit RGB PNG file without metadata, written from the top in bands of rows.

    Every row uses the average filter, and compression searches for runs alone. On photographs this is as
    small as the best of all filters with a full search, and several times as fast.

    Args:
        file: the output.
        height, width: size of the picture, at least 1.
    """

    _AVERAGE = 3
    _STRIP = 1 << 20  # bytes that are filtered at once

    def __init__(self, file: BinaryIO, height: int, width: int) -> None:
        self._file = file
        self._missing, self._width = height, width
        self._above: np.ndarray = np.zeros((1, 3 * width), np.uint8)
        self._deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))

    def write(self, band: np.ndarray) -> None:
        """Add the next rows, uint8 (rows, width, 3)."""
        if band.dtype != np.uint8 or band.shape != (len(band), self._width, 3) or len(band) > self._missing:
            expected = f"uint8 (up to {self._missing}, {self._width}, 3)"
            raise ValueError(f"band: expected {expected}, got {band.dtype} {band.shape}")
        self._missing -= len(band)
        strip = max(self._STRIP // (3 * self._width), 1)
        for top in range(0, len(band), strip):
            rows = band[top : top + strip].reshape(-1, 3 * self._width)
            self._chunk(b"IDAT", self._deflate.compress(self._filtered(rows)))

    def _filtered(self, rows: np.ndarray) -> bytes:
        above = np.concatenate([self._above, rows[:-1]])
        left = np.pad(rows[:, :-3], ((0, 0), (3, 0)))
        self._above = rows[-1:].copy()
        average = (above & left) + ((above ^ left) >> 1)  # without a ninth bit
        return np.pad(rows - average, ((0, 0), (1, 0)), constant_values=self._AVERAGE).tobytes()

    def finish(self) -> None:
        """End the file. All rows must be written."""
        if self._missing:
            raise ValueError(f"expected {self._missing} more rows before the end of the picture")
        self._chunk(b"IDAT", self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


@contextmanager
def writing_png(path: Path, height: int, width: int) -> Iterator[PngWriter]:
    """Write a PNG file atomically: it is at ``path`` when the block has ended without error."""
    with replacing(path) as aside, aside.open("wb") as file:
        writer = PngWriter(file, height, width)
        yield writer
        writer.finish()


def encode_png(picture: np.ndarray) -> bytes:
    """A picture, uint8 (H, W, 3) RGB, as the bytes of a PNG file."""
    file = io.BytesIO()
    writer = PngWriter(file, *picture.shape[:2])
    writer.write(picture)
    writer.finish()
    return file.getvalue()
