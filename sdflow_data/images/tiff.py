"""Decoding of TIFF files. Every layout is either read correctly or refused.

tifffile decodes compression, predictors, tiles and planes. This module interprets the samples by the tags.
Strips and tiles are decoded one by one, so that memory holds the picture once.
"""

import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from .jpeg import decode_jpeg
from .picture import SWAPS_SIDES, Header, StoredPixels, UndecodableError

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # this module raises errors for damaged files

_JPEG = 7
_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    5: "LZW",
    _JPEG: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_FORMATS = {2: "signed integer", 3: "floating point", 5: "complex integer", 6: "complex"}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_FAX = (2, 3, 4)
_DNG_VERSION, _ORIENTATION, _BITS, _PHOTOMETRIC, _INK_SET, _CMYK_INKS = 50706, 274, 258, 262, 332, 1


def _is_bilevel(page: tifffile.TiffPage) -> bool:
    """Whether a page without BitsPerSample has 1 bit, the default of TIFF. The number of bytes must agree."""
    grey = page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    fits = sum(page.databytecounts) == -(-page.imagewidth // 8) * page.imagelength
    return page.compression in _FAX or (grey and page.compression == 1 and fits)


def read_header(path: Path) -> Header:
    """The size of the first page of a TIFF file, after the orientation. Raises like `read_samples`."""
    with tifffile.TiffFile(path) as file:
        page = _first_page(file)
        sides = page.imagelength, page.imagewidth
        return Header(*(reversed(sides) if _orientation(page) in SWAPS_SIDES else sides))


def read_samples(path: Path) -> StoredPixels:
    """Decode the first page of a TIFF file.

    Supported are unsigned integers of 1 to 16 bits; grey, palette, RGB, CMYK and (in JPEG compression) YCbCr;
    interleaved or in planes; with or without alpha.

    Raises:
        UndecodableError: the samples are of another kind, or data are missing.
        Exception: tifffile and its codecs raise almost anything on damaged files.
    """
    with tifffile.TiffFile(path) as file:
        page = _first_page(file)
        channels, alpha = _check(page)
        stored = _stored(page, channels + (alpha is not None), alpha)
        profile = page.iccprofile if isinstance(page.iccprofile, bytes) else None
        return _interpreted(page, stored, channels, alpha, profile)


def _first_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    page = file.pages.first
    if _DNG_VERSION in page.tags:
        raise UndecodableError("expected a picture, found camera raw data (DNG); develop it to TIFF or PNG")
    if page.is_reduced:
        raise UndecodableError("expected a picture on the first page, found a thumbnail of another page")
    sides = page.imagelength, page.imagewidth
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise UndecodableError(f"expected sides of at least one pixel, found {sides[1]}x{sides[0]}")
    return page


def _orientation(page: tifffile.TiffPage) -> int:
    orientation = page.tags.valueof(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _check(page: tifffile.TiffPage) -> tuple[int, int | None]:
    """The number of colour channels, and the index of the alpha sample or None.

    Raises:
        UndecodableError: the layout is not supported.
    """
    bits, kind, photometric = page.bitspersample, page.sampleformat, page.photometric
    if page.compression not in _COMPRESSIONS:
        known = ", ".join(dict.fromkeys(_COMPRESSIONS.values()))
        raise UndecodableError(f"expected a compression out of {known}, found {_name(page.compression)}")
    if not isinstance(kind, int) or kind in _FORMATS:
        found = _FORMATS.get(kind, "mixed") if isinstance(kind, int) else "mixed"
        raise UndecodableError(
            f"expected 8 or 16 bits per sample, unsigned, found {found} samples, which have no fixed range"
        )
    if not isinstance(bits, int) or not 1 <= bits <= 16:
        raise UndecodableError(f"expected 8 or 16 bits per sample, found {bits}")
    if photometric not in _CHANNELS:
        raise UndecodableError(f"expected grey, palette, RGB or CMYK, found {_name(photometric)}")
    if photometric == _PALETTE and bits > 8:
        raise UndecodableError(f"expected a palette of 8 bits, found {bits}")
    if photometric == _YCBCR and page.compression != _JPEG:
        raise UndecodableError("expected YCbCr with JPEG compression, found another compression")
    if photometric == _CMYK and page.tags.valueof(_INK_SET, _CMYK_INKS) != _CMYK_INKS:
        raise UndecodableError("expected the inks of CMYK, found other inks")
    if page.imagedepth != 1:
        raise UndecodableError(f"expected a picture, found a volume of {page.imagedepth} slices")
    channels = _CHANNELS[photometric]
    extra_count = page.samplesperpixel - channels
    if _PHOTOMETRIC not in page.tags or (_BITS not in page.tags and not _is_bilevel(page)):
        raise UndecodableError("damaged: it has no tag for the kind of its samples")
    if page.planarconfig not in (1, 2):
        raise UndecodableError(f"damaged: it has a PlanarConfiguration of {int(page.planarconfig)}")
    if extra_count < 0:
        raise UndecodableError(f"expected {channels} samples per pixel, found {page.samplesperpixel}")
    extra = tuple(page.extrasamples)
    if extra_count == 1 and not extra:  # old programs do not declare alpha
        extra = (_UNASSOCIATED,)
    if len(extra) != extra_count:
        raise UndecodableError(f"expected {channels} samples per pixel, found {page.samplesperpixel}")
    alphas = [n for n, e in enumerate(extra, channels) if e in (_ASSOCIATED, _UNASSOCIATED)]
    return channels, alphas[0] if alphas else None


def _name(value: object) -> str:
    name = getattr(value, "name", None)
    return f"{name} ({int(value)})" if name else str(value)  # type: ignore[call-overload]


def _stored(page: tifffile.TiffPage, kept: int, alpha: int | None) -> np.ndarray:
    """The stored colours and alpha of a page: (H, W, kept), of the bit depth of the file."""
    if page.dtype is None:
        raise UndecodableError(f"expected 8 or 16 bits per sample, found {page.bitspersample}")
    pixels = np.empty((page.imagelength, page.imagewidth, kept), page.dtype.newbyteorder("="))
    if pixels.dtype not in (np.uint8, np.uint16, np.bool_):
        raise UndecodableError(f"expected 8 or 16 bits per sample, found {pixels.dtype}")
    colours = kept - (alpha is not None)
    channel_of = {**{n: n for n in range(colours)}, **({} if alpha is None else {alpha: colours})}
    expected = int(np.prod(page.chunked))
    if min(len(page.dataoffsets), len(page.databytecounts)) < expected:
        raise UndecodableError(f"truncated: it lists {len(page.dataoffsets)} of {expected} strips or tiles")
    for part, (plane, _, top, left, _) in _parts(page):
        if part is None:
            raise UndecodableError("truncated: some of its strips or tiles are missing")
        part = part[0]
        rows, columns = slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
        window = pixels[rows, columns]
        part = part[: window.shape[0], : window.shape[1]]
        if page.planarconfig == 1:
            for sample, channel in channel_of.items():
                window[..., channel] = part[..., sample]
        elif plane in channel_of:
            window[..., channel_of[plane]] = part[..., 0]
    return pixels


def _parts(page: tifffile.TiffPage) -> Iterator[tuple[np.ndarray | None, tuple[int, ...]]]:
    """Strips or tiles (1, rows, columns, samples), each with its position (plane, 0, top, left, 0)."""
    if page.compression != _JPEG:
        for part, position, _ in page.segments(maxworkers=1, _fullsize=False):
            yield part, position
        return
    # tifffile's own JPEG decoder fills missing data of damaged strips.
    if page.bitspersample != 8:
        raise UndecodableError(f"expected JPEG of 8 bits, found {page.bitspersample}")
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if samples not in (1, 3, 4):
        raise UndecodableError(f"expected 1, 3 or 4 samples in JPEG compression, found {samples}")
    tables = page.jpegtables
    file, count = page.parent.filehandle, int(np.prod(page.chunked))
    for data, index in file.read_segments(page.dataoffsets, page.databytecounts, length=count, flat=True):
        _, position, (_, rows, columns, _) = page.decode(None, index, _fullsize=False)
        if not isinstance(data, bytes):
            yield None, position
            continue
        part = decode_jpeg(_whole_jpeg(data, tables, page.photometric == _YCBCR), samples)
        if part.shape[0] < rows or part.shape[1] < columns:
            raise UndecodableError("damaged: a strip or tile is smaller than it should be")
        yield part[None, :rows, :columns], position


def _whole_jpeg(data: bytes, tables: bytes | None, is_ycbcr: bool) -> bytes:
    """A strip as a complete JPEG file. Adobe's marker declares its colour model."""
    adobe = b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, is_ycbcr)
    body = data.removeprefix(b"\xff\xd8")
    return b"\xff\xd8" + adobe + (tables or b"\xff\xd8\xff\xd9")[2:-2] + body


def _interpreted(
    page: tifffile.TiffPage, stored: np.ndarray, channels: int, alpha: int | None, profile: bytes | None
) -> StoredPixels:
    photometric, orientation = page.photometric, _orientation(page)
    if photometric == _PALETTE:
        return StoredPixels(_looked_up(page, stored[..., 0]), "rgb", False, profile, orientation)
    pixels = _full_range(stored, page.bitspersample)
    if photometric == _WHITE_IS_ZERO:
        pixels[..., 0] = np.iinfo(pixels.dtype).max - pixels[..., 0]
    if alpha is not None and page.extrasamples and page.extrasamples[alpha - channels] == _ASSOCIATED:
        _divide_by_alpha(pixels)
    colours = "cmyk" if photometric == _CMYK else "grey" if channels == 1 else "rgb"
    return StoredPixels(pixels, colours, alpha is not None, profile, orientation)  # type: ignore[arg-type]


def _looked_up(page: tifffile.TiffPage, indices: np.ndarray) -> np.ndarray:
    colormap = np.asarray(page.colormap)
    if colormap.shape != (3, 2**page.bitspersample):
        raise UndecodableError("damaged: the size of its palette does not fit its bits per sample")
    if colormap.max() < 256:  # some programs write 8 bits in place of 16
        colormap = colormap * 257
    return colormap.T.astype(np.uint16)[indices.astype(np.uint8)]


def _full_range(stored: np.ndarray, bits: int) -> np.ndarray:
    """Rescale samples of 1 to 8 bits to the whole range of 8 bits, and of 9 to 16 bits to 16 bits."""
    if bits in (8, 16):
        return stored
    top = 255 if bits < 8 else 65535
    table = np.round(np.arange(2**bits) * (top / (2**bits - 1)))
    return table.astype(np.uint8 if bits < 8 else np.uint16)[stored.astype(np.uint16)]


def _divide_by_alpha(pixels: np.ndarray) -> None:
    """Undo premultiplied alpha in place, row by row."""
    top = np.iinfo(pixels.dtype).max
    for row in pixels:
        opacity = np.maximum(row[:, -1:], 1).astype(np.uint64)
        row[:, :-1] = np.minimum((row[:, :-1].astype(np.uint64) * top + opacity // 2) // opacity, top)
