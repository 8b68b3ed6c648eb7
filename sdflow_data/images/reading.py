"""Pictures on disk and pictures as arrays: find them, look at their size, decode, encode.

Pictures are written as PNG in bands of rows, so that one can be written that memory would not hold.

Everything behind this module works on one kind of picture: uint8 (H, W, 3), RGB, upright. What can be
converted to that is converted here; what cannot be is a `PictureError`, so that a caller can skip one file
and go on with the rest.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from sdflow.errors import SDFlowError
from sdflow.files import replacing

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
"""What counts as a picture by its name, in lower case."""

MAX_PIXELS = 2**30
"""Larger pictures are refused before they are decoded. OpenCV's own limit is the same."""

# Pillow's default warns from 89 megapixels on; photographs of 200 megapixels are ordinary input here.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)


class PictureError(SDFlowError):
    """One file that gives no picture. ``path`` is the file, ``reason`` says why, without its name."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Header:
    """Size of a picture in pixels, as it stands upright."""

    height: int
    width: int


def find_pictures(folder: Path) -> list[Path]:
    """The pictures under a folder, by their names alone.

    Folders are searched to any depth, through symbolic links too; hidden files and folders are left out.

    Returns:
        Paths relative to ``folder``, sorted by their parts.

    Raises:
        SDFlowError: the folder is missing, is no folder, or holds no picture.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise SDFlowError(f"{folder}: expected a folder of pictures, found {found}")
    pictures = sorted(path.relative_to(folder) for path in _walk(folder, frozenset()))
    if not pictures:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise SDFlowError(f"{folder}: expected pictures ({kinds}), found none in it or below")
    return pictures


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link back up
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, above | {real})
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


def read_header(path: Path) -> Header:
    """The size of a picture, from the file's header alone.

    Raises:
        PictureError: the file is not a picture. One that is damaged further in passes here.
    """
    with opened(path) as image:
        width, height = image.size
        if orientation_of(image) in _SWAPS_SIDES:
            width, height = height, width
        return Header(height, width)


def read_picture(path: Path) -> np.ndarray:
    """Decode a picture.

    16-bit samples are rounded to 8 bits, transparency is laid on white, grey, palette and CMYK become RGB,
    and EXIF orientation is applied; colour profiles are not. Of several pages or frames the first counts.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        PictureError: the file is not a picture, is truncated or damaged, or has pixels without a fixed
            range (32-bit integers, floats).
    """
    with opened(path) as image:
        orientation = orientation_of(image)
        raw_mode = _raw_mode(image)
        image.load()
        picture: Image.Image = image
        if ";16" in raw_mode and image.mode in ("RGB", "RGBA", "LA"):
            picture = Image.fromarray(_decode_16_bit(path))
        elif raw_mode.startswith("I;16"):
            picture = Image.fromarray(_to_8_bit(np.asarray(image, np.uint16)))
        elif image.mode.startswith(("I", "F")):
            raise PictureError(path, f"expected 8 or 16 bits per sample, found the pixel format {raw_mode}")
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        if picture.mode != "RGB":
            picture = picture.convert("RGB")
        if orientation in _TURNS:
            picture = picture.transpose(_TURNS[orientation])
        return np.array(picture)


class PngWriter:
    """An 8-bit RGB PNG file without metadata, written from the top in bands of rows.

    Every row is filtered by the average of its left and upper neighbours, and runs alone are looked for: on
    photographs that is as small as the best of all filters with a whole search, and several times as fast.

    Args:
        file: where to write.
        height, width: of the picture, from 1 up.
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
    """Write a PNG file; it is at ``path``, whole, once the block has ended well (`atomic.replacing`)."""
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


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """A picture's file, of which no more than the header is read yet.

    Raises:
        PictureError: the file is not a picture; or whatever goes wrong with it inside the block.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(path, f"{image.width}x{image.height} pixels are more than {MAX_PIXELS}")
            yield image
    except (PictureError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PictureError(
            path, f"expected a picture ({', '.join(_FORMATS)}), found something else"
        ) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise PictureError(path, f"cannot be read: {reason}") from error
    except Exception as error:  # on damaged files Pillow raises almost anything
        raise PictureError(path, f"cannot be decoded: {error}") from error


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation that is left to apply, 1 to 8. To be asked before the pixels are loaded."""
    if image.format == "TIFF":  # both decoders turn it themselves, and Pillow's size is the upright one
        return 1
    try:
        # The base class's: PNG's own would decode the whole picture to look for an EXIF chunk behind it.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF raises almost anything, and the pixels are none the worse for it
        return 1
    return orientation if orientation in range(1, 9) else 1


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """The pixel format in the file, as Pillow's decoders call it, such as ``RGB;16B``."""
    arguments = image.tile[0][3] if image.tile else None
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw_mode if isinstance(raw_mode, str) else image.mode


def _decode_16_bit(path: Path) -> np.ndarray:
    """16-bit colour, which Pillow would cut to its upper 8 bits: uint8 (H, W, 3 or 4)."""
    data = np.fromfile(path, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint16 or picture.ndim != 3:
        raise PictureError(path, "cannot be decoded: an uncommon kind of 16-bit picture")
    order = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(_to_8_bit(picture), order)


def _to_8_bit(samples: np.ndarray) -> np.ndarray:
    """16-bit samples to the nearest 8-bit ones, v / 257: uint16 to uint8, any shape."""
    return cv2.convertScaleAbs(samples, alpha=1 / 257)  # rounds, and needs no wider copy of the picture
