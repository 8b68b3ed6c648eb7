"""The folder of an unfinished dataset: its permitted contents and its finished shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.errors import ArgumentError, SDFlowError

from ..dataset.manifest import INFO, finish_dataset, read_dataset
from ..dataset.plan import PLAN, Plan, shard_key
from ..dataset.provenance import Provenance
from ..dataset.shards import MAX_SHARDS, Failure, ShardReader, is_whole, shard_path
from ..system.lock import check_new_or_empty


@dataclass(frozen=True)
class Outcome:
    """The result of making a dataset.

    Attributes:
        info: the contents of dataset.json; None while shards of other calls are missing.
        planned: the number of planned patches; if ``info`` is None, in the shards of this call.
        made: the number of these patches that exist.
        skipped: the number of inputs that the plan leaves out: not a picture, too small, or a duplicate.
    """

    info: dict[str, Any] | None
    planned: int
    made: int
    skipped: int

    @property
    def missing(self) -> int:
        """The number of planned patches that could not be made."""
        return self.planned - self.made


def check_claimable(out: Path) -> None:
    """Check that a folder is new, empty or a dataset that was begun.

    Raises:
        SDFlowError: the folder holds other files.
    """
    if not (out / PLAN).exists():
        check_new_or_empty(out, [PLAN])


def store_plan(out: Path, plan: Plan, begun: Plan | None) -> None:
    """Write a plan if it differs from the stored one. The dataset is then unfinished again."""
    if plan.shards > MAX_SHARDS:
        raise ArgumentError(
            "patches_per_shard",
            f"expected at most {MAX_SHARDS} shards, found {plan.shards}; a larger number gives fewer",
        )
    if plan != begun:
        (out / INFO).unlink(missing_ok=True)
        plan.save(out)


def failures_of_made(
    out: Path, plan: Plan, number: int, statistics: Sequence[str], *, trusted: bool = False
) -> list[Failure] | None:
    """The missing patches of a finished shard; None if it is missing or damaged, or follows another plan.

    Args:
        out, plan: the dataset.
        number: the number of the shard.
        statistics: its columns of statistics.
        trusted: make a quick check instead of reading every byte.
    """
    path = shard_path(out, number)
    if not path.exists() or not (trusted or is_whole(path)):
        return None
    try:
        with ShardReader(path) as shard:
            if shard.key != shard_key(plan.recipe, plan.shard(number), statistics):
                return None
            return shard.failures()
    except SDFlowError:
        return None


def finish(out: Path, plan: Plan, provenance: Provenance) -> dict[str, Any]:
    """Finish the planned dataset, whose shards all exist; returns the contents of dataset.json.

    A finished dataset stays unchanged, unless the provenance differs.
    """
    if (out / INFO).exists():
        info = plan.recipe.to_json() | read_dataset(out).info
        stored = Provenance.of_dataset(info)
        provenance = provenance.or_else(stored)
        if provenance == stored:
            return info
    metadata = plan.recipe.to_json() | provenance.to_json()
    return finish_dataset(out, plan.shards, metadata, plan.skipped, [PLAN], described=True)
