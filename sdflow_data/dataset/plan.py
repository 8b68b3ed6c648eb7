"""What a dataset will hold, decided before any work: pictures, their patches, and the patches' places.

A first plan depends on the recipe and on the bytes of the pictures alone. The order of files, their names and
the folders above them do not enter: pictures are ordered by the SHA-256 of their bytes. Pictures that come
later are appended in shards of their own, so that nothing that was planned before ever moves.
"""

import bisect
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sdflow.errors import SDFlowError
from sdflow.files import replacing, sha256_file

from ..images.patches import grid, grid_size
from ..images.reading import PictureError, find_pictures, read_header
from ..system.progress import progress
from .recipe import Recipe
from .shards import Failure

PLAN = "plan.parquet"

_READERS = 8  # hashing waits for the disk or the network


class Found(NamedTuple):
    """A picture in an HR folder; ``source`` is its path under that folder, with ``/``."""

    source: str
    path: Path
    sha256: str
    height: int
    width: int


class Planned(NamedTuple):
    """A picture in a plan. Its patches, row by row, fill the slots from ``slot`` on.

    Slot i is place ``i % patches_per_shard`` of shard ``i // patches_per_shard``.
    """

    source: str
    sha256: str
    height: int
    width: int
    patches: int
    slot: int


class Cut(NamedTuple):
    """Patches of one picture that belong to one shard: those from ``first`` up to, not including, ``end``."""

    picture: Planned
    first: int
    end: int

    def positions(self, recipe: Recipe) -> list[tuple[int, int]]:
        """(top, left) of each patch."""
        cells = grid(self.picture.height, self.picture.width, recipe.patch_size, recipe.stride)
        return cells[self.first : self.end]


def scan(folders: Sequence[Path]) -> tuple[list[Found], list[Failure]]:
    """Find the pictures of some folders, by reading their bytes (for the hash) and headers, without decoding.

    Returns:
        The pictures in the order of their names, those with equal bytes too; and the files that are none.

    Raises:
        SDFlowError: a folder is missing or holds no picture.
    """
    files = [(folder / path, path) for folder in folders for path in find_pictures(folder)]

    def examine(file: tuple[Path, Path]) -> Found | Failure:
        path, relative = file
        source = relative.as_posix().encode("utf-8", "backslashreplace").decode()
        try:
            header = read_header(path)
            return Found(source, path, sha256_file(path), header.height, header.width)
        except PictureError as error:
            return Failure(source, None, None, error.reason)
        except OSError as error:
            return Failure(source, None, None, f"cannot be read: {error.strerror}")

    found: list[Found] = []
    failures: list[Failure] = []
    with ThreadPoolExecutor(_READERS) as pool, progress(len(files), "reading headers", "files") as bar:
        for result in pool.map(examine, files):
            if isinstance(result, Found):
                found.append(result)
            else:
                failures.append(result)
            bar.update()
    return sorted(found), failures


@dataclass(frozen=True)
class Plan:
    """The recipe and the pictures of a dataset, and the inputs that were left out of it.

    Attributes:
        recipe: how samples are made.
        pictures: in the order of their slots.
        skipped: inputs without a patch, and why.
    """

    recipe: Recipe
    pictures: tuple[Planned, ...] = ()
    skipped: tuple[Failure, ...] = ()

    @cached_property
    def shards(self) -> int:
        """How many shards there are to be."""
        end = self.pictures[-1].slot + self.pictures[-1].patches if self.pictures else 0
        return -(-end // self.recipe.patches_per_shard)

    @cached_property
    def patches(self) -> int:
        """How many patches there are to be."""
        return sum(picture.patches for picture in self.pictures)

    def extended(self, found: Sequence[Found], failures: Sequence[Failure]) -> "Plan":
        """This plan with the pictures of a scan that it does not know yet, behind all that it holds already.

        What the scan found to be of no use takes the place of what was left out before.
        """
        size, stride = self.recipe.patch_size, self.recipe.stride
        known = {picture.sha256: picture.source for picture in self.pictures}
        by_bytes: dict[str, list[Found]] = {}
        for picture in sorted(found):
            by_bytes.setdefault(picture.sha256, []).append(picture)
        new, skipped = [], list(failures)
        slot = self.shards * self.recipe.patches_per_shard
        for sha256, same in sorted(by_bytes.items()):
            kept = next((picture for picture in same if picture.source == known.get(sha256)), same[0])
            for other in same:
                if other is not kept:
                    reason = f"duplicate: has the same bytes as {kept.source}"
                    skipped.append(Failure(other.source, None, None, reason))
            if sha256 in known:
                continue
            patches = grid_size(kept.height, kept.width, size, stride)
            if patches:
                new.append(Planned(kept.source, sha256, kept.height, kept.width, patches, slot))
                slot += patches
            else:
                reason = f"{kept.width}x{kept.height} pixels are smaller than a patch of {size}"
                skipped.append(Failure(kept.source, None, None, reason))
        return Plan(self.recipe, (*self.pictures, *new), tuple(sorted(skipped)))

    def shard(self, number: int) -> tuple[Cut, ...]:
        """The patches of shard ``number``, in order."""
        first, end = (edge * self.recipe.patches_per_shard for edge in (number, number + 1))
        cuts = []
        from_picture = max(bisect.bisect_right(self._slots, first) - 1, 0)
        for index in range(from_picture, bisect.bisect_left(self._slots, end)):
            picture = self.pictures[index]
            cut = Cut(picture, max(first - picture.slot, 0), min(end - picture.slot, picture.patches))
            if cut.first < cut.end:
                cuts.append(cut)
        return tuple(cuts)

    @cached_property
    def _slots(self) -> list[int]:
        return [picture.slot for picture in self.pictures]

    def save(self, folder: Path) -> None:
        """Write the plan into a dataset's folder."""
        rows = [{**picture._asdict(), "left_out": None} for picture in self.pictures]
        rows += [{"source": failure.source, "left_out": failure.reason} for failure in self.skipped]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        recipe = json.dumps(self.recipe.to_json())
        with replacing(folder / PLAN) as aside:
            pq.write_table(table.replace_schema_metadata({"recipe": recipe}), aside)

    @classmethod
    def load(cls, folder: Path) -> "Plan | None":
        """The plan in a dataset's folder; None if there is none.

        Raises:
            SDFlowError: it is damaged.
        """
        path = folder / PLAN
        if not path.exists():
            return None
        try:
            table = pq.read_table(path)
            recipe = Recipe.from_json(json.loads(table.schema.metadata[b"recipe"]))
            rows = table.select(_SCHEMA.names).to_pylist()
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise SDFlowError(f"{path}: expected the plan of a dataset, found: {error}") from error
        pictures = [
            Planned(*(row[name] for name in Planned._fields)) for row in rows if row["left_out"] is None
        ]
        skipped = [Failure(row["source"], None, None, row["left_out"]) for row in rows if row["left_out"]]
        return cls(recipe, tuple(pictures), tuple(skipped))


def locate(pictures: Sequence[Planned], folders: Sequence[Path]) -> dict[str, Path]:
    """Where planned pictures lie, by their names alone: paths by SHA-256. Those not found are left out.

    Where several folders have a file of that name, the bytes decide.
    """
    paths = {}
    for picture in pictures:
        source = PurePath(picture.source)
        if source.is_absolute() or ".." in source.parts:
            continue  # a plan of others names no file outside of the folders
        there = [folder / picture.source for folder in folders if (folder / picture.source).is_file()]
        if len(there) > 1:
            there = [path for path in there if sha256_file(path) == picture.sha256]
        if there:
            paths[picture.sha256] = there[0]
    return paths


_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("patches", pa.int64()),
        ("slot", pa.int64()),
        ("left_out", pa.string()),
    ]
)
