"""Verification of a dataset: every byte of every file, and the agreement between files."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow.wording import counted

from ..system.folders import is_junk
from ..system.progress import progress
from .identity import PatchId, sample_id
from .manifest import INFO, MANIFEST, Dataset, read_dataset, read_failures, shard_table
from .plan import PLAN, Plan, shard_key
from .schema import statistics_in
from .shards import ShardReader, is_whole, shard_path
from .tables import check_text, reading_table


def verify(folder: Path) -> list[str]:
    """The faults of a dataset, one line each; empty if it is intact. Everything is read and decoded.

    Checksums detect damage. They do not prove who wrote a file, because anyone can compute a new checksum.

    Raises:
        SDFlowError: the folder is not a finished dataset.
    """
    dataset = read_dataset(folder)
    problems = list(_check_files(dataset))
    plan = None
    try:
        plan = Plan.load(folder)  # None: datasets that were exported have no plan
    except SDFlowError as error:
        problems.append(str(error))
    if plan is not None:
        problems += _check_settings(dataset, plan)
    sound = set()
    there = _shards_in(dataset)
    problems += _missing(dataset, there)
    for number in progress(there, "checking shards", "shards"):
        found = list(_check_shard(dataset, plan, number))
        problems += found
        if not found:
            sound.add(number)
    problems += _check_manifest(dataset, sound)
    return problems or list(_check_counts(dataset))


def _check_files(dataset: Dataset) -> Iterator[str]:
    """Check the tables against their checksums, and the files in the folder of shards."""
    for name, sha256 in dataset.info["files"].items():
        path = dataset.folder / Path(name).name
        try:
            if not path.is_file():
                yield f"{path}: expected a file, found none"
            elif sha256_file(path) != sha256:
                yield f"{path}: its bytes are not those that were written"
        except OSError as error:
            yield _unreadable(path, error)
    expected = {shard_path(dataset.folder, number) for number in _shards_in(dataset)}
    for path in sorted((dataset.folder / "shards").glob("*")):
        is_left_over = path.name.endswith(".tmp")  # left by a killed run
        if path not in expected and (is_left_over or not is_junk(path.name)):
            yield f"{path}: does not belong to the dataset"


def _shards_in(dataset: Dataset) -> list[int]:
    """Numbers of the shards that are there. dataset.json may tell of a million more."""
    count = dataset.info["counts"]["shards"]
    numbers = {int(path.stem) for path in (dataset.folder / "shards").glob("*.h5") if path.stem.isdecimal()}
    return sorted(n for n in numbers if n < count and shard_path(dataset.folder, n).exists())


def _missing(dataset: Dataset, there: Sequence[int]) -> Iterator[str]:
    """A line for each gap in the numbers of shards."""
    edges = [-1, *there, dataset.info["counts"]["shards"]]
    for before, after in pairwise(edges):
        first, last = (shard_path(dataset.folder, number) for number in (before + 1, after - 1))
        if after - before == 2:
            yield f"{first}: expected a shard, found none"
        elif after - before > 2:
            yield f"{first} to {last.name}: expected {after - before - 1} shards, found none"


def _check_settings(dataset: Dataset, plan: Plan) -> Iterator[str]:
    for name, value in plan.recipe.to_json().items():
        found = dataset.info.get(name)
        if found != value:
            yield f"{dataset.folder / INFO}: expected {name} {value}, as in {PLAN}, found {found}"


def _check_shard(dataset: Dataset, plan: Plan | None, number: int) -> Iterator[str]:
    """Check one shard against its checksum and its planned contents."""
    path = shard_path(dataset.folder, number)
    try:
        if not is_whole(path):
            yield f"{path}: its bytes are not those that were written"
            return
        with dataset.shard(number) as shard:
            for row in range(len(shard)):
                shard.hr[row], shard.lr[row]
            shard.failures()
            if plan is not None:
                statistics = statistics_in(shard.columns() or _manifest_columns(dataset))
                problems = _check_planned(shard, plan, number, statistics)
                yield from (f"{path}: {problem}" for problem in problems)
    except SDFlowError as error:
        yield str(error)
    except OSError as error:
        yield _unreadable(path, error)
    except KeyError as error:
        yield f"{path}: expected a column {error}, found none"


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be read: {error.strerror or error}"


def _manifest_columns(dataset: Dataset) -> list[str]:
    """The names of the statistics; empty if the manifest is damaged, which another check reports."""
    try:
        with reading_table(dataset.folder / MANIFEST, "the manifest") as table:
            return list(table.schema_arrow.names)
    except SDFlowError:
        return []


def _check_planned(shard: ShardReader, plan: Plan, number: int, statistics: Sequence[str]) -> Iterator[str]:
    """Check a shard against the plan: its patches or the reasons for their absence, and the sample ids."""
    cuts, grid, columns = plan.shard(number), plan.recipe.grid, shard.columns()
    if shard.key != shard_key(plan.recipe, cuts, statistics):
        yield "it was made for another plan"
        return
    planned = [(cut.picture.source, patch) for cut in cuts for patch in cut.patches(grid)]
    names = ("source_sha256", "top", "left")
    ids = [PatchId(*row) for row in zip(*(columns[name].tolist() for name in names))] if columns else []
    stored = list(zip(columns["source"].tolist(), ids)) if columns else []
    present = set(stored)
    if stored != [patch for patch in planned if patch in present]:
        yield "it holds patches that were not planned for it, or holds them in another order"
        return
    excused = {(failure.source, failure.top, failure.left) for failure in shard.failures()}
    for source, patch in planned:
        reasons = {(source, None, None), (source, patch.top, patch.left)}
        if (source, patch) not in present and not excused & reasons:
            yield f"the patch of {source} at {patch.top}, {patch.left} is missing without a reason"
    for row, patch in enumerate(ids):
        expected = [sample_id(patch, variant) for variant in range(grid.variants)]
        found = columns["sample_id"][row].tolist()
        if found != expected:
            yield f"row {row}: expected the sample_ids {expected[0]} and on, found {found[0]}"


def _check_manifest(dataset: Dataset, sound: set[int]) -> Iterator[str]:
    """Check the manifest against the ``sound`` shards."""
    path = dataset.folder / MANIFEST
    shards, seen = range(dataset.info["counts"]["shards"]), set()
    try:
        for number, rows in _manifest_by_shard(path):
            if number not in shards or number in seen:
                yield f"{path}: has rows of shard {number} where none belong"
                continue
            seen.add(number)
            if number in sound:
                yield from _compare(path, number, rows, dataset)
    except SDFlowError as error:
        yield str(error)
        return
    for number in sorted(sound - seen):
        with dataset.shard(number) as shard:
            if len(shard):
                held = counted(len(shard), "patch", "patches")
                yield f"{path}: has no rows of shard {number}, which holds {held}"


def _manifest_by_shard(path: Path) -> Iterator[tuple[int, pd.DataFrame]]:
    """The rows of each shard, in pieces of bounded size; row groups end with shards."""
    with reading_table(path, "the manifest") as manifest:
        check_text(path, manifest)
        for group in range(manifest.num_row_groups):
            yield from manifest.read_row_group(group).to_pandas().groupby("shard", sort=False)


def _compare(path: Path, number: int, rows: pd.DataFrame, dataset: Dataset) -> Iterator[str]:
    with dataset.shard(number) as shard:
        expected = shard_table(shard, number).to_pandas()
    if len(rows) != len(expected):
        yield f"{path}: expected {counted(len(expected), 'row')} of shard {number}, found {len(rows)}"
    elif list(rows.columns) != list(expected.columns):
        yield f"{path}: expected the columns {', '.join(expected.columns)}, found {', '.join(rows.columns)}"
    else:
        rows = rows.reset_index(drop=True)
        for name in expected.columns:
            if not rows[name].equals(expected[name]):
                yield f"{path}: column {name} is not that of shard {number}"


def _check_counts(dataset: Dataset) -> Iterator[str]:
    """Check the counts of dataset.json against the manifest and failures.csv, which are sound."""
    found = {"sources": 0, "patches": 0, "samples": 0, "failures": 0, "redraws": 0}
    sources: set[str] = set()
    for _, rows in _manifest_by_shard(dataset.folder / MANIFEST):
        found["samples"] += len(rows)
        found["patches"] += rows["row"].nunique()
        found["redraws"] += int(rows["draw"].sum()) if "draw" in rows else 0
        sources.update(rows["source_sha256"])
    found["sources"] = len(sources)
    found["failures"] = len(read_failures(dataset.folder))
    for name, count in found.items():
        stored = dataset.info["counts"].get(name)
        if stored != count:
            yield f"{dataset.folder / INFO}: says {stored} {name}, there are {count}"
