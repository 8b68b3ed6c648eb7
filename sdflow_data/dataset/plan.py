"""The plan of a dataset, made before any work: pictures, their patches, and the shard and row of each patch.

A first plan is a function of the recipe and the bytes of the pictures. The order, names and folders of files
have no effect, because pictures are ordered by the SHA-256 of their bytes. Later pictures are appended in
separate shards, so that planned patches never move.
"""

import bisect
import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path, PurePath

import pyarrow as pa

from sdflow.files import parse_json, sha256_file

from ..images.finding import search
from ..images.picture import PictureError
from ..images.reading import MAX_SIDE, read_header
from ..system.folders import refuse_links_out
from ..system.names import as_displayed, displayed
from ..system.progress import progress
from .identity import PatchId
from .recipe import PatchGrid, Recipe
from .shards import MAX_SHARDS, Failure
from .tables import check_text, reading_table, writing_table

PLAN = "plan.parquet"

_READERS = 8  # hashing mostly waits for the disk or the network


@dataclass(frozen=True, order=True)
class Picture:
    """A picture file.

    Attributes:
        source: the path relative to the searched folder, with ``/``.
        sha256: the SHA-256 of the file, hex.
        height, width: the size in pixels, after the EXIF orientation.
    """

    source: str
    sha256: str
    height: int
    width: int


@dataclass(frozen=True, order=True)
class FoundPicture(Picture):
    """A picture with its path."""

    path: Path


@dataclass(frozen=True, order=True)
class PlannedPicture(Picture):
    """A picture in a plan.

    Slot i is row ``i % patches_per_shard`` of shard ``i // patches_per_shard``.

    Attributes:
        patches: the number of its patches.
        slot: the slot of its first patch. The others follow row by row.
    """

    patches: int
    slot: int


@dataclass(frozen=True)
class Cut:
    """The patches of one picture in one shard: those with indices from ``first`` up to ``end - 1``."""

    picture: PlannedPicture
    first: int
    end: int

    def __len__(self) -> int:
        """Number of patches."""
        return self.end - self.first

    def patches(self, grid: PatchGrid) -> list[PatchId]:
        """The patches, in order."""
        places = grid.places(self.picture.height, self.picture.width, self.first, self.end)
        return [PatchId(self.picture.sha256, top, left) for top, left in places]


def scan(folders: Sequence[Path]) -> tuple[list[FoundPicture], list[Failure]]:
    """Find the pictures in folders. Files are hashed and their headers are read; nothing is decoded.

    Returns:
        The pictures in the order of their names, duplicates included; and the unusable files.

    Raises:
        SDFlowError: a folder is missing or contains no picture.
    """
    searched = [(folder, search(folder)) for folder in folders]
    files = [(folder / path, path) for folder, found_in in searched for path in found_in.pictures]

    def examine(file: tuple[Path, Path]) -> FoundPicture | Failure:
        path, relative = file
        source = displayed(relative)
        try:
            header = read_header(path)
            return FoundPicture(source, sha256_file(path), header.height, header.width, path)
        except PictureError as error:
            return Failure(source, None, None, error.reason)
        except OSError as error:
            return Failure(source, None, None, f"cannot be read: {error.strerror}")

    found: list[FoundPicture] = []
    failures = [
        Failure(displayed(error.path.relative_to(folder)), None, None, error.reason)
        for folder, found_in in searched
        for error in found_in.skipped
    ]
    with ThreadPoolExecutor(_READERS) as pool, progress(len(files), "reading headers", "files") as bar:
        for result in pool.map(examine, files):
            if isinstance(result, FoundPicture):
                found.append(result)
            else:
                failures.append(result)
            bar.update()
    return sorted(found), failures


@dataclass(frozen=True)
class Plan:
    """The plan of a dataset.

    Attributes:
        recipe: the settings of the dataset.
        pictures: the pictures, in the order of their slots.
        skipped: the inputs without a patch, with the reasons.
    """

    recipe: Recipe
    pictures: tuple[PlannedPicture, ...] = ()
    skipped: tuple[Failure, ...] = ()

    @cached_property
    def shards(self) -> int:
        """The number of planned shards."""
        end = self.pictures[-1].slot + self.pictures[-1].patches if self.pictures else 0
        return -(-end // self.recipe.grid.patches_per_shard)

    @cached_property
    def patches(self) -> int:
        """The number of planned patches."""
        return sum(picture.patches for picture in self.pictures)

    def extended(self, found: Sequence[Picture], failures: Sequence[Failure]) -> "Plan":
        """This plan, with the new pictures of a scan appended.

        The unusable files of the scan replace the skipped inputs.
        """
        known = {picture.sha256: picture.source for picture in self.pictures}
        by_bytes: dict[str, list[Picture]] = {}
        for picture in sorted(found):
            by_bytes.setdefault(picture.sha256, []).append(picture)
        new, skipped = [], list(failures)
        slot = self.shards * self.recipe.grid.patches_per_shard
        for sha256, same in sorted(by_bytes.items()):
            kept = next((picture for picture in same if picture.source == known.get(sha256)), same[0])
            for other in same:
                if other is not kept:
                    reason = f"duplicate: has the same bytes as {kept.source}"
                    skipped.append(Failure(other.source, None, None, reason))
            if sha256 in known:
                continue
            patches = self.recipe.grid.count(kept.height, kept.width)
            if patches:
                new.append(PlannedPicture(kept.source, sha256, kept.height, kept.width, patches, slot))
                slot += patches
            else:
                size = f"{kept.width}x{kept.height} pixels"
                reason = f"{size} are smaller than a patch of {self.recipe.grid.patch_size}"
                skipped.append(Failure(kept.source, None, None, reason))
        return Plan(self.recipe, (*self.pictures, *new), tuple(sorted(skipped)))

    def shard(self, number: int) -> tuple[Cut, ...]:
        """The patches of shard ``number``, in order."""
        first, end = (edge * self.recipe.grid.patches_per_shard for edge in (number, number + 1))
        cuts: list[Cut] = []
        from_picture = max(bisect.bisect_right(self._slots, first) - 1, 0)
        for index in range(from_picture, bisect.bisect_left(self._slots, end)):
            picture = self.pictures[index]
            begin, stop = max(first - picture.slot, 0), min(end - picture.slot, picture.patches)
            if begin < stop:  # slots may have gaps, and a picture may end before the shard begins
                cuts.append(Cut(picture, begin, stop))
        return tuple(cuts)

    @cached_property
    def _slots(self) -> list[int]:
        return [picture.slot for picture in self.pictures]

    def save(self, folder: Path) -> None:
        """Write the plan into the folder of a dataset."""
        rows = [{**asdict(picture), "left_out": None} for picture in self.pictures]
        rows += [{"source": failure.source, "left_out": failure.reason} for failure in self.skipped]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        schema = _SCHEMA.with_metadata({"recipe": json.dumps(self.recipe.to_json())})
        with writing_table(folder / PLAN, schema) as file:
            file.write_table(table.cast(schema))

    @classmethod
    def load(cls, folder: Path) -> "Plan | None":
        """The plan in the folder of a dataset; None if there is none.

        Raises:
            SDFlowError: the plan is damaged or inconsistent, or a link in the folder leads out of it.
        """
        path = folder / PLAN
        if not path.exists():
            return None
        refuse_links_out(folder)
        with reading_table(path, "the plan of a dataset") as file:
            metadata = file.schema_arrow.metadata or {}
            recipe = Recipe.from_json(parse_json(metadata[b"recipe"]))
            check_text(path, file)
            rows = file.read(_SCHEMA.names).select(_SCHEMA.names).cast(_SCHEMA).to_pylist()
            pictures = [
                PlannedPicture(*(row[field.name] for field in fields(PlannedPicture)))
                for row in rows
                if row["left_out"] is None
            ]
            skipped = [Failure(row["source"], None, None, row["left_out"]) for row in rows if row["left_out"]]
            _check(pictures, recipe.grid)
            if any(failure.source is None for failure in skipped):
                raise ValueError("an input without a name")
            return cls(recipe, tuple(pictures), tuple(skipped))


def _check(pictures: Sequence[PlannedPicture], grid: PatchGrid) -> None:
    """Refuse pictures and slots that are impossible in a plan.

    Raises:
        ValueError: names the first such picture.
    """
    end = 0
    for picture in pictures:
        if picture.source is None or not re.fullmatch("[0-9a-f]{64}", picture.sha256 or ""):
            raise ValueError(f"{picture.source!r:.80}, sha256 {picture.sha256!r:.80}")
        sides = picture.height, picture.width
        if not all(side is not None and 0 < side <= MAX_SIDE for side in sides):
            raise ValueError(f"{picture.source!r:.80} of {picture.width}x{picture.height} pixels")
        if not picture.patches or picture.patches != grid.count(*sides):
            raise ValueError(f"{picture.patches} patches of {picture.source!r:.80}, not {grid.count(*sides)}")
        next_shard = -(-end // grid.patches_per_shard) * grid.patches_per_shard
        if picture.slot not in (end, next_shard):
            raise ValueError(f"slot {picture.slot} for {picture.source!r:.80}, not {end} or {next_shard}")
        end = picture.slot + picture.patches
    if end > MAX_SHARDS * grid.patches_per_shard:
        raise ValueError(f"{end // grid.patches_per_shard} shards, more than {MAX_SHARDS}")


def shard_key(recipe: Recipe, cuts: Sequence[Cut], statistics: Sequence[str]) -> str:
    """The key of a shard, a hash of its planned contents.

    Args:
        recipe: the settings of the dataset.
        cuts: the patches of the shard.
        statistics: its columns of statistics.
    """
    planned = [recipe.to_json(), statistics, [(cut.picture.sha256, cut.first, cut.end) for cut in cuts]]
    return hashlib.sha256(json.dumps(planned).encode()).hexdigest()


def locate(pictures: Sequence[Picture], folders: Sequence[Path]) -> dict[str, Path]:
    """The paths of planned pictures by SHA-256, found by name. Missing pictures are left out.

    If several folders have a file of the same name, the SHA-256 decides.
    """
    paths = {}
    for picture in pictures:
        source = PurePath(picture.source)
        if source.anchor or ".." in source.parts:
            continue  # the plan is untrusted: no path leads out of the folders
        there = [path for folder in folders for path in as_displayed(folder, picture.source)]
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
