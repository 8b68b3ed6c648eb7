"""Names of files for people, and for other systems.

A path is bytes to the file system, and Python keeps those that are no UTF-8 in strings that nothing can
encode. What goes into tables and to terminals is the name as it is displayed: such bytes as ``\\udcXX``.
"""

import os
import re
import unicodedata
from pathlib import Path, PurePath

ON_WINDOWS = os.name == "nt"

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")


def displayed(path: PurePath | str) -> str:
    """A path with ``/``, as text that can be encoded."""
    text = path if isinstance(path, str) else path.as_posix()
    return text.encode("utf-8", "backslashreplace").decode()


def as_displayed(folder: Path, name: str) -> list[Path]:
    """The files in a folder that a displayed name may stand for: of that name, or with its escapes undone."""
    undone = _ESCAPED.sub(lambda match: chr(0xDC00 + int(match[1], 16)), name)
    return [path for path in (folder / each for each in dict.fromkeys((name, undone))) if _is_file(path)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for one
        return False


def printable(text: str) -> str:
    """Text without characters that a terminal would obey, or that cannot be encoded: as their escapes."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") else c for c in text
    )


def folded(path: PurePath) -> str:
    """What paths have in common that differ by case, or by how their accents are stored."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def is_reserved(name: str) -> bool:
    """Whether Windows has no file or folder of this name: a device's, or one that ends in a dot or a space.

    >>> [is_reserved(name) for name in ("NUL.png", "com1", "a.", "nullify", "a.b")]
    [True, True, True, False, False]
    """
    return name.endswith((".", " ")) or _RESERVED.fullmatch(name) is not None
