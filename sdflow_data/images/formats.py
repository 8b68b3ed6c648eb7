"""Formats of picture files by name and by content: readable ones, and advice for the others."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from .jpeg import FRAMES, segments

_READ = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
_HEIC = (".heic", ".heif", ".hif")
_CONVERT = "is not read; convert it to PNG or TIFF"
_UNREAD = {
    "HEIC": "HEIC is read where pillow-heif is installed: pip install 'sdflow-data[heic]'",
    "GIF": f"GIF, of 256 colours, {_CONVERT}",
    "JPEG 2000": f"JPEG 2000 {_CONVERT}",
    "JPEG XL": f"JPEG XL {_CONVERT}",
    "raw": "camera raw data is not read; develop it to PNG or TIFF",
    "PSD": f"PSD {_CONVERT}",
    "HDR": f"a picture of high dynamic range {_CONVERT} of 8 or 16 bits",
    "Netpbm": f"Netpbm {_CONVERT}",
    "TGA": f"TGA {_CONVERT}",
    "vector": "a drawing is not read; render it to PNG",
}
_UNREAD_SUFFIXES = {
    "HEIC": _HEIC,
    "GIF": (".gif",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "JPEG XL": (".jxl",),
    "raw": (
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf"),
        *(".pef", ".srw", ".3fr", ".fff", ".iiq", ".rwl", ".x3f", ".kdc", ".dcr", ".mrw", ".raw"),
    ),
    "PSD": (".psd", ".psb"),
    "HDR": (".exr", ".hdr", ".pfm"),
    "Netpbm": (".ppm", ".pgm", ".pbm", ".pnm", ".pam"),
    "TGA": (".tga",),
    "vector": (".svg",),
}
_MAGIC = {
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"\xff\n": "JPEG XL",
    b"\0\0\0\x0cJXL": "JPEG XL",
    b"8BPS": "PSD",
    b"v/1\x01": "HDR",
    b"#?RADIANCE": "HDR",
    b"FUJIFILM": "raw",
}
_JPEG = b"\xff\xd8\xff"
_LOOKED_AT = 1 << 16
"""Bytes at the beginning of a file that are searched for its format."""
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@cache
def reads_heic() -> bool:
    """Whether the library for HEIC is installed. If so, it is registered with Pillow."""
    if find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True


def read_suffixes() -> frozenset[str]:
    """Suffixes of readable pictures, in lower case."""
    suffixes = {suffix for kind in _READ.values() for suffix in kind}
    return frozenset(suffixes.union(_HEIC if reads_heic() else ()))


def unread_suffix(suffix: str) -> str | None:
    """The reason why pictures with this lower-case suffix are not read; None for all other suffixes."""
    if suffix in read_suffixes():
        return None
    return next((_UNREAD[kind] for kind, suffixes in _UNREAD_SUFFIXES.items() if suffix in suffixes), None)


def why_not_read(path: Path) -> str:
    """The reason why no decoder reads a file, by the format that its first bytes show."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return _UNREAD["HEIC"]
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return _UNREAD[kind]
    if start.startswith(_JPEG):
        return _why_no_jpeg(start)
    return f"expected a picture ({', '.join(_READ)}), found {'something else' if start else 'an empty file'}"


def _why_no_jpeg(start: bytes) -> str:
    frame = next((payload for marker, payload in segments(start) if marker in FRAMES and payload), None)
    if frame is None:
        return "expected a picture in the JPEG file, found none (tables alone, or truncated)"
    if frame[0] != 8:
        return f"expected JPEG of 8 bits per sample, found {frame[0]} bits"
    return "expected a picture in the JPEG file, found a damaged header"
