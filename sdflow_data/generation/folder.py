"""The folder of a dataset in the making, whoever makes it: what may be in it, and what is made already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.errors import SDFlowError

from ..dataset.manifest import INFO, finish_dataset, read_dataset
from ..dataset.plan import PLAN, Plan, shard_key
from ..dataset.provenance import Provenance
from ..dataset.shards import Failure, ShardReader, is_whole, shard_path
from ..system.lock import check_new_or_empty


@dataclass(frozen=True)
class Outcome:
    """What making a dataset came to.

    Attributes:
        info: what dataset.json says; None while shards that other calls are to make are missing.
        planned: patches that were planned; for this call's shards, where ``info`` is None.
        made: those of them that are there.
        skipped: inputs that were left out of the plan: no picture, too small, a duplicate.
    """

    info: dict[str, Any] | None
    planned: int
    made: int
    skipped: int

    @property
    def missing(self) -> int:
        """Patches that were planned and could not be made."""
        return self.planned - self.made


def check_claimable(out: Path) -> None:
    """Refuse a folder that is neither new or empty nor a dataset that was begun.

    Raises:
        SDFlowError: it holds something else.
    """
    if not (out / PLAN).exists():
        check_new_or_empty(out, [PLAN])


def store_plan(out: Path, plan: Plan, begun: Plan | None) -> None:
    """Write a plan that is not the one that is there; the dataset is not whole from then on."""
    if plan != begun:
        (out / INFO).unlink(missing_ok=True)
        plan.save(out)


def failures_of_made(
    out: Path, plan: Plan, number: int, statistics: Sequence[str], *, trusted: bool = False
) -> list[Failure] | None:
    """What is missing from a shard that was made as the plan says; None if it was not, or is damaged.

    Args:
        out, plan: the dataset.
        number: of the shard.
        statistics: the columns of statistics that it is to have.
        trusted: only damage that shows at a glance is looked for, instead of at every byte.
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
    """Turn shards, all in place, into the dataset that was planned; returns what dataset.json says.

    A dataset that is whole already stays as it is, unless something else is said of its photographs.
    """
    if (out / INFO).exists():
        info = read_dataset(out).info
        stored = Provenance.of_dataset(info)
        provenance = provenance.or_else(stored)
        if provenance == stored:
            return info
    facts = plan.recipe.to_json() | provenance.to_json()
    return finish_dataset(out, plan.shards, facts, plan.skipped, [PLAN], described=True)
