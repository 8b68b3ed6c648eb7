"""Decoding of PNG files. Damaged files are refused."""

import struct
import zlib

import imagecodecs
import numpy as np

from .picture import UndecodableError

_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def decode_png(data: bytes) -> np.ndarray:
    """Decode a PNG file at its full depth, with transparent colours and palettes as channels.

    Returns:
        uint8 or uint16 (H, W, C): grey, grey and alpha, RGB, or RGB and alpha.

    Raises:
        UndecodableError: data are damaged or missing. Damaged metadata do not matter.
    """
    view, place = memoryview(data), len(_SIGNATURE)
    needed: list[bytes | memoryview] = [_SIGNATURE]
    while place + 12 <= len(data):  # the size of an empty chunk
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if kind in _NEEDED:
            checksum = struct.pack(">I", zlib.crc32(view[place + 4 : end - 4]))
            if end > len(data) or view[end - 4 : end] != checksum:
                raise UndecodableError(f"truncated or damaged (checksum of its {kind.decode()} chunk)")
            needed.append(view[place:end])
        elif kind == b"IEND":
            break
        place = end
    try:
        pixels = imagecodecs.png_decode(b"".join([*needed, _END]))
    except imagecodecs.PngError as error:
        raise UndecodableError(f"truncated or damaged ({error})") from error
    return pixels.reshape(*pixels.shape[:2], -1)
