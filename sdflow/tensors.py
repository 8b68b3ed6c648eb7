"""Tensors in safetensors files, which hold no code."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from .files import reading


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by their names, and the text that goes with them by its keys.

    Raises:
        ValueError: the file is damaged. The message is one line.
        OSError: it cannot be read.
    """
    with reading(path) as file:  # the library itself opens no files but those whose names are UTF-8
        content = file.read()
    try:
        tensors = load(content)
    except (SafetensorError, KeyError) as error:  # of a type that PyTorch has not
        raise ValueError(f"no whole safetensors ({' '.join(str(error).split())})") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors, header.get("__metadata__", {})
