"""Tensors in safetensors files, which contain no code."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from .files import reading

_LARGEST_HEADER = 100_000_000
"""Bytes; the library has the same limit."""


def read_tensors(path: Path, most: int | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a file by name, and its metadata.

    Args:
        path: the file.
        most: the most bytes of the tensors; a larger file is not read. None for no limit.

    Raises:
        ValueError: the file is damaged, or too large. The message is one line.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if most is not None and size > most + _LARGEST_HEADER:
        raise ValueError(f"{size} bytes where tensors take {most} at most")
    with reading(path) as file:  # the library itself opens only files with names in UTF-8
        content = file.read()
    try:
        tensors = load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that PyTorch does not have
        raise ValueError(f"no whole safetensors ({' '.join(str(error).split())})") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors, header.get("__metadata__", {})
