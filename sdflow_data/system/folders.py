"""Folders of inputs and outputs: whether they are apart, and what in them is nobody's work."""

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
"""In lower case, what Windows, macOS, Linux and network storage put into folders and do not hide."""


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is hidden or the system's own: there, but nobody's work."""
    return name.startswith(".") or name.lower() in _JUNK


def check_outside(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs or lies inside one: it would be an input the next time.

    Raises:
        SDFlowError: names the two.
    """
    for folder in inputs:
        if output.resolve().is_relative_to(folder.resolve()):
            raise SDFlowError(f"{output}: expected an output outside of the input {folder}, found it inside")


def check_apart(hr: Iterable[Path], lr: Iterable[Path]) -> None:
    """Refuse HR and LR folders that share pictures: one that is, or lies inside, one of the others.

    Raises:
        SDFlowError: names the two.
    """
    for first in hr:
        for second in lr:
            one, other = first.resolve(), second.resolve()
            if one.is_relative_to(other) or other.is_relative_to(one):
                found = "one and the same" if one == other else "one inside the other"
                raise SDFlowError(f"{first}, {second}: expected HR and LR folders apart, found {found}")
