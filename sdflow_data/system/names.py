"""File names for display and for other systems.

File systems store paths as bytes. Python keeps bytes that are not UTF-8 as surrogates, which no encoder
accepts. Tables and terminals get the displayed name, with such bytes as escapes (``\\udcXX``).
"""

import os
import re
import unicodedata
from pathlib import Path, PurePath

ON_WINDOWS = os.name == "nt"

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")


def displayed(path: PurePath | str) -> str:
    """The displayed name of a path: with ``/``, and encodable."""
    text = path if isinstance(path, str) else path.as_posix()
    return text.encode("utf-8", "backslashreplace").decode()


def as_displayed(folder: Path, name: str) -> list[Path]:
    """The files in a folder with this displayed name: with the name itself, or with its escapes decoded."""
    decoded = _ESCAPED.sub(lambda match: chr(0xDC00 + int(match[1], 16)), name)
    return [path for path in (folder / each for each in dict.fromkeys((name, decoded))) if _is_file(path)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def printable(text: str) -> str:
    """Text with control characters and unencodable characters as escapes, safe for a terminal."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") else c for c in text
    )


def folded(path: PurePath) -> str:
    """What paths have in common that differ by case, or by how their accents are stored."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def is_reserved(name: str) -> bool:
    """Whether Windows refuses this name: that of a device, or one that ends in a dot or a space.

    >>> [is_reserved(name) for name in ("NUL.png", "com1", "a.", "nullify", "a.b")]
    [True, True, True, False, False]
    """
    return name.endswith((".", " ")) or _RESERVED.fullmatch(name) is not None
