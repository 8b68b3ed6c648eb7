"""Surveys of photographs before a training: files, codecs, noise, blur, enlargement.

The headers of all files are read, but the pixels of a bounded number only. The names alone decide which, so
that two folders with the same names are measured on the same photographs.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdflow.errors import SDFlowError
from sdflow.files import reading, sha256_file

from ..images.codec import read_jpeg
from ..images.finding import search
from ..images.picture import PictureError
from ..images.reading import opened, orientation_of
from ..models.cameras import CameraGroup, group_photographs
from ..statistics.photograph import Photograph, measure_photograph, photograph_frame
from ..system.parallel import in_order
from ..system.progress import progress

MOST_MEASURED = 250
"""The most photographs of a set whose pixels are measured."""

_Place = tuple[Path, str]
"""The path of a file, and its name in the result."""

_HEADERS_PER_TASK = 256
_WORTH_A_PROCESS = 16
_BEGINNING = 2**16
"""Bytes of a file that are compared before all of it; uncompressed pictures have equal lengths."""


@dataclass
class _Headers:
    """The contents of the headers of some files; see `Survey`."""

    formats: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    rotated: int = 0
    unusual: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """The properties of a set of photographs.

    Attributes:
        folders: the folders of the set.
        files: the number of files, readable or not.
        bytes: the size of all files of formats that are read.
        sizes: (n, 2), height and width in pixels of each readable file.
        formats: the number of files of each format.
        codecs: the number of files of each JPEG compression.
        rotated: the number of files that an EXIF tag rotates.
        unusual: readable JPEG files whose compression cannot be reproduced, each with the reason.
        unreadable: files that cannot be decoded, each with the reason.
        duplicates: files that repeat an earlier file byte for byte, each with that file.
        measured: the photographs whose pixels were measured.
    """

    folders: tuple[Path, ...]
    files: int
    bytes: int
    sizes: np.ndarray
    formats: dict[str, int]
    codecs: dict[str, int]
    rotated: int
    unusual: dict[str, str]
    unreadable: dict[str, str]
    duplicates: dict[str, str]
    measured: list[Photograph]

    @property
    def frame(self) -> pd.DataFrame:
        """The measured photographs as a table; see `photograph_frame`."""
        return photograph_frame(self.measured)

    @property
    def cameras(self) -> list[CameraGroup]:
        """The measured photographs in groups of similar blur, noise and compression: at most so many
        cameras.
        """
        return group_photographs(self.frame)[0]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values. NaN becomes None (null in JSON)."""
        values = self.frame.drop(columns=["name", "grey"]).astype(float)
        quantiles = values.quantile([0.05, 0.25, 0.5, 0.75, 0.95]) if self.measured else values.iloc[:0]
        spread = {
            name: {str(q): _or_none(value) for q, value in quantiles[name].items()} for name in quantiles
        }
        return {
            "folders": [str(folder) for folder in self.folders],
            "files": self.files,
            "bytes": self.bytes,
            "formats": self.formats,
            "jpeg": self.codecs,
            "rotated": self.rotated,
            "unusual": self.unusual,
            "unreadable": self.unreadable,
            "duplicates": self.duplicates,
            "measured": len(self.measured),
            "quantiles": spread,
            "cameras": [
                {
                    "share": group.look.share,
                    "blur": _or_none(group.look.blur),
                    "noise": _or_none(group.look.noise),
                    "quality": group.look.quality,
                    "photographs": [self.measured[row].name for row in group.members],
                }
                for group in self.cameras
            ],
            "photographs": [
                {
                    "name": photo.name,
                    "codec": None if photo.codec is None else str(photo.codec),
                    "grey": photo.grey,
                    **{
                        name: _or_none(getattr(photo, name))
                        for name in ("noise", "grain", "blur", "enlargement", "flat", "contrast")
                    },
                }
                for photo in self.measured
            ],
        }


def survey(folders: Sequence[Path], most: int = MOST_MEASURED, workers: int | None = None) -> Survey:
    """Survey the photographs in folders. Their names are paths under the folder; of several, with it.

    Args:
        folders: the folders. They are searched to any depth.
        most: the most photographs whose pixels are measured.
        workers: processes; None for one per core.

    Raises:
        SDFlowError: a folder has no pictures, or no file can be read.
    """

    def named(folder: Path, path: Path) -> str:
        return str(path if len(folders) == 1 else folder / path)

    searched = [(folder, search(folder)) for folder in folders]
    found = [(folder / path, named(folder, path)) for folder, holds in searched for path in holds.pictures]
    chunks = [found[i : i + _HEADERS_PER_TASK] for i in range(0, len(found), _HEADERS_PER_TASK)]
    few = 1 if len(chunks) < 4 else workers  # starting processes would take longer
    parts = in_order(_read_headers, chunks, [len(c) for c in chunks], few, "Reading headers", "files")
    unreadable = {
        named(folder, error.path.relative_to(folder)): error.reason
        for folder, holds in searched
        for error in holds.skipped
    }
    unreadable |= {name: reason for part in parts for name, reason in part.unreadable.items()}
    usable = [place for place in found if place[1] not in unreadable]
    if not usable:
        name, reason = next(iter(unreadable.items()))
        where = ", ".join(map(str, folders))
        raise SDFlowError(f"{where}: expected photographs, found none that can be read ({name}: {reason})")
    chosen = sorted(usable, key=lambda place: hashlib.sha256(os.fsencode(place[0].stem)).digest())[:most]
    few = 1 if len(chosen) < _WORTH_A_PROCESS else workers
    seen = in_order(_measure, chosen, [1] * len(chosen), few, "Measuring photographs", "photographs")
    unreadable |= {name: reason for measured, name, reason in seen if measured is None}
    return Survey(
        folders=tuple(folders),
        files=len(found) + sum(len(holds.skipped) for _, holds in searched),
        bytes=sum(path.stat().st_size for path, _ in found),
        sizes=np.array([size for part in parts for size in part.sizes], np.int32).reshape(-1, 2),
        formats=dict(sum((part.formats for part in parts), Counter()).most_common()),
        codecs=dict(sum((part.codecs for part in parts), Counter()).most_common()),
        rotated=sum(part.rotated for part in parts),
        unusual={
            name: reason for part in parts for name, reason in part.unusual.items() if name not in unreadable
        },
        unreadable=unreadable,
        duplicates=_duplicates(usable),
        measured=[measured for measured, _, _ in seen if measured is not None],
    )


def _read_headers(places: Sequence[_Place]) -> _Headers:
    headers = _Headers()
    for path, name in places:
        try:
            with opened(path) as image:
                orientation = orientation_of(image)
                headers.formats[image.format or "?"] += 1
                size = image.height, image.width
                headers.sizes.append(size if orientation <= 4 else size[::-1])
                headers.rotated += orientation != 1
        except PictureError as error:
            headers.unreadable[name] = error.reason
            continue
        try:
            if jpeg := read_jpeg(path):
                headers.codecs[str(jpeg)] += 1
        except PictureError as error:
            headers.unusual[name] = error.reason
    return headers


def _duplicates(places: Sequence[_Place]) -> dict[str, str]:
    """Files with the same bytes as an earlier one. Files of equal length and beginning are read whole."""
    alike = _divided(places, lambda path: path.stat().st_size)
    for key, description in ((_beginning, "Comparing beginnings"), (sha256_file, "Comparing files")):
        with progress(sum(map(len, alike)), description, "files", shown=bool(alike)) as bar:
            alike = [part for group in alike for part in _divided(group, key, bar.update)]
    return {name: group[0][1] for group in alike for _, name in group[1:]}


def _divided(
    places: Sequence[_Place], key: Callable[[Path], Any], done: Callable[[], None] = lambda: None
) -> list[list[_Place]]:
    """The files by the key of their paths, without those that no other file equals."""
    groups: dict[Any, list[_Place]] = defaultdict(list)
    for place in places:
        groups[key(place[0])].append(place)
        done()
    return [group for group in groups.values() if len(group) > 1]


def _beginning(path: Path) -> bytes:
    with reading(path) as file:
        return hashlib.sha256(file.read(_BEGINNING)).digest()


def _measure(place: _Place) -> tuple[Photograph | None, str, str]:
    path, name = place
    try:
        return measure_photograph(path, name), name, ""
    except PictureError as error:
        return None, name, error.reason


def same_pictures(first: Sequence[Photograph], second: Sequence[Photograph]) -> Iterator[tuple[str, str]]:
    """Pairs of names of photographs that show the same picture in any size, by fingerprint and colour."""
    known = defaultdict(list)
    for photo in second:
        for bit in range(-1, 64):  # at most one bit of 64 differs
            known[photo.fingerprint ^ (1 << bit if bit >= 0 else 0)].append(photo)
    for photo in first:
        for other in known.get(photo.fingerprint, ()):
            if np.abs(np.subtract(photo.colour, other.colour)).max() < 8 and photo.contrast > 4:
                yield photo.name, other.name
                break


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
