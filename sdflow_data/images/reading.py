"""Reading of picture files: their size, and decoding.

All other code uses one kind of picture: uint8 (H, W, 3), sRGB, upright. This module converts to it. It raises
a `PictureError` for files that it cannot convert, so that a caller can skip a file and continue.
"""

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from ..system.memory import memory_limit
from . import tiff
from .colours import to_srgb
from .formats import reads_heic, why_not_read
from .jpeg import decode_jpeg
from .picture import SWAPS_SIDES, Header, PictureError, StoredPixels, UndecodableError
from .png import decode_png

MAX_PIXELS = 2**30
"""The largest picture that is ever read. OpenCV has the same limit."""

MAX_PIXELS_VARIABLE = "SDFLOW_MAX_PIXELS"

MAX_SIDE = 2**20
"""The longest side that is read. Decoders need memory for every row, however short."""

_FILE_BYTES_PER_PIXEL, _METADATA = 8, 1 << 28
"""The most bytes of a file: 16 bits of colour and alpha for every pixel, and what else is in it. Decoders
hold the whole file in memory, except TIFF's."""

_BYTES_PER_PIXEL = 32
"""Memory for decoding a pixel in the worst case: 16-bit colour with alpha and a profile."""

# This module limits the pixels itself. The limit of metadata is raised, because Photoshop writes megabytes.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 26

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "AVIF")


def max_pixels() -> int:
    """The most pixels of a picture, up to 2^30.

    The environment variable SDFLOW_MAX_PIXELS sets the limit, also for worker processes. The default is the
    number that surely fits the memory of this machine.
    """
    given = os.environ.get(MAX_PIXELS_VARIABLE)
    return min(int(given) if given else memory_limit() // _BYTES_PER_PIXEL, MAX_PIXELS)


def read_header(path: Path) -> Header:
    """The size of a picture, from the file's header alone.

    Raises:
        PictureError: the file is not a picture, or has over `max_pixels`. Damage behind the header is
            not detected.
    """
    with _as_picture_error(path):
        return _header(path)


def read_picture(path: Path) -> np.ndarray:
    """Decode a picture.

    Colours with an ICC profile are converted to sRGB, 16-bit samples are rounded to 8 bits, transparency is
    composited on white, grey, palette and CMYK become RGB, and the orientation is applied. A file of
    several pages or frames gives the first one.

    Returns:
        uint8 (H, W, 3), sRGB.

    Raises:
        PictureError: the file is not a picture, has over `max_pixels`, is truncated or damaged, or has pixels
            without a fixed range (32-bit integers, floats).
    """
    with _as_picture_error(path):
        header = _header(path)
        try:
            picture = to_srgb(tiff.read_samples(path) if _is_tiff(path) else _read_samples(path))
        except MemoryError as error:
            needed = header.width * header.height * _BYTES_PER_PIXEL / 2**30
            size = f"{header.width}x{header.height} pixels"
            reason = f"{size} do not fit in memory; up to {needed:.1f} GiB is needed"
            raise UndecodableError(reason) from error
        if picture.shape[:2] != (header.height, header.width):
            found = f"{picture.shape[1]}x{picture.shape[0]}"
            raise UndecodableError(f"its header says {header.width}x{header.height} pixels, its data {found}")
        return picture


@contextmanager
def _as_picture_error(path: Path) -> Iterator[None]:
    """Turn every exception of a decoder into a `PictureError` of the file, except a lack of memory."""
    try:
        yield
    except MemoryError:
        raise
    except UndecodableError as error:
        raise PictureError(path, str(error)) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise PictureError(path, f"cannot be read: {reason}") from error
    except Exception as error:  # on damaged files decoders raise almost anything
        raise PictureError(path, f"cannot be decoded: {error}") from error


def _header(path: Path) -> Header:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait
        raise UndecodableError("expected a picture, found something that is not a file")
    if _is_tiff(path):
        header = tiff.read_header(path)
    else:
        _check_bytes(path, max_pixels())  # WebP and AVIF are read whole to be opened
        with _opened(path) as image:
            sides = image.height, image.width
            header = Header(*(reversed(sides) if orientation_of(image) in SWAPS_SIDES else sides))
    found, limit = f"{header.width}x{header.height} pixels", max_pixels()
    if header.width * header.height > limit:
        raise UndecodableError(f"{found} are more than the {limit} that are read at most here (max_pixels)")
    if max(header.width, header.height) > MAX_SIDE:
        raise UndecodableError(f"{found} are more than {MAX_SIDE} on a side")
    if not _is_tiff(path):
        _check_bytes(path, header.width * header.height)
    return header


def _check_bytes(path: Path, pixels: int) -> None:
    """Refuse a file of more bytes than so many pixels can have."""
    most, size = pixels * _FILE_BYTES_PER_PIXEL + _METADATA, path.stat().st_size
    if size > most:
        raise UndecodableError(f"expected a file of at most {most} bytes for its size, found {size}")


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """A picture opened by Pillow; only its header is read.

    Raises:
        PictureError: the file is not a picture, or any error inside the block.
    """
    with _as_picture_error(path), _opened(path, (*_FORMATS, "TIFF")) as image:
        yield image


@contextmanager
def _opened(path: Path, formats: Sequence[str] = _FORMATS) -> Iterator[ImageFile.ImageFile]:
    try:
        with Image.open(path, formats=[*formats, *(["HEIF"] if reads_heic() else [])]) as image:
            yield image
    except UnidentifiedImageError as error:
        reason = why_not_read(path)
        raise UndecodableError(reason) from error


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation to apply, 1 to 8. Call it before the pixels are loaded."""
    try:
        # The base class's method: PNG's own decodes the whole picture to find an EXIF chunk after it.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF raises almost anything; the pixels may be fine
        return 1
    return orientation if orientation in range(1, 9) else 1


def _read_samples(path: Path) -> StoredPixels:
    with _opened(path) as image:
        orientation, profile = orientation_of(image), image.info.get("icc_profile")
        colours: Literal["grey", "rgb", "cmyk"]
        if image.format in ("JPEG", "MPO"):
            pixels = decode_jpeg(path.read_bytes(), len(image.getbands()))
            if image.mode == "CMYK":  # JPEG files store CMYK inverted, as Adobe's programs do
                pixels = 255 - pixels
            colours = "cmyk" if image.mode == "CMYK" else "grey" if image.mode == "L" else "rgb"
            return StoredPixels(pixels, colours, False, profile, orientation)
        if image.format == "PNG":  # Pillow cuts 16 bits to 8 and takes some transparent colours for others
            pixels = decode_png(path.read_bytes())
            channels = pixels.shape[2]
            colours = "grey" if channels < 3 else "rgb"
            return StoredPixels(pixels, colours, channels in (2, 4), profile, orientation)
        return _from_pillow(image, profile, orientation)


def _from_pillow(image: Image.Image, profile: bytes | None, orientation: int) -> StoredPixels:
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        image = image.convert("RGB")  # a fourth byte of padding
    if image.has_transparency_data:
        return StoredPixels(np.asarray(image.convert("RGBA")), "rgb", True, profile, orientation)
    if image.mode in ("1", "L"):
        return StoredPixels(np.asarray(image.convert("L"))[..., None], "grey", False, profile, orientation)
    if image.mode in ("P", "RGB", "RGBX"):
        return StoredPixels(np.asarray(image.convert("RGB")), "rgb", False, profile, orientation)
    raise UndecodableError(f"expected 8 or 16 bits per sample, found the pixel format {image.mode}")
