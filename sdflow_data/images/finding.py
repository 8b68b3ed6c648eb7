"""Search for pictures in folders, by file names."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdflow.errors import SDFlowError

from ..system.folders import is_junk, resolved
from ..system.names import folded
from .formats import read_suffixes, unread_suffix
from .picture import PictureError

_OWN = ({"export.json"}, {"run.json", "metrics.csv"})
"""File names that identify exports and training runs of this program."""


@dataclass
class Found:
    """The pictures of a folder.

    Attributes:
        pictures: paths relative to the folder, sorted by their parts.
        skipped: pictures of formats that are not read, and unreadable folders.
    """

    pictures: list[Path] = field(default_factory=list)
    skipped: list[PictureError] = field(default_factory=list)


def search(folder: Path) -> Found:
    """Find all pictures under a folder, by file names only.

    Folders are searched to any depth, through symbolic links too. Hidden files and files of the operating
    system (`is_junk`) are ignored, and so are samples of training runs and exports of datasets.

    Raises:
        SDFlowError: the folder is missing, is not a folder, or holds no readable picture.
        OSError: the folder itself is unreadable.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise SDFlowError(f"{folder}: expected a folder of pictures, found {found}")
    os.scandir(folder).close()
    result = Found()
    for item in _walk(folder, frozenset(), is_root=True):
        if isinstance(item, PictureError):
            result.skipped.append(item)
        else:
            result.pictures.append(item.relative_to(folder))
    result.pictures.sort()
    result.skipped.sort(key=lambda error: error.path)
    if not result.pictures:
        kinds = ", ".join(sorted(suffix[1:] for suffix in read_suffixes()))
        others = f"; {result.skipped[0]}" if result.skipped else ""
        raise SDFlowError(f"{folder}: expected pictures ({kinds}), found none in it or below{others}")
    return result


def find_pictures(folder: Path) -> list[Path]:
    """The pictures that `search` finds, without the skipped files."""
    return search(folder).pictures


def first_picture(folder: Path) -> Path | PictureError | None:
    """The first picture that is found in a folder, at any depth.

    Without pictures, the first file that is skipped; None if there is none either.
    """
    skipped = None
    for item in _walk(folder, frozenset(), is_root=True):
        if isinstance(item, Path):
            return item
        skipped = skipped or item
    return skipped


def _walk(folder: Path, above: frozenset[Path], is_root: bool = False) -> Iterator[Path | PictureError]:
    try:
        real = resolved(folder)
        if real in above:  # a link back up
            return
        entries = list(folder.iterdir())
    except OSError as error:
        yield PictureError(folder, f"cannot be looked into: {os.strerror(error.errno or 0)}")
        return
    names = {entry.name for entry in entries}
    if not is_root and any(names >= markers for markers in _OWN):
        yield PictureError(folder, "a run or an export of this program, whose pictures are no inputs")
        return
    for entry in entries:
        if not is_junk(entry.name):
            yield from _entry(entry, above | {real})


def pair_by_name(hr_folder: Path, lr_folder: Path) -> list[tuple[Path, Path]]:
    """Pair the pictures of two folders by path. Paths may differ in the suffix.

    Returns:
        Pairs (HR, LR), sorted.

    Raises:
        SDFlowError: see `search`; or a picture has no partner.
    """
    hr, lr = find_pictures(hr_folder), find_pictures(lr_folder)
    pairs = {(path, path) for path in set(hr) & set(lr)}
    left = [[path for path in paths if (path, path) not in pairs] for paths in (hr, lr)]
    by_stem: list[dict[Path, Path]] = [{path.with_suffix(""): path for path in paths} for paths in left]
    pairs.update((by_stem[0][stem], by_stem[1][stem]) for stem in by_stem[0].keys() & by_stem[1].keys())
    paired = ({pair[0] for pair in pairs}, {pair[1] for pair in pairs})
    for side, others in ((0, 1), (1, 0)):
        missing = sorted(set(left[side]) - paired[side])
        if missing:
            name = missing[0].with_suffix("")
            raise SDFlowError(
                f"{(hr_folder, lr_folder)[others]}: expected aligned pairs by name, found none of the name "
                f"{name} ({len(missing)} missing){_look_alike(missing[0], left[others])}"
            )
    return [(hr_folder / first, lr_folder / second) for first, second in sorted(pairs)]


def _look_alike(path: Path, others: Sequence[Path]) -> str:
    """A hint that another file has almost the same name, or an empty text."""
    for other in others:
        if folded(path.with_suffix("")) == folded(other.with_suffix("")):
            return f"; {str(other)!a} differs in upper and lower case, or in how accents are stored"
    return ""


def _entry(entry: Path, above: frozenset[Path]) -> Iterator[Path | PictureError]:
    suffix = entry.suffix.lower()
    reason = unread_suffix(suffix)
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        leads_nowhere = error.errno in (errno.ENOENT, errno.ELOOP)  # a link; others may be folders
        if reason or suffix in read_suffixes() or not leads_nowhere:
            yield PictureError(entry, f"cannot be read: {os.strerror(error.errno or 0)}")
        return
    if stat.S_ISDIR(mode):
        yield from _walk(entry, above)
    elif reason:
        yield PictureError(entry, reason)
    elif suffix in read_suffixes():
        if stat.S_ISREG(mode):
            yield entry
        else:  # reading a named pipe would wait
            yield PictureError(entry, "expected a file, found something else")
