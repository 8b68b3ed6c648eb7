"""Checks of input and output folders, and names that are ignored in them."""

import os
from collections.abc import Iterable
from pathlib import Path

from sdflow.errors import SDFlowError

_JUNK = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "lost+found", "__macosx"),
        *("@eadir", "#recycle", "#snapshot", "@recycle"),
        *("$recycle.bin", "recycler", "system volume information"),
    )
)
"""Visible files, in lower case, that Windows, macOS, Linux and network storage put into folders."""


def is_junk(name: str) -> bool:
    """Whether a file is ignored: a hidden one, or one of the operating system."""
    return name.startswith(".") or name.lower() in _JUNK


def resolved(path: Path) -> Path:
    """The absolute path without links. Links in a circle stay (`Path.resolve` refuses some)."""
    return Path(os.path.realpath(path))


def check_outside(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is an input or is inside one. It would be an input of the next call.

    Raises:
        SDFlowError: names both.
    """
    for folder in inputs:
        if resolved(output).is_relative_to(resolved(folder)):
            raise SDFlowError(f"{output}: expected an output outside of the input {folder}, found it inside")


def folds_case(folder: Path) -> bool:
    """Whether the file system of a folder, which need not exist, takes names that differ by case for one."""
    for path in (folder, *folder.absolute().parents):
        other = path.with_name(path.name.swapcase()) if path.name else path
        if path.name != other.name and path.exists():
            return other.exists() and other.samefile(path)
    return False


def refuse_links_out(folder: Path) -> None:
    """Refuse links that lead out of the folder of a dataset, which is untrusted.

    Raises:
        SDFlowError: names the first such link.
    """
    inside = resolved(folder)
    shards = folder / "shards"
    folders = [each for each in (folder, shards) if each.is_dir()]
    for path in (path for each in folders for path in each.iterdir()):
        if path.is_symlink() and not resolved(path).is_relative_to(inside):
            raise SDFlowError(f"{path}: expected a file of the dataset, found a link that leads out of it")


def check_apart(hr: Iterable[Path], lr: Iterable[Path]) -> None:
    """Refuse HR and LR folders that are equal or inside one another, and thus share pictures.

    Raises:
        SDFlowError: names both.
    """
    for first in hr:
        for second in lr:
            one, other = resolved(first), resolved(second)
            if one.is_relative_to(other) or other.is_relative_to(one):
                found = "one and the same" if one == other else "one inside the other"
                raise SDFlowError(f"{first}, {second}: expected separate HR and LR folders, found {found}")
