"""Decoding of JPEG files. Damaged files are refused.

Most decoders silently fill missing rows of a damaged file with grey. Here every warning of libjpeg counts as
damage. JPEG has no checksums, so overwritten bytes that decode to the same number of blocks are not detected.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np
import simplejpeg

from .picture import UndecodableError

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_IN_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a picture's size and number of bits."""
_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])
_MAX_SCANS = 200
_JFIF = b"\xff\xd8\xff\xe0\0\x10JFIF\0"
_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}


def decode_jpeg(data: bytes, channels: int) -> np.ndarray:
    """Decode a JPEG file: grey, RGB or CMYK by its number of channels.

    A file without an end marker, or padded with zeros, is whole if it has all rows.

    Args:
        data: the file; bytes after its end marker are ignored.
        channels: channels of the picture, 1, 3 or 4.

    Returns:
        uint8 (H, W, channels). CMYK is as in the file; Adobe's programs store it inverted.

    Raises:
        UndecodableError: data are damaged or missing.
    """
    _check_scans(data)
    if data.startswith(_JFIF):  # of any revision: libjpeg warns of unknown ones
        data = _JFIF + b"\1" + data[len(_JFIF) + 1 :]
    unpadded = data.removesuffix(_END).rstrip(b"\0") + _END
    try:
        return _decode(data + _END, channels)
    except UndecodableError:
        if len(unpadded) >= len(data):
            raise
        return _decode(unpadded, channels)


def _decode(data: bytes, channels: int) -> np.ndarray:
    try:
        pixels = simplejpeg.decode_jpeg(data, _COLOURS[channels], fastdct=False, fastupsample=False)
    except ValueError as error:
        raise UndecodableError(f"truncated or damaged ({error})") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def _check_scans(data: bytes) -> None:
    """Refuse a file with missing scans. A progressive file would decode to a blurred picture."""
    precision: dict[int, np.ndarray] = {}  # of each component: bits that each coefficient still lacks
    progressive, scans = False, 0
    for marker, payload in segments(data):
        if marker in FRAMES and len(payload) >= 6:
            progressive = marker in _PROGRESSIVE
            precision = {component: np.full(64, 99) for component in payload[6::3][: payload[5]]}
        elif marker == 0xDA and payload:
            scans += 1
            if scans > _MAX_SCANS:
                raise UndecodableError(f"expected at most {_MAX_SCANS} scans, found more")
            count = payload[0]
            if len(payload) < 2 * count + 4:
                break
            first, last, bits = payload[2 * count + 1 : 2 * count + 4]
            for component in payload[1 : 2 * count + 1 : 2]:
                if component in precision:
                    part = slice(first, last + 1) if progressive else slice(None)
                    precision[component][part] = bits & 15 if progressive else 0
    if any(missing.any() for missing in precision.values()):
        raise UndecodableError("truncated (some of its scans are missing)")


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers of a JPEG file with their payloads, up to the end marker or the end of the data."""
    place, in_scan = 2, False
    while found := (_IN_SCAN if in_scan else _MARKER).search(data, place):
        marker, place = found[1][0], found.end()
        if marker == _END[1]:
            return
        if marker in _ALONE:
            continue
        if place + 2 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, place)
        yield marker, data[place + 2 : place + length]
        place += max(length, 2)
        in_scan = marker == 0xDA
